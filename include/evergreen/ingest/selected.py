"""Rows after ``select``: what they are, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError
from evergreen.ingest import timeline
from evergreen.ingest.normalise import plain
from evergreen.ingest.select import select
from evergreen.ingest.timeline import NONE, Interval
from evergreen.ingest.typed import Fault

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import Dataset


@dataclass
class Selected:
    """Rows after ``select`` with instants in UTC.

    Attributes:
        rows: The dataset's columns.
        numbers: Of each row the number of its raw row, ascending or not; ``None`` where there is no trace to it.
        faults: By index of a row, the rules that it breaks.
        later: Not 0 for event times that are wall-clock times which occur twice: see ``zone.Instants.later``.
    """

    rows: pa.Table
    numbers: Any
    faults: dict[int, list[Fault]] = field(default_factory=dict)
    later: Any = None

    def blame(self, indices: Iterable[int], rule: str, reasons: Iterable[str]) -> None:
        """Enters a broken rule of some rows."""
        for index, reason in zip(indices, reasons, strict=True):
            self.faults.setdefault(index, []).append((rule, reason))

    def take(self, mask: Any) -> Selected:
        """The rows of a boolean mask, with their faults."""
        import numpy as np
        import pyarrow as pa

        if mask.all():
            return self
        kept = np.flatnonzero(mask)
        moved = {int(old): new for new, old in enumerate(kept.tolist())} if self.faults else {}
        faults = {moved[index]: faults for index, faults in self.faults.items() if index in moved}
        numbers = None if self.numbers is None else self.numbers[kept]
        later = None if self.later is None else self.later[kept]
        return Selected(self.rows.take(pa.array(kept)), numbers, faults, later)

    def without_faults(self) -> Selected:
        """The rows that break no rule so far."""
        import numpy as np

        fine = np.ones(self.rows.num_rows, dtype=bool)
        fine[list(self.faults)] = False
        return self.take(fine)


def select_rows(dataset: Dataset, typed: pa.Table, as_digits: frozenset[str] = frozenset()) -> Selected:
    """Runs ``select`` and brings its result to the few types that tables have, times to instants.

    Args:
        dataset: Declares it.
        typed: Columns and ``__row``.
        as_digits: Columns whose numbers are to be texts, since rows elsewhere need it.

    Raises:
        DataError: It fails, or lacks a column that the dataset names.
    """
    place = f"dataset {dataset.name} select"
    try:
        table, numbers = select(typed, dataset.select, place)
    except DataError:
        if typed.num_rows or dataset.columns is not None:
            raise
        table, numbers = (_nothing(dataset), None)  # without rows there are no types, so the SQL cannot be judged
    return to_plain(dataset, table, numbers, as_digits)


def to_plain(dataset: Dataset, table: pa.Table, numbers: Any, as_digits: frozenset[str]) -> Selected:
    """What ``select`` gave, in the few types that tables have; see :func:`select_rows`."""
    import pyarrow as pa

    place = f"dataset {dataset.name} select"
    needed = {*dataset.identity, *([dataset.known_at] if dataset.known_at else [])}
    missing = sorted(needed.difference(table.column_names))
    if missing:
        raise DataError(
            place if dataset.select else f"dataset {dataset.name}", f"must give column(s) {', '.join(missing)}",
            value=table.column_names, remedy="Add them to select and columns, or correct entity, event_time, known_at.",
        )  # fmt: skip
    columns: dict[str, Any] = {}
    selected = Selected(table, numbers)
    for name in table.column_names:
        column = plain(table[name], name, dataset.timezone, as_digits=name in as_digits)
        columns[name] = column.values
        for index, rule, reason in column.faults:
            selected.blame([index], rule, [reason])
        if name == dataset.event_time:
            selected.later = column.later
    selected.rows = pa.table(columns)
    for name in filter(None, (dataset.event_time, dataset.known_at)):
        _read_times(selected, name, dataset)
    return selected


def check_identity(selected: Selected, dataset: Dataset) -> None:
    """Blames rows without a key or an event time."""
    import numpy as np

    for column in dataset.identity:
        empty = np.flatnonzero(selected.rows[column].is_null().to_numpy()).tolist()
        unseen = [index for index in empty if index not in selected.faults]
        rule = "event_time.missing" if column == dataset.event_time else "identity.missing"
        selected.blame(unseen, rule, [f"{column} must not be null"] * len(unseen))


def check_interval(selected: Selected, column: str, interval: Interval) -> None:
    """Blames rows of a run's own files whose event time lies outside of what it takes."""
    import numpy as np

    times = timeline.ticks_of(selected.rows[column])
    rules = {
        "event_time.after_interval": (
            times >= interval.end_ticks,
            f"lies after the interval, which ends {interval.end}",
        ),
        "event_time.too_late": (
            (times < interval.floor_ticks) & (times != NONE),
            f"came too late: the interval starts {interval.start} and the late window is {interval.late_window}",
        ),
    }
    for rule, (mask, rest) in rules.items():
        indices = np.flatnonzero(mask).tolist()
        values = selected.rows[column].take(indices).to_pylist() if indices else []
        selected.blame(indices, rule, [f"{column} {value} {rest}" for value in values])


def _read_times(selected: Selected, name: str, dataset: Dataset) -> None:
    rows, unread, later = timeline.to_instants(selected.rows, name, dataset)
    selected.rows = rows
    selected.blame([index for index, _ in unread], f"time.{name}", [reason for _, reason in unread])
    if later is not None and name == dataset.event_time:
        selected.later = later


def _nothing(dataset: Dataset) -> pa.Table:
    import pyarrow as pa

    instants = {dataset.event_time, dataset.known_at}
    names = dict.fromkeys([*dataset.identity, *filter(None, [dataset.known_at])])
    return pa.schema([(n, pa.timestamp("us", tz="UTC") if n in instants else pa.null()) for n in names]).empty_table()
