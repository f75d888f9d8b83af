"""Counts of a table's rows by interval, as increments: what each commit of the lake's table added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from evergreen.store.schema import counted, increments
from evergreen.store.store import Store


class Counted(NamedTuple):
    """How far a table was counted: a sum is exact for every commit from ``first`` to ``last``."""

    first: int
    last: int


class Interval(NamedTuple):
    """An interval's sums."""

    begin: datetime
    rows: int
    labels: int


class Increments:
    """Increments of all tables.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def counted(self, table: str, counter: str) -> Counted | None:
        """How far a counter of a table has come."""
        query = select(counted.c.first, counted.c.last).where(counted.c.table == table, counted.c.counter == counter)
        with self._store.transaction() as connection:
            row = connection.execute(query).first()
        return None if row is None else Counted(row.first, row.last)

    def add(
        self, table: str, counter: str, before: Counted | None, after: Counted, rows: Iterable[Mapping[str, Any]]
    ) -> bool:
        """Adds increments, unless somebody else went on from ``before`` meanwhile.

        Args:
            rows: ``commit``, ``event``, ``known``, ``rows`` and ``labels`` of each.

        Returns:
            Whether they were added.
        """
        whose = {"table": table, "counter": counter}
        with self._store.transaction() as connection:
            if before is None:
                statement = insert(counted).values(**whose, **after._asdict()).on_conflict_do_nothing()
                is_mine = connection.execute(statement.returning(counted.c.last)).first() is not None
            else:
                of = (counted.c.table == table, counted.c.counter == counter, counted.c.last == before.last)
                is_mine = connection.execute(update(counted).where(*of).values(**after._asdict())).rowcount == 1
            made = [{**whose, **row} for row in rows]
            if is_mine and made:
                connection.execute(insert(increments), made)
            return is_mine

    def sums(self, table: str, counter: str, *, commit: int, known_by: datetime, until: datetime) -> Sequence[Interval]:
        """Rows and labels of each interval that begins before an instant, as known by one, in order.

        Args:
            commit: What was committed later does not count.
            known_by: A boundary.
            until: Exclusive.
        """
        rows, labels = func.sum(increments.c.rows), func.sum(increments.c.labels)
        query = (
            select(increments.c.event, rows, labels)
            .where(
                increments.c.table == table,
                increments.c.counter == counter,
                increments.c.commit <= commit,
                increments.c.known <= known_by,
                increments.c.event < until,
            )
            .group_by(increments.c.event)
            .order_by(increments.c.event)
        )
        with self._store.transaction() as connection:
            return [Interval(begin, int(n), int(m)) for begin, n, m in connection.execute(query)]
