"""Reads what a run of a dataset covers: good rows, rows set aside, and figures that add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError
from evergreen.ingest import repeated, timeline
from evergreen.ingest.agree import conform
from evergreen.ingest.doubles import find_doubles
from evergreen.ingest.files import file_system, fingerprint_of, locate
from evergreen.ingest.late import LateRows, Pool
from evergreen.ingest.load import ROW, Raw, confirm_unchanged, load
from evergreen.ingest.normalise import is_empty
from evergreen.ingest.quarantine import Reject, rows_as_json, to_table
from evergreen.ingest.selected import Selected, check_identity, check_interval, select_rows
from evergreen.ingest.timeline import NONE, Interval
from evergreen.ingest.typed import Fault, Typed, typed
from evergreen.spec.base import DType

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import Dataset

KNOWN_AT, SOURCE, LINE = "__known_at", "__source", "__line"
HIDDEN = (KNOWN_AT, SOURCE, LINE, ROW)
"""Columns of ``Read.good`` beside the dataset's own."""


@dataclass(frozen=True)
class Read:
    """What a run read; always ``rows_read == good.num_rows + quarantined.num_rows + superseded``.

    Attributes:
        good: The dataset's columns after ``select``, instants in UTC, then ``__known_at`` (when a row became known),
            ``__source`` and ``__line`` (where it stands; null where that is not known) and ``__row`` (its number among
            all records of all files, from 0; null where ``select`` keeps no trace). A column of a type that nobody
            declared and without a value is of type null.
        quarantined: Rows set aside (``quarantine.schema``).
        late: How many of them lie below what the run covers and came too late for every run (``late.LateRows``).
        superseded: Doubles within the run that another row of their identity replaced.
        rows_read: Rows that came out of ``select`` plus those set aside before it, as far as the run covers them.
        rows_source: Records of all files, whatever their time.
        fingerprint: Digest of the files.
        files: Their names relative to the landing root.
    """

    good: pa.Table
    quarantined: pa.Table
    late: int
    superseded: int
    rows_read: int
    rows_source: int
    fingerprint: str
    files: tuple[str, ...]


def read(
    dataset: Dataset,
    *,
    as_of: str,
    start: datetime,
    end: datetime,
    first_load: bool,
    landing: str,
    types: Mapping[str, DType] | None = None,
    late: LateRows | None = None,
) -> Read:
    """Reads the rows of ``[start, end)``.

    Files named by ``{as_of}`` are taken whole: a row at or after ``end``, or before ``start`` minus the late window
    (except in a first load), is quarantined. Of other files only the rows of the interval and its late window (in a
    first load: all before ``end``) count as read, and what ``late`` finds below; there, a broken row without a readable
    event time counts to the interval of the row before it.

    Args:
        dataset: What to read.
        as_of: The run's key.
        start: Inclusive, UTC.
        end: Exclusive, UTC.
        first_load: Whether the dataset has no published rows yet.
        landing: Root, path or fsspec URI, of the files.
        types: Of the published table's columns. Columns that nobody declared are read in them where they lose nothing.
        late: Finds rows of other files that came too late for every run; without it nothing below is looked at.

    Raises:
        NotReady, Skipped: No file is there (see ``files.locate``).
        DataError: A file, or the ``select``, cannot be used as it is; nothing of it may be published.
    """
    fs = file_system(landing)
    files = locate(dataset, as_of=as_of, landing=landing)
    digest = fingerprint_of(fs, files)
    raw = load(dataset, fs, files)
    confirm_unchanged(files, locate(dataset, as_of=as_of, landing=landing))

    interval = Interval(start, end, dataset.late_window, first_load)
    rows = typed(raw, dataset, types or {})
    selected = _selected(rows, raw, dataset, types or {})
    check_identity(selected, dataset)
    early, too_late = [*raw.malformed, *_broken(rows, raw)], 0
    if dataset.event_time is not None:
        if "{as_of}" in dataset.source.path:
            check_interval(selected, dataset.event_time, interval)
        else:
            pool = _timed(selected, early, _broken_times(dataset, rows), raw, dataset.event_time, interval)
            selected, early, too_late = _cut_to_interval(pool, dataset.event_time, late)
    good, faulty, superseded = _settled(selected, raw, dataset)
    rejects = [reject for _, reject in early] + faulty
    return Read(
        good=_with_hidden(good, raw, timeline.known_at(good.rows, dataset, interval), dataset),
        quarantined=to_table(rejects, stage="read", as_of=as_of),
        late=too_late,
        superseded=superseded,
        rows_read=good.rows.num_rows + len(rejects) + superseded,
        rows_source=raw.count,
        fingerprint=digest,
        files=tuple(each.name for each in files),
    )


