"""Reads what a run of a dataset covers: good rows, rows set aside, and figures that add up.

What happens to a row, portion by portion (:data:`evergreen.ingest.load.PORTION`): it is read, cast to its type, told
apart from another hour that the clocks showed, selected, looked at for key and event time, set against the run's
interval, and kept or set aside. What only all rows together tell comes before (types that nobody declared) or after
(which of two rows of one identity stays; which came too late for every run).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from evergreen.errors import DataError
from evergreen.ingest import repeated, timeline
from evergreen.ingest.agree import conform
from evergreen.ingest.doubles import Doubles
from evergreen.ingest.files import file_system, fingerprint_of, locate
from evergreen.ingest.late import LateRows, Pool, merged
from evergreen.ingest.load import PORTION, ROW, Landed, Places, Raw, confirm_unchanged
from evergreen.ingest.normalise import is_empty
from evergreen.ingest.quarantine import Reject, rows_as_json, to_table
from evergreen.ingest.select import select_streamed, takes_rows_alone
from evergreen.ingest.selected import Selected, check_identity, check_interval, select_rows, to_plain
from evergreen.ingest.timeline import NONE, Interval
from evergreen.ingest.typed import Fault, Kinds, Typed, Wider, find_kinds, typed
from evergreen.lake.spill import Spill
from evergreen.spec.base import DType

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import Dataset

KNOWN_AT, SOURCE, LINE = "__known_at", "__source", "__line"
HIDDEN = (KNOWN_AT, SOURCE, LINE, ROW)
"""Columns of ``Read.good`` beside the dataset's own."""

Rows = TypeVar("Rows")


