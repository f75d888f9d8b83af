"""Where the rows of every ingested interval went: rows read = good + quarantined + superseded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert

from evergreen.store.schema import row_counts
from evergreen.store.store import Store


@dataclass(frozen=True)
class RowCount:
    """The counts of one run.

    Attributes:
        step_key: Digest of what the run read.
        good: Rows appended or found unchanged; ``details`` says how many of each.
        quarantined: Rows kept apart, each with its reason.
        superseded: Doubles that another row of the run replaced.
    """

    dataset: str
    as_of: str
    as_of_time: datetime
    step_key: str
    rows_read: int
    good: int
    quarantined: int
    superseded: int
    details: Mapping[str, Any]
    at: datetime


class RowCounts:
    """The counts of all datasets.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(
        self,
        dataset: str,
        as_of: str,
        as_of_time: datetime,
        *,
        step_key: str,
        rows_read: int,
        good: int,
        quarantined: int,
        superseded: int,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Stores a run's counts; the same step stores them once.

        Raises:
            ValueError: When the counts do not add up: rows would be lost or doubled.
        """
        if rows_read != good + quarantined + superseded or min(good, quarantined, superseded) < 0:
            raise ValueError(
                f"{dataset} as of {as_of}: rows_read == good + quarantined + superseded must hold, got "
                f"(rows_read={rows_read}, good={good}, quarantined={quarantined}, superseded={superseded})"
            )
        row = {
            "dataset": dataset, "as_of": as_of, "as_of_time": as_of_time, "step_key": step_key, "rows_read": rows_read,
            "good": good, "quarantined": quarantined, "superseded": superseded, "details": details or {},
        }  # fmt: skip
        with self._store.transaction() as connection:
            connection.execute(insert(row_counts).values(row).on_conflict_do_nothing())

    def of(self, dataset: str) -> list[RowCount]:
        """The newest counts of every interval, by interval; a repaired source replaces what it counted before."""
        newest = {count.as_of: count for count in self._where(row_counts.c.dataset == dataset)}
        return sorted(newest.values(), key=lambda count: count.as_of_time)

    def runs(self, dataset: str, as_of: str) -> list[RowCount]:
        """The counts of every run of one interval that read something else, in their order."""
        return self._where(row_counts.c.dataset == dataset, row_counts.c.as_of == as_of)

    def _where(self, *where: ColumnElement[bool]) -> list[RowCount]:
        columns = [column for column in row_counts.columns if column.name != "id"]
        query = select(*columns).where(*where).order_by(row_counts.c.id)
        with self._store.transaction() as connection:
            return [RowCount(**row._mapping) for row in connection.execute(query)]

    def earliest_as_of_time(self, dataset: str) -> datetime | None:
        """The first interval that was ever loaded."""
        query = select(func.min(row_counts.c.as_of_time)).where(row_counts.c.dataset == dataset)
        with self._store.transaction() as connection:
            return connection.execute(query).scalar()
