"""Gateways: which instances live, and up to which entry of the ledger each serves a model. Wall clock.

An instance beats once for all its models. Of a model something is written only when it changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, func, literal, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from evergreen.store.schema import gateway_models, gateways
from evergreen.store.store import Store

FORGOTTEN_AFTER = timedelta(days=1)
"""An instance that went down without a goodbye is forgotten after so long."""


@dataclass(frozen=True)
class Applied:
    """What an instance says of a model.

    Attributes:
        seq: The ledger entry that it serves by, fetched, verified and loaded; 0 if there is none.
        fault_seq: The entry that it could not serve by, with ``fault``, why; 0 if all is well.
    """

    seq: int
    fault_seq: int = 0
    fault: str = ""


@dataclass(frozen=True)
class Gateway:
    """A live instance and what it says of one model; one that knows nothing of the model has ``applied_seq`` 0."""

    instance: str
    url: str
    seen_at: datetime
    model: str
    applied_seq: int
    fault_seq: int
    fault: str


class Gateways:
    """The gateways that report to the store.

    Args:
        store: Where they report.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def beat(self, instance: str, url: str = "") -> bool:
        """Says that an instance lives; gives whether the store did not know it, and so what it serves neither."""
        with self._store.transaction() as connection:
            return _beat(connection, instance, url)

    def report(self, instance: str, url: str, applied: Mapping[str, Applied]) -> bool:
        """Says what changed, by model: one statement for all of it, and a beat, whose answer it gives."""
        rows = [
            {
                "instance": instance, "model": model,
                "applied_seq": each.seq, "fault_seq": each.fault_seq, "fault": each.fault,
            }
            for model, each in sorted(applied.items())
        ]  # fmt: skip
        with self._store.transaction() as connection:
            is_new = _beat(connection, instance, url)
            if rows:
                statement = insert(gateway_models).values(rows)
                new = {name: statement.excluded[name] for name in ("applied_seq", "fault_seq", "fault")}
                now = {**new, "at": func.clock_timestamp()}
                connection.execute(statement.on_conflict_do_update(index_elements=["instance", "model"], set_=now))
        return is_new

    def live(self, model: str, within_seconds: float) -> list[Gateway]:
        """All instances that were seen in the last ``within_seconds``, by name, whether they know the model or not."""
        since = func.clock_timestamp() - timedelta(seconds=within_seconds)
        of_model = and_(gateway_models.c.instance == gateways.c.instance, gateway_models.c.model == model)
        query = (
            select(
                gateways,
                literal(model).label("model"),
                func.coalesce(gateway_models.c.applied_seq, 0).label("applied_seq"),
                func.coalesce(gateway_models.c.fault_seq, 0).label("fault_seq"),
                func.coalesce(gateway_models.c.fault, "").label("fault"),
            )
            .select_from(gateways.outerjoin(gateway_models, of_model))
            .where(gateways.c.seen_at >= since)
            .order_by(gateways.c.instance)
        )
        with self._store.transaction() as connection:
            return [Gateway(**row._mapping) for row in connection.execute(query)]

    def remove(self, instance: str) -> None:
        """Forgets an instance that goes down by intent."""
        with self._store.transaction() as connection:
            connection.execute(delete(gateways).where(gateways.c.instance == instance))


def _beat(connection: Connection, instance: str, url: str) -> bool:
    now = {"url": url, "seen_at": func.clock_timestamp()}
    statement = insert(gateways).values(instance=instance, **now)
    inserted: ColumnElement[bool] = literal_column(
        "xmax = 0"
    )  # PostgreSQL's mark of a row that no statement has updated
    known = statement.on_conflict_do_update(index_elements=["instance"], set_=now).returning(inserted)
    is_new = bool(connection.execute(known).scalar_one())
    if is_new:
        connection.execute(delete(gateways).where(gateways.c.seen_at < func.clock_timestamp() - FORGOTTEN_AFTER))
    return is_new