def _selected(rows: Typed, raw: Raw, dataset: Dataset, types: Mapping[str, DType]) -> Selected:
    """Runs ``select`` on the rows that could be read; tells repeated hours apart before and after it."""
    mixed = repeated.settle_typed(rows, raw, dataset)
    selected = select_rows(dataset, _without(rows.rows, rows.faults))
    if selected.numbers is None and mixed:
        rows.faults = dict(sorted((rows.faults | mixed).items()))
        selected = select_rows(dataset, _without(rows.rows, rows.faults))
    repeated.settle_selected(selected, rows, raw, dataset)
    if dataset.columns is None:
        place = f"dataset {dataset.name}"
        selected.rows = conform(selected.rows, types, dataset.timezone, place, lambda row: _where(selected, raw, row))
    return selected


def _where(selected: Selected, raw: Raw, row: int) -> str:
    if selected.numbers is None:
        return raw.summary
    name, line = raw.place_of(int(selected.numbers[row]))
    return name if line is None else f"{name}:{line}"


def _without(table: pa.Table, left_out: Iterable[int]) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    keep = np.ones(table.num_rows, dtype=bool)
    keep[list(left_out)] = False
    return table if keep.all() else table.filter(pa.array(keep))


def _broken(rows: Typed, raw: Raw) -> list[tuple[int, Reject]]:
    """Row number and reject of each row that could not be read."""
    numbers = rows.rows[ROW].take(list(rows.faults)).to_pylist() if rows.faults else []
    return [
        (number, _reject(faults, text, *raw.place_of(number)))
        for number, text, faults in zip(numbers, raw.as_json(numbers), rows.faults.values(), strict=True)
    ]


def _broken_times(dataset: Dataset, rows: Typed) -> tuple[Any, Any]:
    """Row numbers and event times of broken rows whose event time can be read all the same."""
    import numpy as np

    nothing = np.array([], dtype="int64"), np.array([], dtype="int64")
    if not rows.faults or dataset.event_time is None:
        return nothing
    try:
        selected = select_rows(dataset, rows.rows.take(list(rows.faults)))
    except DataError:
        return nothing
    if selected.numbers is None:
        return nothing
    times = timeline.ticks_of(selected.rows[dataset.event_time])
    return selected.numbers[times != NONE], times[times != NONE]


def _timed(
    selected: Selected,
    early: list[tuple[int, Reject]],
    broken_times: tuple[Any, Any],
    raw: Raw,
    column: str,
    interval: Interval,
) -> Pool:
    """When the rows of a shared source happened; one without an event time goes with the row read before it."""
    import numpy as np

    times = timeline.ticks_of(selected.rows[column])
    if selected.numbers is None:
        return Pool(selected, times, early, np.full(len(early), NONE), raw, interval)
    timed = times != NONE
    numbers = np.concatenate([selected.numbers[timed], broken_times[0]])
    known = np.concatenate([times[timed], broken_times[1]])
    times = np.where(timed, times, timeline.neighbour_ticks(numbers, known, selected.numbers))
    asked = np.array([number for number, _ in early], dtype="int64")
    return Pool(selected, times, early, timeline.neighbour_ticks(numbers, known, asked), raw, interval)