@dataclass(frozen=True)
class Read(Generic[Rows]):
    """What a run read; always as many rows read as there are good, quarantined and superseded ones.

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

    good: Rows
    quarantined: Rows
    late: int
    superseded: int
    rows_read: int
    rows_source: int
    fingerprint: str
    files: tuple[str, ...]


def read(dataset: Dataset, **how: Any) -> Read[pa.Table]:
    """:func:`open_read` with all rows in memory."""
    import pyarrow as pa

    with open_read(dataset, **how) as got:
        good, quarantined = (pa.concat_tables(each.tables()) for each in (got.good, got.quarantined))
        return Read(**{**vars(got), "good": good, "quarantined": quarantined})


@contextmanager
def open_read(
    dataset: Dataset,
    *,
    as_of: str,
    start: datetime,
    end: datetime,
    first_load: bool,
    landing: str,
    types: Mapping[str, DType] | None = None,
    late: LateRows | None = None,
    portion: int | None = None,
) -> Iterator[Read[Spill]]:
    """Reads the rows of ``[start, end)``; they are there until the block ends.

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
        portion: Bytes of raw rows to go through at once, about; :data:`~evergreen.ingest.load.PORTION` by default.

    Raises:
        NotReady, Skipped: No file is there (see ``files.locate``).
        DataError: A file, or the ``select``, cannot be used as it is; nothing of it may be published.
    """
    fs = file_system(landing)
    files = locate(dataset, as_of=as_of, landing=landing)
    digest = fingerprint_of(fs, files)
    run = _Run(dataset, Landed(dataset, fs, files), Interval(start, end, dataset.late_window, first_load), types or {})
    way = _Way(portion or PORTION, alone=takes_rows_alone(dataset.select))
    with ExitStack() as folders:
        while True:
            folder = folders.enter_context(tempfile.TemporaryDirectory(prefix="evergreen-read-"))
            try:
                found = _Pass(run, way, Path(folder), as_of, late).read()
                break
            except _Again as again:
                way = again.way
                folders.close()
        confirm_unchanged(files, locate(dataset, as_of=as_of, landing=landing))
        yield Read(*found, fingerprint=digest, files=tuple(each.name for each in files))


class _Way(NamedTuple):
    """How rows are gone through.

    Attributes:
        portion: Bytes of raw rows at once; ``None`` where they have to be seen together.
        alone: Whether ``select`` takes each row by itself.
        as_text: Columns that are text, since not all of their values are anything else.
    """

    portion: int | None
    alone: bool
    as_text: frozenset[str] = frozenset()

    def wider(self, names: frozenset[str]) -> _Way:
        """With more columns as text; where that was tried, all rows at once."""
        if names <= self.as_text:
            return self._replace(portion=None)
        return self._replace(as_text=self.as_text | names)


class _Again(Exception):
    """Some way into the rows it shows that they have to be gone through in another way."""

    def __init__(self, way: _Way) -> None:
        super().__init__(str(way))
        self.way = way


class _Run(NamedTuple):
    """What is read, whatever the way."""

    dataset: Dataset
    landed: Landed
    interval: Interval
    types: Mapping[str, DType]

    @property
    def is_shared(self) -> bool:
        """Whether other runs read the same files, too, and rows are told to runs by their event times."""
        return self.dataset.event_time is not None and "{as_of}" not in self.dataset.source.path


class _Part(NamedTuple):
    """What became of a portion up to ``select``.

    Attributes:
        selected: Rows after it; ``None`` where it has to see more rows.
        early: Number and reject of each record that never got that far.
        times: Row numbers and event times of broken rows whose event time can be read all the same.
        raw: Tells what the files say of its rows.
    """

    selected: Selected | None
    early: list[tuple[int, Reject]]
    times: tuple[Any, Any]
    raw: Raw | Landed


class _Pass:
    """One way through all rows; ``folder`` takes what memory does not hold."""

    def __init__(self, run: _Run, way: _Way, folder: Path, as_of: str, late: LateRows | None) -> None:
        self._run, self._way, self._folder, self._as_of = run, way, folder, as_of
        self._late = late if run.is_shared else None
        if self._late is not None:
            self._late.begin()
        self._last_time = NONE
        self._broken = Spill(folder / "quarantined")
        self._kept = _Kept(run.dataset, folder)

    def read(self) -> tuple[Spill, Spill, int, int, int, int]:
        """Good rows, quarantined ones, and the figures of :class:`Read` up to ``rows_source``."""
        self._reject([])
        try:
            for part in self._parts():
                selected, early = self._covered(part)
                self._reject(reject for _, reject in early)
                if selected is not None:
                    self._reject(_rejects(selected, part.raw))
                    self._kept.add(self._with_hidden(selected.without_faults()))
        except Wider as found:
            raise _Again(self._way.wider(found.names)) from None
        too_late = self._set_late_aside()
        good, superseded, refused = self._kept.settled(self._run.landed)
        self._reject(refused)
        rows_read = good.num_rows + self._broken.num_rows + superseded
        return good, self._broken, too_late, superseded, rows_read, self._run.landed.places.count

    def _parts(self) -> Iterator[_Part]:
        """All rows up to ``select``, looked at for what tells them apart."""
        dataset, landed = self._run.dataset, self._run.landed
        kinds, typed_rows = self._kinds, Spill(self._folder / "typed")
        for raw in landed.portions(self._way.portion):
            rows = typed(raw, dataset, kinds)
            if not raw.is_all and any(each.any() for each in rows.later.values()):
                raise self._together
            if raw.is_all or self._way.alone:
                selected = self._selected(rows, is_all=raw.is_all)
                yield _Part(selected, _early(rows, raw), _broken_times(dataset, rows), raw)
            elif self._run.is_shared:
                raise self._together
            else:
                typed_rows.add(_without(rows.rows, rows.faults))
                yield _Part(None, _early(rows, raw), _no_times(), raw)
        if typed_rows.schema is not None:
            place = f"dataset {dataset.name} select"
            for table, numbers in select_streamed(typed_rows.dataset(), str(dataset.select), place, self._folder):
                selected = to_plain(dataset, table, numbers, self._way.as_text)
                if selected.later is not None and selected.later.any():
                    raise self._together
                yield _Part(self._checked(selected), [], _no_times(), landed)

    @cached_property
    def _kinds(self) -> Kinds:
        """Types of columns that nobody declared; to know them all rows are looked at once more."""
        dataset = self._run.dataset
        if dataset.columns is not None:
            return Kinds()
        published = self._run.types if dataset.select is None else {}
        return find_kinds(self._run.landed.portions(self._way.portion), dataset.timezone, published, self._way.as_text)

    @property
    def _together(self) -> _Again:
        return _Again(self._way._replace(portion=None))

    def _selected(self, rows: Typed, *, is_all: bool) -> Selected:
        """Runs ``select`` on the rows that could be read; tells repeated hours apart before and after it."""
        dataset, places = self._run.dataset, self._run.landed.places
        mixed = repeated.settle_typed(rows, places, dataset)
        selected = select_rows(dataset, _without(rows.rows, rows.faults), self._way.as_text)
        if selected.numbers is None and not is_all:
            raise _Again(self._way._replace(alone=False))
        if selected.later is not None and selected.later.any() and not is_all:
            raise self._together
        if selected.numbers is None and mixed:
            rows.faults = dict(sorted((rows.faults | mixed).items()))
            selected = select_rows(dataset, _without(rows.rows, rows.faults), self._way.as_text)
        repeated.settle_selected(selected, rows, places, dataset)
        return self._checked(selected)

    def _checked(self, selected: Selected) -> Selected:
        """The rows in the table's types as far as nobody declared any, those without a key blamed."""
        dataset, places = self._run.dataset, self._run.landed.places
        if dataset.columns is None:
            place = f"dataset {dataset.name}"
            selected.rows = conform(
                selected.rows, self._run.types, dataset.timezone, place, lambda row: _where(selected, places, row)
            )
        check_identity(selected, dataset)
        return selected

    def _covered(self, part: _Part) -> tuple[Selected | None, list[tuple[int, Reject]]]:
        """What of a portion the run covers; rows of its own files that it does not are blamed."""
        column, interval = self._run.dataset.event_time, self._run.interval
        if part.selected is None or column is None:
            return part.selected, part.early
        if not self._run.is_shared:
            check_interval(part.selected, column, interval)
            return part.selected, part.early
        pool = self._pool(part.selected, part)
        if self._late is not None:
            self._late.note(pool)
        inside, early_inside = (
            (times >= interval.floor_ticks) & (times < interval.end_ticks) for times in (pool.times, pool.early_times)
        )
        if self._late is None:
            inside, early_inside = inside | (pool.times == NONE), early_inside | (pool.early_times == NONE)
        early = [each for each, ours in zip(pool.early, early_inside.tolist(), strict=True) if ours]
        return part.selected.take(inside), early

    def _pool(self, selected: Selected, part: _Part) -> Pool:
        """When the rows of a shared source happened; one without an event time goes with the row read before it."""
        import numpy as np

        times = timeline.ticks_of(selected.rows[self._run.dataset.event_time])
        if selected.numbers is None:
            return Pool(selected, times, part.early, np.full(len(part.early), NONE), self._run.interval)
        timed = times != NONE
        numbers = np.concatenate([selected.numbers[timed], part.times[0]])
        known = np.concatenate([times[timed], part.times[1]])
        if self._last_time != NONE:
            numbers, known = np.append(numbers, -1), np.append(known, self._last_time)
        elif not len(numbers) and not (isinstance(part.raw, Raw) and part.raw.is_all):
            raise self._together  # the first time that is known stands in a later portion
        if len(numbers):
            self._last_time = int(known[np.argmax(numbers)])
        times = np.where(timed, times, timeline.neighbour_ticks(numbers, known, selected.numbers))
        asked = np.array([number for number, _ in part.early], dtype="int64")
        early_times = timeline.neighbour_ticks(numbers, known, asked)
        return Pool(selected, times, part.early, early_times, self._run.interval)

    def _set_late_aside(self) -> int:
        """Sets aside, of a shared source, the rows that came too late for every run; gives how many."""
        if self._late is None:
            return 0
        asked: list[Pool] = []
        if self._late.is_asking():
            self._last_time = NONE
            for part in self._parts():
                if part.selected is not None:
                    asked.append(self._late.narrowed(self._pool(part.selected, part)))
        if not asked:
            self._late.find(None, self._run.interval, self._run.landed)
            return 0
        pool = merged(asked)
        found, early_found = self._late.find(pool, self._run.interval, self._run.landed)
        late = pool.selected.take(found)
        fresh = [index for index in range(late.rows.num_rows) if index not in late.faults]
        values = late.rows[self._run.dataset.event_time].take(fresh).to_pylist() if fresh else []
        rest = f"came too late: it lies before {self._run.interval.floor} and was not there when its interval was read"
        late.blame(fresh, "event_time.too_late", [f"{self._run.dataset.event_time} {value} {rest}" for value in values])
        self._reject(reject for (_, reject), ours in zip(pool.early, early_found.tolist(), strict=True) if ours)
        self._reject(_rejects(late, self._run.landed))
        return int(found.sum() + early_found.sum())

    def _reject(self, rejects: Iterable[Reject]) -> None:
        self._broken.add(to_table(list(rejects), stage="read", as_of=self._as_of))

    def _with_hidden(self, good: Selected) -> pa.Table:
        import pyarrow as pa

        count, table = good.rows.num_rows, good.rows
        sources, lines = self._run.landed.places.columns(good.numbers, count)
        numbers = pa.nulls(count, pa.int64()) if good.numbers is None else pa.array(good.numbers, pa.int64())
        known_at = timeline.known_at(good.rows, self._run.dataset, self._run.interval)
        hidden = (known_at, sources.cast(pa.string()), lines.cast(pa.int64()), numbers)
        for name, values in zip(HIDDEN, hidden, strict=True):
            table = table.append_column(name, values)
        return table


