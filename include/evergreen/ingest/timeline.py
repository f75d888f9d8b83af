"""When rows happened and when they became known, against the interval of a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError
from evergreen.ingest.cast import cast
from evergreen.ingest.normalise import plain

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import Dataset

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NONE = -(2**63)
"""Stands for a missing instant among ticks."""


@dataclass(frozen=True)
class Interval:
    """What a run covers: ``[start, end)``, and how far back late rows are taken.

    A first load, before which the source has nothing, has no lower bound.
    """

    start: datetime
    end: datetime
    late_window: timedelta
    first_load: bool

    @property
    def floor(self) -> datetime:
        """Least event time taken, except in a first load."""
        return self.start - self.late_window

    @property
    def floor_ticks(self) -> int:
        """Least event time taken, in microseconds since 1970."""
        return NONE + 1 if self.first_load else ticks(self.floor)

    @property
    def end_ticks(self) -> int:
        """Exclusive end, in microseconds since 1970."""
        return ticks(self.end)


def ticks(moment: datetime) -> int:
    """Microseconds since 1970 of an instant."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def to_instants(rows: pa.Table, column: str, dataset: Dataset) -> tuple[pa.Table, list[tuple[int, str]], Any]:
    """Makes a column (instant, date or text) one of instants; tells rows whose value is none, and those that repeat.

    Returns:
        The rows; index and reason of each that has no instant; ``zone.Instants.later`` of wall-clock times some of
        which occur twice, else ``None``.

    Raises:
        DataError: The column is of another type.
    """
    import pyarrow as pa

    kind = rows.schema.field(column).type
    place = rows.column_names.index(column)
    instant = pa.timestamp("us", tz="UTC")
    if pa.types.is_timestamp(kind):
        return rows, [], None
    if pa.types.is_null(kind):
        return rows.set_column(place, column, rows[column].cast(instant)), [], None
    if pa.types.is_date(kind):
        midnight = plain(rows[column].cast(pa.timestamp("us")), column, dataset.timezone)
        unread = [(index, reason) for index, _, reason in midnight.faults]
        return rows.set_column(place, column, midnight.values), unread, midnight.later
    if pa.types.is_string(kind):
        done = cast(rows.select([column]), {column: "timestamp"}, dataset.timezone)
        unread = [(each.index, each.reason) for each in done.misfits]
        return rows.set_column(place, column, done.columns[column]), unread, done.later.get(column)
    raise DataError(
        f"dataset {dataset.name} column {column}", "must be a timestamp, a date or ISO text", value=str(kind),
        remedy="Derive it in select, such as to_timestamp(seconds) or strptime(text, format).",
    )  # fmt: skip


def ticks_of(values: pa.ChunkedArray) -> Any:
    """Microseconds since 1970 as numpy int64; ``NONE`` where null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.fill_null(values.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()), NONE).to_numpy()


def known_at(rows: pa.Table, dataset: Dataset, interval: Interval) -> pa.Array:
    """When each row became known: the source's own column, else event time plus the declared delay, else the end.

    What the source says is taken as it is, be it after the interval's end; where it says nothing, the end counts. The
    delay holds for rows of the run's own interval and of a first load, up to the end, since the run had them by then;
    rows that came late count as known at the end.
    """
    import numpy as np
    import pyarrow as pa

    end = interval.end_ticks
    known = np.full(rows.num_rows, end, dtype="int64")
    if dataset.known_at is not None:
        own = ticks_of(rows[dataset.known_at])
        known = np.where(own == NONE, end, own)
    elif dataset.event_time is not None and dataset.availability_delay is not None:
        event = ticks_of(rows[dataset.event_time])
        delay = dataset.availability_delay // timedelta(microseconds=1)
        in_time = np.ones(rows.num_rows, dtype=bool) if interval.first_load else event >= ticks(interval.start)
        known = np.where(in_time, np.minimum(event + delay, end), end)
    return pa.array(known, type=pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def neighbour_ticks(numbers: Any, times: Any, asked: Any) -> Any:
    """Event time of the nearest row read before (else after) each asked row; ``NONE`` if there is none at all.

    Args:
        numbers: Row numbers with a known event time.
        times: Their event times in ticks.
        asked: Row numbers asked for.
    """
    import numpy as np

    if len(numbers) == 0:
        return np.full(len(asked), NONE, dtype="int64")
    order = np.argsort(numbers, kind="stable")
    where = np.searchsorted(numbers[order], asked, side="right") - 1
    return times[order][np.maximum(where, 0)]
