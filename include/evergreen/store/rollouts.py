"""Rollouts: how a version takes over, from the seq it was planned against to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from evergreen.errors import Superseded
from evergreen.store.schema import rollouts
from evergreen.store.store import Store

Ending = Literal["done", "failed", "refused", "superseded"]


@dataclass(frozen=True)
class Rollout:
    """One rollout.

    Attributes:
        key: What a retry finds its own rollout by.
        base_seq: The ledger's seq when it began: what the promotion is expected to follow.
        step: 0, 1, 2, … of the strategy.
        shares: Traffic (0 to 1) by version, as the strategy writes it.
        state: ``running`` or how it ended.
    """

    id: int
    model: str
    key: str
    base_seq: int
    version: int
    step: int
    shares: Mapping[str, Any]
    state: str
    note: str
    started_at: datetime
    ended_at: datetime | None


class Rollouts:
    """The rollouts of all models.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, model: str, base_seq: int, version: int, key: str) -> Rollout:
        """Begins a rollout, or returns the model's one of this key with the ``base_seq`` that it began with."""
        row = {"model": model, "key": key, "base_seq": base_seq, "version": version, "step": 0, "shares": {}}
        with self._store.transaction() as connection:
            connection.execute(insert(rollouts).values(state="running", **row).on_conflict_do_nothing())
            return _one(connection, rollouts.c.model == model, rollouts.c.key == key)

    def advance(self, id: int, *, expected_step: int, shares: Mapping[str, Any]) -> Rollout:
        """Goes from ``expected_step`` to the next; called again after it went, it returns the same.

        Raises:
            Superseded: When the rollout has ended or went elsewhere.
        """
        going = (rollouts.c.id == id, rollouts.c.state == "running", rollouts.c.step == expected_step)
        with self._store.transaction() as connection:
            connection.execute(update(rollouts).where(*going).values(step=expected_step + 1, shares=shares))
            rollout = _one(connection, rollouts.c.id == id)
        if rollout.state != "running" or rollout.step != expected_step + 1:
            raise Superseded(f"Rollout {id} of {rollout.model} is {rollout.state} at step {rollout.step}.")
        return rollout

    def end(self, id: int, state: Ending, note: str = "") -> Rollout:
        """Ends a rollout; one that has ended stays as it was."""
        running = (rollouts.c.id == id, rollouts.c.state == "running")
        with self._store.transaction() as connection:
            connection.execute(
                update(rollouts).where(*running).values(state=state, note=note, ended_at=func.clock_timestamp())
            )
            return _one(connection, rollouts.c.id == id)

    def of(self, model: str) -> list[Rollout]:
        """Rollouts of a model in the order they began."""
        query = select(rollouts).where(rollouts.c.model == model).order_by(rollouts.c.id)
        with self._store.transaction() as connection:
            return [Rollout(**row._mapping) for row in connection.execute(query)]

    def running(self, model: str) -> list[Rollout]:
        """Rollouts of a model that have not ended."""
        return [rollout for rollout in self.of(model) if rollout.state == "running"]


def _one(connection: Connection, *where: ColumnElement[bool]) -> Rollout:
    return Rollout(**connection.execute(select(rollouts).where(*where)).one()._mapping)