def _cut_to_interval(pool: Pool, column: str, late: LateRows | None) -> tuple[Selected, list[tuple[int, Reject]], int]:
    """The rows that the run covers, and those, and how many, that came too late for every run and that it found."""
    import numpy as np

    interval, selected, count = pool.interval, pool.selected, 0
    inside, early_inside = (
        (times >= interval.floor_ticks) & (times < interval.end_ticks) for times in (pool.times, pool.early_times)
    )
    if late is None:
        inside, early_inside = inside | (pool.times == NONE), early_inside | (pool.early_times == NONE)
    else:
        found, early_found = late.find(pool)
        count = int(found.sum() + early_found.sum())
        inside, early_inside = inside | found, early_inside | early_found
        fresh = [index for index in np.flatnonzero(found).tolist() if index not in selected.faults]
        values = selected.rows[column].take(fresh).to_pylist() if fresh else []
        floor = interval.start - interval.late_window
        rest = f"came too late: it lies before {floor} and was not there when its interval was read"
        selected.blame(fresh, "event_time.too_late", [f"{column} {value} {rest}" for value in values])
    early = [each for each, ours in zip(pool.early, early_inside.tolist(), strict=True) if ours]
    return selected.take(inside), early, count


def _settled(selected: Selected, raw: Raw, dataset: Dataset) -> tuple[Selected, list[Reject], int]:
    """Sets faulty rows aside, then doubles: superseded, or refused as well."""
    rejects = _rejects(selected, raw)
    left = selected.without_faults()
    doubled = find_doubles(left.rows, dataset.identity, dataset.dedupe, dataset.known_at)
    superseded = int(doubled.sum())
    if dataset.dedupe == "reject" and superseded:
        refused = left.take(doubled)
        keys = ", ".join(dataset.identity)
        reason = f"identity ({keys}) must be unique within a run, and dedupe is reject"
        refused.blame(range(superseded), "dedupe.reject", [reason] * superseded)
        rejects += _rejects(refused, raw)
        superseded = 0
    return left.take(~doubled), rejects, superseded


def _rejects(selected: Selected, raw: Raw) -> list[Reject]:
    """Rejects of the faulty rows, with the original row where it is known, else the selected one."""
    indices = sorted(selected.faults)
    if selected.numbers is None:
        texts = rows_as_json(selected.rows, indices)
        return [
            _reject(selected.faults[index], text, raw.summary, None) for index, text in zip(indices, texts, strict=True)
        ]
    numbers = selected.numbers[indices].tolist()
    return [
        _reject(selected.faults[index], text, *raw.place_of(number))
        for index, text, number in zip(indices, raw.as_json(numbers), numbers, strict=True)
    ]


def _reject(faults: Sequence[Fault], row: str, source: str, line: int | None) -> Reject:
    return Reject("; ".join(dict.fromkeys(reason for _, reason in faults)), faults[0][0], row, source, line)


def _with_hidden(good: Selected, raw: Raw, known_at: pa.Array, dataset: Dataset) -> pa.Table:
    import pyarrow as pa

    count = good.rows.num_rows
    sources, lines = raw.places(good.numbers, count)
    numbers = pa.nulls(count, pa.int64()) if good.numbers is None else pa.array(good.numbers, pa.int64())
    table = good.rows if dataset.columns is not None else _without_types(good.rows, dataset)
    hidden = (known_at, sources.cast(pa.string()), lines.cast(pa.int64()), numbers)
    for name, values in zip(HIDDEN, hidden, strict=True):
        table = table.append_column(name, values)
    return table


def _without_types(rows: pa.Table, dataset: Dataset) -> pa.Table:
    """Takes the type off columns without a value, except of times."""
    import pyarrow as pa

    for index, name in enumerate(rows.column_names):
        if name not in (dataset.event_time, dataset.known_at) and is_empty(rows[name]):
            rows = rows.set_column(index, name, pa.nulls(rows.num_rows))
    return rows
