"""What runs saw of a source that is one for all of them: so that a row which comes too late for all is noticed, once.

By day a count and a digest of the rows, by run what it took, and what it found too late. A run that finds a late row
answers for it from then on, however often it is killed and tried again; no other run takes that row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.dialects.postgresql import insert

from evergreen import faults
from evergreen.store.schema import seen_days, seen_runs
from evergreen.store.store import Store


class DayState(NamedTuple):
    """The rows of one day.

    Attributes:
        n_rows: How many there are.
        digest: Sum of their hashes, whatever their order.
        definition: Digest of what the hashes depend on beside the source.
    """

    n_rows: int
    digest: int
    definition: str


@dataclass(frozen=True)
class SeenRun:
    """What one run took.

    Attributes:
        covers_from: Least event time; ``None`` where there was no bound.
        covers_to: Exclusive end.
        definition: As of :class:`DayState`.
        late: Hashes of the rows that it found too late, by day.
    """

    as_of: str
    covers_from: datetime | None
    covers_to: datetime
    definition: str
    late: Mapping[date, frozenset[int]] = field(default_factory=dict)


class SeenRows:
    """What the runs of each dataset saw.

    Args:
        store: Where it stands.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def days(self, dataset: str) -> dict[date, DayState]:
        """The days of a dataset as they were last seen."""
        query = select(seen_days).where(seen_days.c.dataset == dataset)
        with self._store.transaction() as connection:
            return {row.day: DayState(row.n_rows, row.digest, row.definition) for row in connection.execute(query)}

    def runs(self, dataset: str) -> list[SeenRun]:
        """The runs of a dataset, by the end of what they took."""
        query = select(seen_runs).where(seen_runs.c.dataset == dataset).order_by(seen_runs.c.covers_to)
        with self._store.transaction() as connection:
            return [
                SeenRun(row.as_of, row.covers_from, row.covers_to, row.definition, _read(row.late))
                for row in connection.execute(query)
            ]

    def answer(self, dataset: str, run: SeenRun, days: Mapping[date, DayState]) -> dict[date, frozenset[int]]:
        """Notes what a run saw, in one transaction; again with the same is the same.

        Args:
            dataset: Whose run it is.
            run: With the rows that it finds too late.
            days: States of days that are not what they were when they were last seen.

        Returns:
            Which of the late rows are this run's to answer for: those that no other run found before.
        """
        faults.point("seen:before")
        with self._store.transaction() as connection:
            # Of two runs that find the same row at once one must be the first.
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("seen"), func.hashtext(dataset))))
            mine: dict[date, frozenset[int]] = {}
            taken: dict[date, frozenset[int]] = {}
            found = select(seen_runs.c.as_of, seen_runs.c.late).where(seen_runs.c.dataset == dataset)
            for row in connection.execute(found):
                into = mine if row.as_of == run.as_of else taken
                for day, hashes in _read(row.late).items():
                    into[day] = into.get(day, frozenset()) | hashes
            own = {day: hashes - taken.get(day, frozenset()) for day, hashes in run.late.items()}
            kept = {day: mine.get(day, frozenset()) | own.get(day, frozenset()) for day in {*mine, *own}}
            late = {day.isoformat(): sorted(hashes) for day, hashes in sorted(kept.items()) if hashes}
            noted = {
                "dataset": dataset, "as_of": run.as_of, "covers_from": run.covers_from, "covers_to": run.covers_to,
                "definition": run.definition, "late": late,
            }  # fmt: skip
            _put(connection, seen_runs, [noted], ("dataset", "as_of"))
            states = [{"dataset": dataset, "day": day, **state._asdict()} for day, state in sorted(days.items())]
            _put(connection, seen_days, states, ("dataset", "day"))
        faults.point("seen:after")
        return own


def _put(connection: Connection, table: Table, rows: list[dict[str, Any]], key: Sequence[str]) -> None:
    """Inserts rows, or updates those that are there."""
    for start in range(0, len(rows), 1000):
        statement = insert(table).values(rows[start : start + 1000])
        rest = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in key}
        connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=rest))


def _read(late: Mapping[str, Iterable[int]]) -> dict[date, frozenset[int]]:
    return {date.fromisoformat(day): frozenset(hashes) for day, hashes in late.items()}