class _Kept:
    """Rows that broke no rule so far, until it is known which of two of one identity stay."""

    def __init__(self, dataset: Dataset, folder: Path) -> None:
        self._dataset, self._folder = dataset, folder
        self._rows = Spill(folder / "kept")
        self._none: pa.Table | None = None
        self._doubles = Doubles(dataset.identity, dataset.dedupe, dataset.known_at)
        self._valued: set[str] = set()

    def add(self, rows: pa.Table) -> None:
        """The rows that come next.

        Raises:
            Wider: When a column has become a text that was none before.
        """
        if not rows.num_rows:
            self._none = self._none or rows
            return
        schema = self._rows.schema
        if schema is not None and not schema.equals(rows.schema):
            raise Wider(_texts_among(schema, rows.schema))
        self._rows.add(rows)
        self._doubles.add(rows)
        if self._dataset.columns is None:
            unseen = set(rows.column_names) - self._valued
            self._valued |= {name for name in unseen if not is_empty(rows[name])}

    def settled(self, landed: Landed) -> tuple[Spill, int, list[Reject]]:
        """The rows that stay, how many others replaced, and what is refused as doubled."""
        import pyarrow as pa

        if self._rows.schema is None:
            self._rows.add(self._none)
        leaves, untyped = self._doubles.find(self._rows.tables), self._untyped()
        if leaves is None and not untyped:
            return self._rows, 0, []
        stay, at = Spill(self._folder / "good"), 0
        refused: list[pa.Table] = []
        for rows in self._rows.tables():
            gone = None if leaves is None else leaves[at : at + rows.num_rows]
            at += rows.num_rows
            if gone is not None and gone.any():
                refused += [rows.filter(pa.array(gone))] if self._dataset.dedupe == "reject" else []
                rows = rows.filter(pa.array(~gone))
            stay.add(_without_types(rows, untyped))
        if self._dataset.dedupe == "reject":
            return stay, 0, self._refused(refused, landed)
        return stay, self._rows.num_rows - stay.num_rows, []

    def _untyped(self) -> list[str]:
        """Columns without a value, which have no type that anybody declared, except times."""
        if self._dataset.columns is not None:
            return []
        kept = {*self._valued, *HIDDEN, self._dataset.event_time, self._dataset.known_at}
        return [] if self._rows.schema is None else [name for name in self._rows.schema.names if name not in kept]

    def _refused(self, parts: Sequence[pa.Table], landed: Landed) -> list[Reject]:
        reason = f"identity ({', '.join(self._dataset.identity)}) must be unique within a run, and dedupe is reject"
        rejects = []
        for rows in parts:
            numbers = rows[ROW].to_pylist()
            shown = rows.select([name for name in rows.column_names if name not in HIDDEN])
            texts = rows_as_json(shown, range(rows.num_rows)) if None in numbers else landed.as_json(numbers)
            places = zip(texts, rows[SOURCE].to_pylist(), rows[LINE].to_pylist(), strict=True)
            rejects += [_reject([("dedupe.reject", reason)], text, source, line) for text, source, line in places]
        return rejects


