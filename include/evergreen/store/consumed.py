"""Which versions of its inputs a consumer has worked off."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from evergreen.store.schema import consumed
from evergreen.store.store import Store


class Consumed:
    """The consumers' notes.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def mark(self, consumer: str, input: str, version: str) -> bool:
        """Notes a version as worked off; ``False`` when it was noted before."""
        row = {"consumer": consumer, "input": input, "version": version}
        with self._store.transaction() as connection:
            statement = insert(consumed).values(row).on_conflict_do_nothing().returning(consumed.c.id)
            return connection.execute(statement).first() is not None

    def watermark(self, consumer: str, input: str) -> str | None:
        """The version that was noted last."""
        of_input = (consumed.c.consumer == consumer, consumed.c.input == input)
        query = select(consumed.c.version).where(*of_input).order_by(consumed.c.id.desc()).limit(1)
        with self._store.transaction() as connection:
            return connection.execute(query).scalar()

    def consumed(self, consumer: str, input: str) -> set[str]:
        """All versions that were noted."""
        query = select(consumed.c.version).where(consumed.c.consumer == consumer, consumed.c.input == input)
        with self._store.transaction() as connection:
            return set(connection.scalars(query))
