"""Checkpoints of tables: what the newest row of each entity was at an instant, so that a look-up need not go back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from evergreen.store.schema import checkpoints
from evergreen.store.store import Store


@dataclass(frozen=True)
class Checkpoint:
    """Where a checkpoint stands.

    Attributes:
        moment: Holds what was known by then of what had happened by then.
        commit: Number of the table's commit that it was made at: what came later is not in it.
        path: Of the rows, in the lake.
        rows: How many there are, one an entity.
    """

    table: str
    moment: datetime
    commit: int
    path: str
    rows: int
    at: datetime


class Checkpoints:
    """The checkpoints of all tables; each is a function of the table, so that two writers write the same.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, table: str, moment: datetime, commit: int, path: str, rows: int) -> None:
        """Notes a checkpoint; again changes nothing."""
        row = {"table": table, "moment": moment, "commit": commit, "path": path, "rows": rows}
        with self._store.transaction() as connection:
            connection.execute(insert(checkpoints).values(row).on_conflict_do_nothing())

    def has(self, table: str, moment: datetime) -> bool:
        """Whether there is one of an instant."""
        query = select(checkpoints.c.path).where(checkpoints.c.table == table, checkpoints.c.moment == moment).limit(1)
        with self._store.transaction() as connection:
            return connection.execute(query).first() is not None

    def paths(self) -> set[str]:
        """Paths of the rows of all checkpoints."""
        with self._store.transaction() as connection:
            return set(connection.scalars(select(checkpoints.c.path)))

    def newest(self, table: str, *, by: datetime, commit: int) -> Checkpoint | None:
        """The last one by an instant that knows nothing after a commit; of one instant the one that knows most."""
        query = (
            select(checkpoints)
            .where(checkpoints.c.table == table, checkpoints.c.moment <= by, checkpoints.c.commit <= commit)
            .order_by(checkpoints.c.moment.desc(), checkpoints.c.commit.desc())
            .limit(1)
        )
        with self._store.transaction() as connection:
            row = connection.execute(query).first()
        return None if row is None else Checkpoint(**row._mapping)
