"""Fleets for tests and benchmarks: many models in a store that serve, all from the bundles of a few trainings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import insert

from evergreen.store.history import Promotion, following
from evergreen.store.schema import promotions, trainings
from evergreen.store.store import Store
from evergreen.store.trainings import Training

DAY = datetime(2013, 2, 1, tzinfo=UTC)


def add(store: Store, names: Sequence[str], adopted: Sequence[Training]) -> None:
    """Every model has each training as a version of its own and serves by the last; two statements for all of them."""
    rows, made = [], []
    for name in names:
        last = None
        for version, training in enumerate(adopted, start=1):
            draft = Promotion(name, version, version, "promote", "a", "r", {}, "2013-02-01", DAY, at=DAY)
            last = following(last, draft)
            ended = {"served_to": DAY, "end_cause": "promote"} if version < len(adopted) else {}
            rows.append({column.name: getattr(last, column.name) for column in promotions.columns} | ended)
            copied = {column.name: getattr(training, column.name) for column in trainings.columns}
            made.append({**copied, "model": name, "training_id": f"{name}-{version}", "adopted_version": version})
    with store.transaction() as connection:
        connection.execute(insert(promotions), rows)
        connection.execute(insert(trainings), made)
