"""Reads what a run of a dataset covers: good rows, rows set aside, and figures that add up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError
from evergreen.ingest import timeline
from evergreen.ingest.cast import cast
from evergreen.ingest.doubles import find_doubles
from evergreen.ingest.files import file_system, fingerprint_of, locate
from evergreen.ingest.load import ROW, Raw, confirm_unchanged, load
from evergreen.ingest.normalise import normalise
from evergreen.ingest.quarantine import Reject, rows_as_json, to_table
from evergreen.ingest.select import select
from evergreen.ingest.timeline import NONE, Interval

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import Dataset

KNOWN_AT, SOURCE, LINE = "__known_at", "__source", "__line"
HIDDEN = (KNOWN_AT, SOURCE, LINE)
"""Columns of ``Read.good`` beside the dataset's own."""


@dataclass(frozen=True)
class Read:
    """What a run read; always ``rows_read == good.num_rows + quarantined.num_rows + superseded``.

    Attributes:
        good: The dataset's columns after ``select``, instants in UTC, then ``__known_at`` (when a row became known),
            ``__source`` and ``__line`` (where it stands; null where that is not known).
        quarantined: Rows set aside (``quarantine.schema``).
        superseded: Doubles within the run that another row of their identity replaced.
        rows_read: Rows that came out of ``select`` plus those set aside before it, as far as the run covers them.
        rows_source: Records of all files, whatever their time.
        fingerprint: Digest of the files.
        files: Their names relative to the landing root.
    """

    good: pa.Table
    quarantined: pa.Table
    superseded: int
    rows_read: int
    rows_source: int
    fingerprint: str
    files: tuple[str, ...]


@dataclass
class _Selected:
    """Rows after ``select`` with instants in UTC; ``numbers`` are those of the raw rows, ``None`` without trace."""

    rows: pa.Table
    numbers: Any
    faults: dict[int, list[tuple[str, str]]] = field(default_factory=dict)

    def blame(self, indices: Iterable[int], rule: str, reasons: Iterable[str]) -> None:
        for index, reason in zip(indices, reasons, strict=True):
            self.faults.setdefault(index, []).append((rule, reason))


