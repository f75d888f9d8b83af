"""What became of every interval of datasets and views: published, or skipped and why. Who comes after looks here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import case, func, select
from sqlalchemy.dialects.postgresql import insert

from evergreen.store.schema import intervals
from evergreen.store.store import Store

State = Literal["published", "skipped"]


@dataclass(frozen=True)
class Interval:
    """One interval of one dataset or view.

    Attributes:
        as_of_time: Its end; ``as_of`` is the key that was written for it.
        state: ``published``, with rows or without any; ``skipped`` when there was nothing to publish from.
        reason: Why it was skipped the last time that it was.
    """

    resource: str
    as_of_time: datetime
    as_of: str
    state: State
    reason: str
    at: datetime


class Intervals:
    """The intervals of all resources.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def published(self, resource: str, as_of: str, as_of_time: datetime) -> None:
        """Notes that the interval's rows stand in the table; whatever is skipped later, they stay there."""
        self._note(resource, as_of, as_of_time, "published", "")

    def skipped(self, resource: str, as_of: str, as_of_time: datetime, reason: str) -> None:
        """Notes that there was nothing to publish the interval from, and why."""
        self._note(resource, as_of, as_of_time, "skipped", reason)

    def at(self, resources: Collection[str], as_of_time: datetime) -> dict[str, Interval]:
        """What is noted of an interval, by resource; a resource that has come to no end yet is left out."""
        query = select(intervals).where(intervals.c.resource.in_(list(resources)), intervals.c.as_of_time == as_of_time)
        with self._store.transaction() as connection:
            return {row.resource: Interval(**row._mapping) for row in connection.execute(query)}

    def _note(self, resource: str, as_of: str, as_of_time: datetime, state: State, reason: str) -> None:
        row = {"resource": resource, "as_of": as_of, "as_of_time": as_of_time, "state": state, "reason": reason}
        statement = insert(intervals).values(row)
        noted = statement.on_conflict_do_update(
            index_elements=["resource", "as_of_time"],
            set_={
                "state": case((intervals.c.state == "published", "published"), else_=statement.excluded.state),
                "reason": statement.excluded.reason,
                "at": func.clock_timestamp(),
            },
        )
        with self._store.transaction() as connection:
            connection.execute(noted)