def _texts_among(one: pa.Schema, other: pa.Schema) -> Iterator[str]:
    """Columns that are text in one of two schemas only."""
    import pyarrow as pa

    for field in other:
        if field.name in one.names and pa.types.is_string(field.type) != pa.types.is_string(one.field(field.name).type):
            yield field.name


def _where(selected: Selected, places: Places, row: int) -> str:
    if selected.numbers is None:
        return places.summary
    name, line = places.place_of(int(selected.numbers[row]))
    return name if line is None else f"{name}:{line}"


def _without(table: pa.Table, left_out: Iterable[int]) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    keep = np.ones(table.num_rows, dtype=bool)
    keep[list(left_out)] = False
    return table if keep.all() else table.filter(pa.array(keep))


def _early(rows: Typed, raw: Raw) -> list[tuple[int, Reject]]:
    """Row number and reject of each record that is none, and of each row that could not be read."""
    numbers = rows.rows[ROW].take(list(rows.faults)).to_pylist() if rows.faults else []
    unread = [
        (number, _reject(faults, text, *raw.places.place_of(number)))
        for number, text, faults in zip(numbers, raw.as_json(numbers), rows.faults.values(), strict=True)
    ]
    return [*raw.malformed, *unread]


def _broken_times(dataset: Dataset, rows: Typed) -> tuple[Any, Any]:
    """Row numbers and event times of broken rows whose event time can be read all the same."""
    nothing = _no_times()
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


def _no_times() -> tuple[Any, Any]:
    import numpy as np

    return np.array([], dtype="int64"), np.array([], dtype="int64")


def _rejects(selected: Selected, raw: Raw | Landed) -> list[Reject]:
    """Rejects of the faulty rows, with the original row where it is known, else the selected one."""
    indices = sorted(selected.faults)
    if not indices:
        return []
    if selected.numbers is None:
        texts, summary = rows_as_json(selected.rows, indices), raw.places.summary
        return [
            _reject(selected.faults[index], text, summary, None) for index, text in zip(indices, texts, strict=True)
        ]
    numbers = selected.numbers[indices].tolist()
    return [
        _reject(selected.faults[index], text, *raw.places.place_of(number))
        for index, text, number in zip(indices, raw.as_json(numbers), numbers, strict=True)
    ]


def _reject(faults: Sequence[Fault], row: str, source: str | None, line: int | None) -> Reject:
    return Reject("; ".join(dict.fromkeys(reason for _, reason in faults)), faults[0][0], row, source, line)


def _without_types(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    for name in names:
        rows = rows.set_column(rows.column_names.index(name), name, pa.nulls(rows.num_rows))
    return rows