def read(dataset: Dataset, *, as_of: str, start: datetime, end: datetime, first_load: bool, landing: str) -> Read:
    """Reads the rows of ``[start, end)``.

    Files named by ``{as_of}`` are taken whole: a row at or after ``end``, or before ``start`` minus the late window
    (except in a first load), is quarantined. Of other files only the rows of the interval and its late window (in a
    first load: all before ``end``) count as read; there, a broken row without a readable event time counts to the
    interval of the row before it.

    Args:
        dataset: What to read.
        as_of: The run's key.
        start: Inclusive, UTC.
        end: Exclusive, UTC.
        first_load: Whether the dataset has no published rows yet.
        landing: Root, path or fsspec URI, of the files.

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
    typed, misfits = cast(raw.table, dataset.columns, dataset.timezone)
    broken = _broken_rows(misfits)
    selected = _select(dataset, _without(typed, broken))
    _check_identity(selected, dataset)
    early_rejects = [*raw.malformed, *_reject_broken(raw, broken)]
    if dataset.event_time is not None:
        if "{as_of}" in dataset.source.path:
            _check_interval(selected, dataset.event_time, interval)
        else:
            timed = _broken_times(dataset, typed, broken)
            selected, early_rejects = _cut_to_interval(selected, early_rejects, timed, dataset.event_time, interval)
    good, rejects, superseded = _settle(selected, raw, dataset)
    good = _with_hidden(good, raw, timeline.known_at(good.rows, dataset, interval))
    rejects = [reject for _, reject in early_rejects] + rejects
    return Read(
        good=good,
        quarantined=to_table(rejects, stage="read", as_of=as_of),
        superseded=superseded,
        rows_read=good.num_rows + len(rejects) + superseded,
        rows_source=raw.count,
        fingerprint=digest,
        files=tuple(each.name for each in files),
    )


def _broken_rows(misfits: Iterable[Any]) -> dict[int, list[tuple[str, str]]]:
    broken: dict[int, list[tuple[str, str]]] = {}
    for each in misfits:
        broken.setdefault(each.index, []).append((f"columns.{each.column}", each.reason))
    return dict(sorted(broken.items()))


def _without(table: pa.Table, left_out: Iterable[int]) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    keep = np.ones(table.num_rows, dtype=bool)
    keep[list(left_out)] = False
    return table if keep.all() else table.filter(pa.array(keep))


def _select(dataset: Dataset, typed: pa.Table) -> _Selected:
    place = f"dataset {dataset.name} select"
    try:
        table, numbers = select(typed, dataset.select, place)
    except DataError:
        if typed.num_rows or dataset.columns is not None:
            raise
        table, numbers = (_nothing(dataset), None)  # without rows there are no types, so the SQL cannot be judged
    needed = {*dataset.identity, *([dataset.known_at] if dataset.known_at else [])}
    missing = sorted(needed.difference(table.column_names))
    if missing:
        raise DataError(
            place if dataset.select else f"dataset {dataset.name}", f"must give column(s) {', '.join(missing)}",
            value=table.column_names, remedy="Add them to select and columns, or correct entity, event_time, known_at.",
        )  # fmt: skip
    rows, nowhere = normalise(table, dataset.timezone)
    selected = _Selected(rows, numbers)
    selected.blame([index for index, _ in nowhere], "time.nonexistent", [reason for _, reason in nowhere])
    for column in filter(None, (dataset.event_time, dataset.known_at)):
        selected.rows, unread = timeline.to_instants(selected.rows, column, dataset)
        selected.blame([index for index, _ in unread], f"time.{column}", [reason for _, reason in unread])
    return selected


def _nothing(dataset: Dataset) -> pa.Table:
    import pyarrow as pa

    instants = {dataset.event_time, dataset.known_at}
    names = dict.fromkeys([*dataset.identity, *filter(None, [dataset.known_at])])
    return pa.schema([(n, pa.timestamp("us", tz="UTC") if n in instants else pa.string()) for n in names]).empty_table()


def _check_identity(selected: _Selected, dataset: Dataset) -> None:
    import numpy as np

    for column in dataset.identity:
        empty = np.flatnonzero(selected.rows[column].is_null().to_numpy()).tolist()
        unseen = [index for index in empty if index not in selected.faults]
        rule = "event_time.missing" if column == dataset.event_time else "identity.missing"
        selected.blame(unseen, rule, [f"{column} must not be null"] * len(unseen))


def _check_interval(selected: _Selected, column: str, interval: Interval) -> None:
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


def _broken_times(dataset: Dataset, typed: pa.Table, broken: dict[int, Any]) -> tuple[Any, Any]:
    """Row numbers and event times of broken rows whose event time can be read all the same."""
    import numpy as np

    nothing = np.array([], dtype="int64"), np.array([], dtype="int64")
    if not broken or dataset.event_time is None:
        return nothing
    try:
        selected = _select(dataset, typed.take(list(broken)))
    except DataError:
        return nothing
    if selected.numbers is None:
        return nothing
    times = timeline.ticks_of(selected.rows[dataset.event_time])
    return selected.numbers[times != NONE], times[times != NONE]


def _cut_to_interval(
    selected: _Selected, early: list[tuple[int, Reject]], broken_times: tuple[Any, Any], column: str, interval: Interval
) -> tuple[_Selected, list[tuple[int, Reject]]]:
    """Keeps what the run covers; a row without event time goes with the row read before it."""
    import numpy as np
    import pyarrow as pa

    times = timeline.ticks_of(selected.rows[column])
    if selected.numbers is None:
        covered = _covers(interval, times)
        return _take(selected, covered), early
    timed = times != NONE
    numbers = np.concatenate([selected.numbers[timed], broken_times[0]])
    known = np.concatenate([times[timed], broken_times[1]])
    times = np.where(timed, times, timeline.neighbour_ticks(numbers, known, selected.numbers))
    asked = np.array([number for number, _ in early], dtype="int64")
    early_covered = _covers(interval, timeline.neighbour_ticks(numbers, known, asked))
    kept = _take(selected, pa.array(_covers(interval, times)).to_numpy(zero_copy_only=False))
    return kept, [each for each, inside in zip(early, early_covered.tolist(), strict=True) if inside]


def _covers(interval: Interval, times: Any) -> Any:
    return (times == NONE) | ((times >= interval.floor_ticks) & (times < interval.end_ticks))


def _take(selected: _Selected, mask: Any) -> _Selected:
    import numpy as np
    import pyarrow as pa

    if mask.all():
        return selected
    kept = np.flatnonzero(mask)
    moved = {int(old): new for new, old in enumerate(kept.tolist())} if selected.faults else {}
    faults = {moved[index]: faults for index, faults in selected.faults.items() if index in moved}
    numbers = None if selected.numbers is None else selected.numbers[kept]
    return _Selected(selected.rows.take(pa.array(kept)), numbers, faults)


def _settle(selected: _Selected, raw: Raw, dataset: Dataset) -> tuple[_Selected, list[Reject], int]:
    """Sets faulty rows aside, then doubles: superseded, or refused as well."""
    import numpy as np

    rejects = _reject_selected(selected, raw)
    fine = np.ones(selected.rows.num_rows, dtype=bool)
    fine[list(selected.faults)] = False
    left = _take(_Selected(selected.rows, selected.numbers), fine)
    doubled = find_doubles(left.rows, dataset.identity, dataset.dedupe, dataset.known_at)
    superseded = int(doubled.sum())
    if dataset.dedupe == "reject" and superseded:
        refused = _take(left, doubled)
        keys = ", ".join(dataset.identity)
        reason = f"identity ({keys}) must be unique within a run, and dedupe is reject"
        refused.blame(range(superseded), "dedupe.reject", [reason] * superseded)
        rejects += _reject_selected(refused, raw)
        superseded = 0
    return _take(left, ~doubled), rejects, superseded


def _reject_broken(raw: Raw, broken: dict[int, list[tuple[str, str]]]) -> list[tuple[int, Reject]]:
    numbers = raw.table[ROW].take(list(broken)).to_pylist() if broken else []
    texts = rows_as_json(raw.table.drop_columns([ROW]), broken)
    return [
        (number, _reject(faults, text, *raw.place_of(number)))
        for number, text, faults in zip(numbers, texts, broken.values(), strict=True)
    ]


def _reject_selected(selected: _Selected, raw: Raw) -> list[Reject]:
    """Rejects with the original row where it is known, else the selected one."""
    import numpy as np

    indices = sorted(selected.faults)
    if selected.numbers is None:
        texts = rows_as_json(selected.rows, indices)
        return [
            _reject(selected.faults[index], text, raw.summary, None) for index, text in zip(indices, texts, strict=True)
        ]
    numbers = selected.numbers[indices]
    at = np.searchsorted(raw.table[ROW].to_numpy(), numbers).tolist()
    texts = rows_as_json(raw.table.drop_columns([ROW]), at)
    return [
        _reject(selected.faults[index], text, *raw.place_of(number))
        for index, number, text in zip(indices, numbers.tolist(), texts, strict=True)
    ]


def _reject(faults: list[tuple[str, str]], row: str, source: str, line: int | None) -> Reject:
    return Reject("; ".join(dict.fromkeys(reason for _, reason in faults)), faults[0][0], row, source, line)


def _with_hidden(good: _Selected, raw: Raw, known_at: pa.Array) -> pa.Table:
    import pyarrow as pa

    sources, lines = raw.places(good.numbers, good.rows.num_rows)
    table = good.rows
    for name, values, kind in ((KNOWN_AT, known_at, None), (SOURCE, sources, pa.string()), (LINE, lines, pa.int64())):
        table = table.append_column(name, values if kind is None else values.cast(kind))
    return table
