"""Trainings: what each was made from, and the one model version that each adopted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from evergreen import faults
from evergreen.errors import Superseded, UserError
from evergreen.store.schema import requests, trainings
from evergreen.store.store import Store


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        training_id: Digest of what it is made from.
        spec_digest: Of the model's spec; ``workspace`` is that of all files it reached.
        inputs: Table versions, by table.
        causes: Of the requests that it answers, such as ``["drift"]``.
        requested_seq: The newest ``after_seq`` of these requests; a hold of a later seq binds what it gives.
        run_id: MLflow's; with the two below, absent until it finished.
        trained_through: The last label time that fit or early stopping used.
        training_set: Content address (SHA-256) of the immutable Parquet file.
        bundle: Digest of the frozen folder that serves.
        adopted_version: The one registered version that counts; others of this training are strays.
    """

    training_id: str
    model: str
    as_of: str
    as_of_time: datetime
    spec_digest: str
    workspace: str
    inputs: Mapping[str, Any]
    seed: int
    causes: Sequence[Any]
    request_ids: Sequence[int]
    requested_seq: int
    created_at: datetime
    run_id: str | None
    trained_through: datetime | None
    training_set: str | None
    bundle: str | None
    finished_at: datetime | None
    adopted_version: int | None
    adopted_at: datetime | None


class Trainings:
    """The trainings of all models.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def start(
        self,
        training_id: str,
        model: str,
        as_of: str,
        as_of_time: datetime,
        *,
        spec_digest: str,
        workspace: str,
        inputs: Mapping[str, Any],
        seed: int,
        causes: Sequence[Any] = (),
        request_ids: Sequence[int] = (),
    ) -> Training:
        """Records a training, or returns it as it stands: what started before a hold stays older than the hold."""
        asked = select(func.coalesce(func.max(requests.c.after_seq), 0)).where(requests.c.id.in_(list(request_ids)))
        row = {
            "training_id": training_id, "model": model, "as_of": as_of, "as_of_time": as_of_time,
            "spec_digest": spec_digest, "workspace": workspace, "inputs": inputs, "seed": seed,
            "causes": list(causes), "request_ids": list(request_ids), "requested_seq": asked.scalar_subquery(),
        }  # fmt: skip
        with self._store.transaction() as connection:
            connection.execute(insert(trainings).values(row).on_conflict_do_nothing())
            return _one(connection, training_id)

    def finish(
        self, training_id: str, *, run_id: str, trained_through: datetime, training_set: str, bundle: str
    ) -> Training:
        """Records what came out; of several callers the first one's stands.

        Raises:
            UserError: When the training was never started.
        """
        with self._store.transaction() as connection:
            connection.execute(
                update(trainings)
                .where(trainings.c.training_id == training_id, trainings.c.finished_at.is_(None))
                .values(
                    run_id=run_id,
                    trained_through=trained_through,
                    training_set=training_set,
                    bundle=bundle,
                    finished_at=func.clock_timestamp(),
                )
            )
            return _one(connection, training_id)

    def adopt(self, training_id: str, version: int) -> int:
        """Makes a registered version the training's own; the first caller wins.

        Returns:
            The adopted version, maybe another's: then ``version`` is a stray that must never serve.

        Raises:
            UserError: When the training was never started.
            Superseded: When another training adopted that version.
        """
        faults.point("adopt:before")
        adopted = trainings.c.adopted_version
        first_wins = {
            "adopted_version": func.coalesce(adopted, version),
            "adopted_at": func.coalesce(trainings.c.adopted_at, func.clock_timestamp()),
        }
        try:
            with self._store.transaction() as connection:
                standing: int | None = connection.execute(
                    update(trainings)
                    .where(trainings.c.training_id == training_id)
                    .values(first_wins)
                    .returning(adopted)
                ).scalar()
        except IntegrityError:
            raise Superseded(f"Version {version} belongs to another training than {training_id}.") from None
        faults.point("adopt:after")
        if standing is None:
            raise _unknown(training_id)
        return standing

    def get(self, training_id: str) -> Training | None:
        """A training by its id."""
        return next(iter(self._where(trainings.c.training_id == training_id)), None)

    def of(self, model: str) -> list[Training]:
        """Trainings of a model in the order they started."""
        return self._where(trainings.c.model == model)

    def by_version(self, model: str, version: int) -> Training | None:
        """The training that adopted a version; ``None`` for strays."""
        return next(iter(self._where(trainings.c.model == model, trainings.c.adopted_version == version)), None)

    def by_versions(self, versions: Collection[tuple[str, int]]) -> dict[tuple[str, int], Training]:
        """The trainings that adopted these (model, version); strays are left out. One look for all of them."""
        asked = tuple_(trainings.c.model, trainings.c.adopted_version).in_(list(versions))
        found = self._where(asked) if versions else []
        return {(each.model, each.adopted_version): each for each in found if each.adopted_version is not None}

    def _where(self, *where: ColumnElement[bool]) -> list[Training]:
        query = select(trainings).where(*where).order_by(trainings.c.created_at, trainings.c.training_id)
        with self._store.transaction() as connection:
            return [Training(**row._mapping) for row in connection.execute(query)]


def _one(connection: Connection, training_id: str) -> Training:
    row = connection.execute(select(trainings).where(trainings.c.training_id == training_id)).first()
    if row is None:
        raise _unknown(training_id)
    return Training(**row._mapping)


def _unknown(training_id: str) -> UserError:
    return UserError("training", "must have been started", value=training_id, remedy="Run the task `train` first.")
