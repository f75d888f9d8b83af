"""Trainings: what each was made from, and the one version number that each has."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, ScalarSelect, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from evergreen import faults
from evergreen.errors import UserError
from evergreen.store.schema import promotions, requests, trainings
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
        adopted_version: Its number among the model's versions: 1, 2, 3, …, given by the store when it was adopted.
        mlflow_version: MLflow's own number of the copy there, when last seen; absent while there is none.
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
    mlflow_version: int | None = None


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

    def adopt(self, training_id: str) -> int:
        """Gives the training the model's next version number, once: called again, it returns the same.

        Numbers count up from 1 by model, without gaps, and are never given again: what MLflow or a person does
        elsewhere has no part in them.

        Returns:
            The version.

        Raises:
            UserError: When the training was never started.
        """
        faults.point("adopt:before")
        with self._store.transaction() as connection:
            model = _one(connection, training_id).model
            # Adopters of one model queue up here; what each counts is then all that was adopted before.
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("adopt"), func.hashtext(model))))
            first_wins = {
                "adopted_version": func.coalesce(trainings.c.adopted_version, _next_version(model)),
                "adopted_at": func.coalesce(trainings.c.adopted_at, func.clock_timestamp()),
            }
            adopt = update(trainings).where(trainings.c.training_id == training_id).values(first_wins)
            version: int = connection.execute(adopt.returning(trainings.c.adopted_version)).scalar_one()
        faults.point("adopt:after")
        return version

    def note_mlflow_version(self, training_id: str, number: int | None) -> None:
        """Keeps MLflow's number of the copy there; ``None`` when there is no copy."""
        with self._store.transaction() as connection:
            connection.execute(
                update(trainings).where(trainings.c.training_id == training_id).values(mlflow_version=number)
            )

    def get(self, training_id: str) -> Training | None:
        """A training by its id."""
        return next(iter(self._where(trainings.c.training_id == training_id)), None)

    def of(self, model: str) -> list[Training]:
        """Trainings of a model in the order they started."""
        return self._where(trainings.c.model == model)

    def all(self) -> list[Training]:
        """Trainings of all models in the order they started."""
        return self._where()

    def by_version(self, model: str, version: int) -> Training | None:
        """The training that adopted a version."""
        return next(iter(self._where(trainings.c.model == model, trainings.c.adopted_version == version)), None)

    def by_versions(self, versions: Collection[tuple[str, int]]) -> dict[tuple[str, int], Training]:
        """The trainings that adopted these (model, version); strays are left out. One look for all of them."""
        asked = tuple_(trainings.c.model, trainings.c.adopted_version).in_(list(versions))
        found = self._where(asked) if versions else []
        return {(each.model, each.adopted_version): each for each in found if each.adopted_version is not None}

    def unadopted(self, before: datetime) -> list[Training]:
        """Trainings from before an instant that no version was made of."""
        return self._where(trainings.c.adopted_version.is_(None), trainings.c.created_at < before)

    def sets(self, since: datetime) -> set[str]:
        """Paths of the training sets of all versions, and of all trainings since an instant."""
        return self._that_count(trainings.c.inputs["training_set"].as_string(), since)

    def bundles(self, since: datetime) -> set[str]:
        """Digests of the bundles of the same."""
        return self._that_count(trainings.c.bundle, since)

    def _that_count(self, column: ColumnElement[Any], since: datetime) -> set[str]:
        """Values of a column, of the trainings of which a version was made or may still be."""
        counts = or_(trainings.c.adopted_version.is_not(None), trainings.c.created_at >= since)
        with self._store.transaction() as connection:
            return set(connection.scalars(select(column).where(counts, column.is_not(None))))

    def _where(self, *where: ColumnElement[bool]) -> list[Training]:
        query = select(trainings).where(*where).order_by(trainings.c.created_at, trainings.c.training_id)
        with self._store.transaction() as connection:
            return [Training(**row._mapping) for row in connection.execute(query)]


def _next_version(model: str) -> ScalarSelect[int]:
    """One more than every version that was adopted or stands in the ledger."""
    others = trainings.alias()
    adopted = select(func.max(others.c.adopted_version)).where(others.c.model == model).scalar_subquery()
    served = select(func.max(promotions.c.version)).where(promotions.c.model == model).scalar_subquery()
    return select(func.greatest(func.coalesce(adopted, 0), func.coalesce(served, 0)) + 1).scalar_subquery()


def _one(connection: Connection, training_id: str) -> Training:
    row = connection.execute(select(trainings).where(trainings.c.training_id == training_id)).first()
    if row is None:
        raise _unknown(training_id)
    return Training(**row._mapping)


def _unknown(training_id: str) -> UserError:
    return UserError("training", "must have been started", value=training_id, remedy="Run the task `train` first.")
