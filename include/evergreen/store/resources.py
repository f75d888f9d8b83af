"""The newest as_of that every resource has: what a run without a key works on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from evergreen.store.schema import seen
from evergreen.store.store import Store


class Seen:
    """What was seen of each resource.

    Args:
        store: Where it stands.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def note_as_of(self, resource: str, as_of: str, as_of_time: datetime) -> None:
        """Notes an as_of; an older one than the newest changes nothing."""
        statement = insert(seen).values(resource=resource, as_of=as_of, as_of_time=as_of_time)
        newer = statement.on_conflict_do_update(
            index_elements=["resource"],
            set_={"as_of": as_of, "as_of_time": as_of_time},
            where=seen.c.as_of_time < statement.excluded.as_of_time,
        )
        with self._store.transaction() as connection:
            connection.execute(newer)

    def newest_as_of(self, resource: str) -> str | None:
        """The newest as_of's key."""
        newest = self.newest(resource)
        return None if newest is None else newest[0]

    def newest(self, resource: str) -> tuple[str, datetime] | None:
        """Key and instant of the newest as_of."""
        query = select(seen.c.as_of, seen.c.as_of_time).where(seen.c.resource == resource)
        with self._store.transaction() as connection:
            row = connection.execute(query).first()
        return None if row is None else (row.as_of, row.as_of_time)
