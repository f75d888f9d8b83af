"""Table versions that somebody needs; pins beat retention."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from evergreen import faults
from evergreen.store.schema import pins
from evergreen.store.store import Store


class Pins:
    """The pins of all holders.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def pin(self, table: str, version: int, holder: str) -> None:
        """Keeps a version of a table for a holder (a model version, a training); again is the same."""
        row = {"table": table, "version": version, "holder": holder}
        faults.point("pin:before")
        with self._store.transaction() as connection:
            connection.execute(insert(pins).values(row).on_conflict_do_nothing())
        faults.point("pin:after")

    def release(self, holder: str) -> None:
        """Gives up all that a holder keeps; again is the same."""
        with self._store.transaction() as connection:
            connection.execute(delete(pins).where(pins.c.holder == holder))

    def of(self, holder: str) -> list[tuple[str, int]]:
        """Table and version of all that a holder keeps."""
        query = select(pins.c.table, pins.c.version).where(pins.c.holder == holder)
        with self._store.transaction() as connection:
            rows = connection.execute(query.order_by(pins.c.table, pins.c.version))
            return [(table, version) for table, version in rows]

    def pinned(self, table: str) -> set[int]:
        """Versions of a table that somebody keeps."""
        with self._store.transaction() as connection:
            return set(connection.scalars(select(pins.c.version).where(pins.c.table == table).distinct()))
