"""Which keys a table covers, and by which reading: what the last run of each key published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from evergreen.errors import Superseded
from evergreen.store.schema import coverage
from evergreen.store.store import Store


@dataclass(frozen=True)
class Covered:
    """One key of one table.

    Attributes:
        step_key: Of the step that published it, or is about to.
        reading: Path of the staged rows.
        event_from: Least event time of the rows; ``None`` where there are none.
        event_to: Greatest event time, inclusive.
        details: ``first_load`` and ``fingerprint`` of a dataset's key.
        done_at: When it was published; ``None`` while its run is about to, or died before.
    """

    table: str
    as_of: str
    as_of_time: datetime
    step_key: str
    reading: str
    event_from: datetime | None
    event_to: datetime | None
    details: Mapping[str, Any]
    planned_at: datetime
    done_at: datetime | None


class Coverage:
    """The covered keys of all tables.

    A key is planned before its rows are appended and done afterwards, so that a run of another key never misses what
    this one is about to say, and a process that hung never brings an older reading back.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, table: str, as_of: str) -> Covered | None:
        """One key, done or planned."""
        with self._store.transaction() as connection:
            row = connection.execute(select(coverage).where(*_key(table, as_of))).first()
        return None if row is None else Covered(**row._mapping)

    def of(self, table: str) -> list[Covered]:
        """All keys of a table, planned ones too, in their order."""
        return self._where(coverage.c.table == table)

    def done(self, table: str) -> list[Covered]:
        """The published keys of a table, in their order."""
        return self._where(coverage.c.table == table, coverage.c.done_at.is_not(None))

    def first(self, table: str) -> Covered | None:
        """The first key of a table, a planned one too."""
        return next(iter(self._where(coverage.c.table == table, limit=1)), None)

    def first_done(self, table: str) -> Covered | None:
        """The first published key of a table."""
        return next(iter(self._where(coverage.c.table == table, coverage.c.done_at.is_not(None), limit=1)), None)

    def of_keys(self, table: str, keys: Sequence[str]) -> dict[str, Covered]:
        """Some keys of a table by their as_of, planned ones too."""
        found = self._where(coverage.c.table == table, coverage.c.as_of.in_(list(keys)))
        return {each.as_of: each for each in found}

    def done_from(self, table: str, moment: datetime) -> list[Covered]:
        """The published keys of a table that end at an instant or after it, in their order."""
        return self._where(coverage.c.table == table, coverage.c.done_at.is_not(None), coverage.c.as_of_time >= moment)

    def readings(self) -> set[str]:
        """Paths of the last readings of all keys of all tables."""
        with self._store.transaction() as connection:
            return set(connection.scalars(select(coverage.c.reading).distinct()))

    def lacking(self, table: str, of: str) -> list[Covered]:
        """The published keys of another table that a table has not published, in their order."""
        mine = coverage.alias()
        has = select(mine.c.as_of).where(
            mine.c.table == table, mine.c.as_of == coverage.c.as_of, mine.c.done_at.is_not(None)
        )
        return self._where(coverage.c.table == of, coverage.c.done_at.is_not(None), ~has.exists())

    def _where(self, *where: ColumnElement[bool], limit: int | None = None) -> list[Covered]:
        query = select(coverage).where(*where).order_by(coverage.c.as_of_time, coverage.c.as_of).limit(limit)
        with self._store.transaction() as connection:
            return [Covered(**row._mapping) for row in connection.execute(query)]

    def told(
        self,
        table: str,
        *,
        after: datetime | None,
        event_from: datetime | None,
        event_to: datetime | None,
        keys: Sequence[str],
    ) -> list[Covered]:
        """Keys that may have said something of rows of some event times, in their order.

        Args:
            after: Only keys after this instant; ``None`` for all.
            event_from: Least event time; ``None`` asks for all keys.
            event_to: Greatest event time, inclusive.
            keys: Keys that are wanted whatever they hold.
        """
        where = [coverage.c.table == table]
        if after is not None:
            where.append(coverage.c.as_of_time > after)
        if event_from is not None and event_to is not None:
            overlaps = and_(coverage.c.event_from <= event_to, coverage.c.event_to >= event_from)
            where.append(or_(overlaps, coverage.c.as_of.in_(list(keys))))
        return self._where(*where)

    def plan(self, rows: Sequence[Mapping[str, Any]], *, expected: Mapping[str, str | None]) -> None:
        """Says what keys are about to say; again with the same step key is the same.

        Args:
            rows: ``table``, ``as_of``, ``as_of_time``, ``step_key``, ``reading``, ``event_from``, ``event_to`` and
                ``details`` of each.
            expected: Step key that stood for each as_of when the reading was made.

        Raises:
            Superseded: When another reading of one of the keys was planned since.
        """
        with self._store.transaction() as connection:
            for row in rows:
                before = expected.get(row["as_of"])
                statement = insert(coverage).values(row)
                same = or_(coverage.c.step_key == row["step_key"], coverage.c.step_key == before)
                mine = statement.on_conflict_do_update(
                    index_elements=["table", "as_of"],
                    set_={
                        "step_key": statement.excluded.step_key,
                        "reading": statement.excluded.reading,
                        "event_from": statement.excluded.event_from,
                        "event_to": statement.excluded.event_to,
                        "details": statement.excluded.details,
                    },
                    where=same,
                ).returning(coverage.c.step_key)
                if connection.execute(mine).first() is None:
                    raise Superseded(f"{row['table']} as of {row['as_of']} was published from a newer state meanwhile.")

    def holds(self, table: str, step_keys: Mapping[str, str]) -> bool:
        """Whether the planned readings of some keys are still the last ones."""
        query = select(coverage.c.as_of, coverage.c.step_key).where(
            coverage.c.table == table, coverage.c.as_of.in_(list(step_keys))
        )
        with self._store.transaction() as connection:
            found = {row.as_of: row.step_key for row in connection.execute(query)}
        return found == dict(step_keys)

    def finish(self, table: str, step_keys: Mapping[str, str]) -> None:
        """Notes that planned readings were published."""
        with self._store.transaction() as connection:
            for as_of, step_key in step_keys.items():
                connection.execute(
                    update(coverage)
                    .where(*_key(table, as_of), coverage.c.step_key == step_key)
                    .values(done_at=func.clock_timestamp())
                )


def _key(table: str, as_of: str) -> tuple[Any, Any]:
    return coverage.c.table == table, coverage.c.as_of == as_of
