"""Versioned tables: append-only row versions, exactly-once appends, replaced reports; read at a version.

Every write is compare-and-set on the table's own commit sequence, kept as a Delta application transaction: it starts
from a snapshot, decides on what that holds, and is refused when another writer came first; then all is decided afresh.
So a retry, a zombie and two runs at once neither lose nor double a row.

A version of a table of row versions is a number of that sequence, not one of Delta's: each row carries its commit, none
is ever changed, and so the newest files hold every version, however often they were compacted and their log cleaned
(:mod:`evergreen.lake.upkeep`). Rows of other tables carry the number too, for the upkeep alone.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from evergreen.errors import DataError, NotReady, TransientError, UserError
from evergreen.faults import point as fault_point
from evergreen.lake import delta, versions
from evergreen.lake.ahead import ahead
from evergreen.lake.columns import SYSTEM, canonical, fit
from evergreen.lake.delta import Condition, instant, of_rows
from evergreen.lake.draft import Counts, Draft, Others
from evergreen.lake.readings import Held, Keyed, Readings, joined, span_of
from evergreen.lake.roots import Root
from evergreen.lake.spill import Spill

if TYPE_CHECKING:
    import pyarrow as pa

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*")
SEQUENCE = "evergreen.commit"
"""Application id of the commit sequence."""
_ATTEMPTS = 60
_TICK = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POINTS = 64
"""Between its least and greatest event time, a file's rows are taken to stand at so many points."""

Window = tuple[datetime | None, datetime | None]
"""First and exclusive last event time; ``None`` for no bound."""

T = TypeVar("T")


@dataclass(frozen=True)
class Appended:
    """What an append did.

    Attributes:
        version: Version of the table afterwards.
        appended: Rows that were new or changed.
        unchanged: Rows that the table said already.
        tombstones: Rows that were marked as deleted (given as such, withdrawn, or gone from a full snapshot).
        restored: Rows that say again what other keys said of them.
    """

    version: int
    appended: int
    unchanged: int
    tombstones: int
    restored: int = 0


class Looked(NamedTuple):
    """How far somebody has looked for corrections: at every commit up to one, as far as it was known by an instant."""

    commit: int
    known_by: datetime

    @classmethod
    def read(cls, text: str | None) -> Looked | None:
        """What :meth:`written` gave."""
        if text is None:
            return None
        commit, _, known_by = text.partition(" ")
        return cls(int(commit), datetime.fromisoformat(known_by))

    def written(self) -> str:
        """As text."""
        return f"{self.commit} {self.known_by.isoformat()}"


class Table:
    """A table of the lake, by name; it need not exist yet.

    Every call looks at the newest state, except where a version is named that the last state looked at holds.

    Args:
        root: The lake's root.
        name: Such as ``datasets/flights``.
    """

    def __init__(self, root: Root, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise UserError("table name", "must be words of letters, digits, _ . - joined by /", value=name)
        self.name = name
        self._root = root
        self._path = f"tables/{name}"
        self._place = f"table {name}"
        self._last: delta.Snapshot | None = None

    @property
    def uri(self) -> str:
        """Absolute path or URI of the Delta table."""
        return self._root.join(self._path)

    def exists(self) -> bool:
        """Tells whether anything was ever written (an empty append counts)."""
        return delta.load(self._root, self._path) is not None

    def version(self) -> int:
        """The newest version: -1 when there is no table, 0 when nothing was committed.

        Of a table of row versions the number of its last commit; of others a number that grows with every change.
        """
        snapshot = self._last = delta.load(self._root, self._path)
        if snapshot is None:
            return -1
        return _sequence(snapshot) if _is_versioned(snapshot) else snapshot.version

    def finds_by(self, column: str) -> bool:
        """Whether rows may be looked for by a column that came later: no file is from before it.

        Raises:
            NotReady: When there is no table yet.
        """
        return self._load().tells_all_apart_by(column)

    def changes(self, since: int, version: int) -> pa.Table:
        """Event and known time of the row versions that were committed after one version, up to another.

        Raises:
            NotReady: When there is no table yet.
        """
        until = _by(version)
        return self._load(version).scan(["_event_time", "_known_at"], [Condition("_commit", ">", since), until])

    def schema(self) -> pa.Schema:
        """Names and types of all columns, system columns first.

        Raises:
            NotReady: When there is no table yet.
        """
        return self._load().schema

    def history(self, limit: int | None = None) -> list[dict[str, Any]]:
        """What Delta's log still says of commits, newest first, with the ``evergreen.tag`` of each."""
        return self._load().history(limit)

    def append_versions(
        self,
        rows: pa.Table,
        *,
        tag: str,
        until: datetime,
        changed_known_at: datetime | None = None,
        source_known_at: bool = False,
        full_snapshot: bool = False,
        as_of: str | None = None,
        others: Others | None = None,
        guard: Callable[[], None] | None = None,
        point: str = "publish.commit",
    ) -> Appended:
        """Appends one key's reading: rows that are new or changed become row versions, others change nothing.

        A tag is committed once: called again with it, the method says what that commit did and does nothing, whatever
        was published since.

        A row is compared by ``_row_hash`` with the newest version of its ``_row_id`` that was known by ``until``, so
        that a run of an old interval is judged by what was known then. The first version keeps the ``_known_at`` it
        comes with; a later one is known at ``changed_known_at``, never before its predecessor, and so wins for every
        reader from then on.

        With ``source_known_at`` the source's instants are never touched, and a row is compared with what was known by
        its own instant: a version that the source dates before the present one is inserted into the past, is seen by
        readers between the two instants, and changes nothing for later ones.

        With ``as_of`` the rows are all that this key says: what it published before and now lacks is withdrawn, and
        what ``others`` said of the same identities goes on being said at their ends (docs/explanation/tables.md).

        Args:
            rows: User and system columns except ``_commit``, one row per identity. Except in a full snapshot the
                identity includes the event time (older versions are looked for at the same event times only).
            tag: Identifies the write for ever, also in the table's history (a step's key); "" for one without a name.
            until: End of the run's interval.
            changed_known_at: Known time of changed rows and tombstones; ``until`` by default.
            source_known_at: ``_known_at`` comes from the source itself.
            full_snapshot: Rows that are known by ``until`` and not given are gone and get a tombstone, which keeps
                the user columns of the last version; the event time of a version is its known time.
            as_of: Key of the run; required with ``full_snapshot``.
            others: Gives the last readings of the table's other keys; asked anew on every snapshot.
            guard: Called on every snapshot that the write is decided on; what it raises ends the write.
            point: Prefix of the kill points around the commit.

        Raises:
            DataError: Rows of one identity twice, a null in a system column, or a column whose type changed.
            TransientError: No space left, or other writers were quicker many times.
        """
        if full_snapshot and as_of is None:
            raise TypeError("append_versions(full_snapshot=True) needs as_of")
        keyed = Keyed(rows, as_of, until, changed_known_at or until)
        return self.append_readings(
            Held([keyed]),
            tag=tag,
            source_known_at=source_known_at,
            full_snapshot=full_snapshot,
            others=others,
            guard=guard,
            point=point,
        )

    def append_readings(
        self,
        readings: Readings,
        *,
        tag: str,
        source_known_at: bool = False,
        full_snapshot: bool = False,
        others: Others | None = None,
        guard: Callable[[], None] | None = None,
        point: str = "publish.commit",
    ) -> Appended:
        """Appends the readings of several keys, in their order, in one commit; see :meth:`append_versions`.

        What memory does not hold is decided on and written window by window, in one commit all the same.

        Args:
            readings: Of at least one key.
        """
        app_id = f"evergreen.once/{tag}"
        check = self._checked
        given = check(readings.schema.empty_table())
        if not readings.marks:  # what is wrong with them is told before there is a table
            readings = Held([each._replace(rows=check(each.rows)) for each in readings.between(None, None)])
            check = _as_it_is

        def attempt(snapshot: delta.Snapshot) -> Appended:
            before = snapshot.transaction(app_id) if tag else None
            if before is not None:
                return self._done_before(snapshot, readings, before)
            if guard is not None:
                guard()
            schema = fit(given, snapshot.schema, self._place).schema
            number, counted = _sequence(snapshot) + 1, list[Counts]()
            with tempfile.TemporaryDirectory(prefix="evergreen-append-") as folder:
                fresh = Spill(Path(folder, "fresh"))
                windows = _windows(readings, snapshot, whole=full_snapshot)
                with ahead((window, readings.between(*window)) for window in windows) as coming:
                    for window, said in coming:
                        draft = Draft(snapshot, number, source=source_known_at, whole=full_snapshot, place=self._place)
                        keyed = [each._replace(rows=check(each.rows)) for each in said]
                        counted += _drafted(draft, keyed, readings.keys, window, others)
                        for part in draft.fresh:
                            fresh.add(fit(part, schema, self._place))
                if fresh.num_rows:
                    marks = {SEQUENCE: number, **({app_id: number} if tag else {})}
                    stream = delta.Stream(schema, fresh.tables())
                    self._drilled(point, lambda: snapshot.append(stream, marks, {"evergreen.tag": tag}))
            version = number if fresh.num_rows else number - 1
            return Appended(version, *(sum(column) for column in zip(*counted, strict=True)))

        return self._retried(given.schema, attempt)

    def _done_before(self, snapshot: delta.Snapshot, readings: Readings, number: int) -> Appended:
        """What an earlier commit of the same readings did, from the row versions that it left."""
        figures = [0, 0, 0, 0]
        for first, end in pairwise([None, *readings.marks, None]):
            left = snapshot.scan(
                ["_row_id", "_deleted", "_as_of"],
                [Condition("_commit", "in", [number]), *_filters(None, first, end, None)],
            )
            told = _left(left, readings.between(first, end))
            figures = [total + own for total, own in zip(figures, told, strict=True)]
        return Appended(_sequence(snapshot), *figures)

    def append_once(
        self, rows: pa.Table, tag: str, *, guard: Callable[[], None] | None = None, point: str = "quarantine.commit"
    ) -> bool:
        """Appends rows as they are, unless this tag was appended before; the tag is part of the commit.

        No rows only make sure that the table exists.

        Args:
            rows: Columns of any names.
            tag: Identifies the write for ever (a step's key, a log segment's name).
            guard: Called on every snapshot that the write starts from, and again when another write came first; what
                it raises ends the write.
            point: Prefix of the kill points around the commit.

        Returns:
            True if this call appended the rows.
        """
        rows = canonical(rows, self._place)
        app_id = f"evergreen.once/{tag}"

        def attempt(snapshot: delta.Snapshot) -> bool:
            if snapshot.transaction(app_id) is not None or not rows.num_rows:
                return False
            marks = {app_id: 1}
            if guard is not None:
                guard()
                marks[SEQUENCE] = _sequence(snapshot) + 1
            fitted = fit(_numbered(rows, snapshot), snapshot.schema, self._place)
            self._drilled(point, lambda: snapshot.append(fitted, marks, {"evergreen.tag": tag}))
            return True

        return self._retried(_with_number(rows.schema), attempt)

    def replace(
        self,
        rows: pa.Table,
        column: str,
        value: str | int | bool,
        *,
        guard: Callable[[], None] | None = None,
        point: str = "replace.commit",
    ) -> int:
        """Replaces all rows where ``column`` equals ``value`` by these, in one commit, and returns the new version.

        For report and score tables only: what is joined by time is never replaced.

        Args:
            rows: What stands there then.
            column: See above.
            value: Likewise.
            guard: Called on every snapshot that the write starts from; what it raises ends the write.
            point: Prefix of the kill points around the commit.

        Raises:
            DataError: When a given row has another value in that column.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = canonical(rows, self._place)
        if column not in rows.column_names:
            raise DataError(self._place, f"must be given the column {column} that it is replaced by")
        if rows.num_rows:
            same = pc.fill_null(pc.equal(rows.column(column), pa.scalar(value)), False)
            if not pc.all(same).as_py():
                raise DataError(f"{self._place} column {column}", f"must be {value!r} in every row of this replacement")

        def attempt(snapshot: delta.Snapshot) -> int:
            if guard is not None:
                guard()
            fitted = fit(_numbered(rows, snapshot), snapshot.schema, self._place)
            number = {SEQUENCE: _sequence(snapshot) + 1}
            predicate = f'"{column}" = {_sql_literal(value)}'
            tag = {"evergreen.tag": f"{column}={value}"}
            self._drilled(point, lambda: snapshot.overwrite(fitted, predicate, number, tag))
            return snapshot.version

        return self._retried(_with_number(rows.schema), attempt)

    def read(
        self,
        columns: Sequence[str] | None = None,
        *,
        known_by: datetime | None = None,
        event_from: datetime | None = None,
        event_to: datetime | None = None,
        match: Mapping[str, object] | None = None,
        between: Mapping[str, tuple[datetime, datetime]] | None = None,
        version: int | None = None,
        latest: bool = True,
        system: bool = True,
        if_there: bool = False,
    ) -> pa.Table:
        """Reads rows; of a table of row versions, by default, the newest known version of each living row.

        Such rows come in order of event time and identity (then known time and commit); those of other tables in no
        certain order.

        Args:
            columns: User columns to read (all by default).
            known_by: Only versions with ``_known_at`` at or before this instant.
            event_from: Only versions with ``_event_time`` at or after this instant.
            event_to: Only versions with ``_event_time`` before this instant (of snapshots: as they were then).
            match: Only versions whose column equals the value, or is among the values of a list or an Arrow array.
            between: Only versions whose column lies at or after the first instant and before the second; those without
                a value do not.
            version: Version to read (the newest by default); only of a table of row versions. Columns that were added
                after it are null.
            latest: False gives all versions, tombstones too.
            system: Add the system columns that the table has.
            if_there: Columns that the table lacks are left out instead of refused.

        Raises:
            NotReady: When there is no table yet.
            DataError: When there is no such version or column, or a filter does not apply to this table.
        """
        import pyarrow as pa

        snapshot = self._load(version)
        names, versioned = snapshot.schema.names, _is_versioned(snapshot)
        ours = [name for name in SYSTEM if name in names and (versioned or name != "_commit")]
        user = [name for name in names if name not in SYSTEM] if columns is None else list(dict.fromkeys(columns))
        if if_there:
            user = [name for name in user if name in names]
        given = [*user, *(ours if system else [])]
        wanted = list(dict.fromkeys(given))
        filters = _filters(known_by, event_from, event_to, match) + self._as_of(snapshot, version)
        for name, (first, last) in (between or {}).items():
            filters += [Condition(name, ">=", first), Condition(name, "<", last)]
        if missing := [name for name in [*wanted, *(each.column for each in filters)] if name not in names]:
            rule = f"must have the columns that are asked for (it has {', '.join(names)})"
            raise DataError(self._place, rule, value=missing)
        needed = [*wanted, *(name for name in SYSTEM if versioned and name not in wanted)]
        rows = snapshot.scan(needed, filters)
        if not versioned:
            return rows.select(wanted)
        positions = versions.newest(rows) if latest else versions.ordered(rows)
        parts = {name: rows.column(name) for name in wanted}
        del rows  # taken one after the other, and let go of, columns need half as much memory
        picked = versions.Picked(positions)
        return pa.table({name: picked.of(parts.pop(name)) for name in wanted})

    def versions_after(
        self, moment: datetime, commit: int, *, known_by: datetime, event_to: datetime, version: int
    ) -> pa.Table:
        """What a checkpoint lacks: row versions that happened, were known or were committed after it.

        Args:
            moment: Of the checkpoint; what happened and was known by then is in it.
            commit: What was committed later is not in it.
            known_by: Only versions with ``_known_at`` at or before this instant.
            event_to: Only versions with ``_event_time`` before this instant.
            version: Version to read.

        Returns:
            Versions in the order of :meth:`read_versions`.
        """
        snapshot = self._load(version)
        after = [
            Condition("_event_time", ">", moment),
            Condition("_known_at", ">", moment),
            Condition("_commit", ">", commit),
        ]
        until = [*_filters(known_by, None, event_to, None), _by(version)]
        rows = snapshot.scan(snapshot.schema.names, until, after)
        return rows.take(versions.ordered(rows))

    def extent(self) -> tuple[datetime, datetime, int] | None:
        """Instants that enclose all event times, and the number of row versions; ``None`` where there are none."""
        snapshot = self._load()
        span = snapshot.span("_event_time")
        return None if span is None else (*span, sum(each.rows for each in snapshot.files()))

    def cuts(self, first: datetime | None, end: datetime, *, rows: int, version: int) -> list[datetime]:
        """Instants that cut event times into parts of about so many row versions, as the files' statistics tell.

        Args:
            first: Least event time; ``None`` for all before ``end``.
            end: Exclusive.
            rows: Of a part.
            version: Version to read.

        Returns:
            Ascending, between the bounds; none where all are one part.
        """
        import numpy as np

        spans = self._load(version).spans("_event_time")
        if not spans:
            return []
        points = np.concatenate(
            [np.linspace(instant(least).value, instant(last).value, _POINTS) for least, last, _ in spans]
        )
        weights = np.concatenate([np.full(_POINTS, count / _POINTS) for _, _, count in spans])
        inside = (points >= (-np.inf if first is None else instant(first).value)) & (points < instant(end).value)
        order = np.argsort(points[inside], kind="stable")
        points, passed = points[inside][order], np.cumsum(weights[inside][order])
        if not len(points) or passed[-1] <= rows:
            return []
        at = np.searchsorted(passed, np.arange(rows, passed[-1], rows))
        found = np.unique(points[at].astype("int64"))
        return [_EPOCH + timedelta(microseconds=tick) for tick in found[found > points[0]].tolist()]

    def touched(
        self,
        after: int,
        through: int,
        columns: Sequence[str],
        *,
        whole: bool,
        between: tuple[datetime, datetime] | None = None,
    ) -> pa.Table:
        """All row versions, up to a version, of the rows that were touched by the commits after another.

        Args:
            after: A version; 0 is before the first commit.
            through: A later one.
            columns: User columns to read beside those that versions are told apart by.
            whole: Rows are of whole snapshots: a row's versions have event times of their own.
            between: Only rows that happened at or after the first instant and before the second; only of all commits.
        """
        snapshot = self._load(through)
        names, until = [*versions.KEYS, *columns], _by(through)
        if not after:
            first, last = between or (None, None)
            return snapshot.scan(names, [*_filters(None, first, last, None), until])
        fresh = snapshot.scan(["_row_id", "_event_time"], [Condition("_commit", ">", after), until])
        if not fresh.num_rows:
            return snapshot.schema.empty_table().select(names)
        return snapshot.scan(names, [*of_rows(fresh, whole=whole), until])

    def is_corrected(self, since: int, looked: Looked | None, *, known_by: datetime, whole: bool, newest: int) -> bool:
        """Whether a row that stood in an earlier version says something else since, or is gone.

        Args:
            since: The earlier version.
            looked: What was looked at before and found to be no correction; ``None`` for nothing.
            known_by: Only what was known by then counts.
            whole: Rows are of whole snapshots: a row's versions have event times of their own.
            newest: Version to read.
        """
        import pyarrow.compute as pc

        snapshot, until = self._load(newest), _by(newest)
        known = Condition("_known_at", "<=", known_by)
        beyond = (
            [Condition("_commit", ">", looked.commit), Condition("_known_at", ">", looked.known_by)] if looked else []
        )
        fresh = snapshot.scan(["_row_id", "_event_time"], [Condition("_commit", ">", since), until, known], beyond)
        if not fresh.num_rows:
            return False
        stood = snapshot.scan(["_row_id", "_event_time"], [*of_rows(fresh, whole=whole), _by(since)])
        if not stood.num_rows:
            return False
        told = snapshot.scan(versions.KEYS, [*of_rows(stood, whole=whole), known, until])
        told = told.take(versions.ordered(told))
        return bool(pc.any(pc.greater(told["_commit"], since)).as_py())

    def read_versions(self, columns: Sequence[str] | None = None, **how: Any) -> pa.Table:
        """All row versions, tombstones too: :meth:`read` with ``latest=False``."""
        return self.read(columns, latest=False, **how)

    def _load(self, version: int | None = None) -> delta.Snapshot:
        """The newest state, or one that holds a version: any later one does."""
        if version is not None and self._last is not None and _sequence(self._last) >= version:
            return self._last
        snapshot = self._last = delta.load(self._root, self._path)
        if snapshot is None:
            raise NotReady(f"{self._place} does not exist yet: nothing was published into it.")
        return snapshot

    def _as_of(self, snapshot: delta.Snapshot, version: int | None) -> list[Condition]:
        """What rows of a version meet.

        Raises:
            DataError: When there is no such version.
        """
        if version is None:
            return []
        newest = _sequence(snapshot) if _is_versioned(snapshot) else -1
        if not 0 <= version <= newest:
            rule = f"must have a version {version} (the newest is {newest})" if newest >= 0 else "keeps no versions"
            raise DataError(self._place, rule, remedy="Name a version that was written.")
        return [] if version == newest else [_by(version)]

    def _checked(self, rows: pa.Table) -> pa.Table:
        """Canonical rows with all system columns, in front: Delta keeps statistics of the first 32 columns only."""
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = canonical(rows, self._place)
        ours = [name for name in SYSTEM if name != "_commit"]
        if missing := [name for name in ours if name not in rows.column_names]:
            raise DataError(self._place, "must be given rows with all system columns", value=missing)
        if nulls := [name for name in ours if rows.column(name).null_count]:
            raise DataError(self._place, "must have no nulls in its system columns", value=nulls)
        ids = rows.column("_row_id")
        if not versions.all_differ(ids) and (doubled := len(ids) - pc.count_distinct(ids).as_py()):
            remedy = "Deduplicate the rows, or name more columns as the identity."
            raise DataError(
                self._place, "must be given one row per identity", value=f"{doubled} doubled", remedy=remedy
            )
        user = [name for name in rows.column_names if name not in SYSTEM]
        commit = pa.nulls(rows.num_rows, pa.int64())
        columns = {name: rows.column(name) if name in ours else commit for name in SYSTEM}
        return pa.table(columns | {name: rows.column(name) for name in user})

    def _retried(self, schema: pa.Schema, attempt: Callable[[delta.Snapshot], T]) -> T:
        for _ in range(_ATTEMPTS):
            snapshot = delta.load(self._root, self._path)
            if snapshot is None:
                snapshot = delta.create(self._root, self._path, _without_nulls(schema))
            try:
                return attempt(snapshot)
            except delta.Conflict as conflict:
                last = conflict
        raise TransientError(f"{self._place}: other writers were quicker {_ATTEMPTS} times. {last}")

    def _drilled(self, point: str, write: Callable[[], None]) -> None:
        fault_point(f"{point}:before")
        write()
        fault_point(f"{point}:after")


def _as_it_is(rows: pa.Table) -> pa.Table:
    return rows


def _sequence(snapshot: delta.Snapshot) -> int:
    return snapshot.transaction(SEQUENCE) or 0


def _is_versioned(snapshot: delta.Snapshot) -> bool:
    return set(SYSTEM) <= set(snapshot.schema.names)


def _by(version: int) -> Condition:
    return Condition("_commit", "<=", version)


def _numbered(rows: pa.Table, snapshot: delta.Snapshot) -> pa.Table:
    """Rows with the number of the commit that will hold them, in front: Delta keeps statistics of the first columns."""
    import pyarrow as pa

    number = _sequence(snapshot) if _is_versioned(snapshot) else snapshot.version
    commit = pa.array([number + 1] * rows.num_rows, pa.int64())
    return pa.table({"_commit": commit} | {name: rows.column(name) for name in rows.column_names if name != "_commit"})


def _drafted(
    draft: Draft, keyed: Sequence[Keyed], keys: Sequence[str], window: Window, others: Others | None
) -> list[Counts]:
    """What the keys say of a window's rows, in a draft."""
    draft.look_up([each.rows for each in keyed], keys, window)
    return [
        draft.publish(each.rows, as_of=each.as_of, until=each.until, changed=each.changed_known_at, others=others)
        for each in keyed
    ]


def _windows(readings: Readings, snapshot: delta.Snapshot, *, whole: bool) -> Iterable[Window]:
    """First and exclusive last event time of the windows, bounded by what is said and by what the keys said before."""
    if not readings.marks or whole:
        return [(None, None)]
    said = snapshot.scan(["_event_time"], [Condition("_as_of", "in", list(readings.keys))])
    span = joined([readings.span, span_of(said)])
    if span is None:
        return [(None, None)]
    least, greatest = span
    inner = [mark for mark in readings.marks if least < mark <= greatest]
    return pairwise([least, *inner, greatest + _TICK])


def _left(left: pa.Table, readings: Sequence[Keyed]) -> tuple[int, int, int, int]:
    """What readings did, as the row versions tell that their commit left: figures as :class:`Appended` has them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = [each.as_of for each in readings if each.as_of is not None]
    if keys:
        left = left.append_column("_mine", pc.is_in(left.column("_as_of"), value_set=pa.array(keys)))
    else:
        left = left.append_column("_mine", pa.array([True] * left.num_rows, pa.bool_()))
    given = pa.chunked_array([chunk for each in readings for chunk in each.rows.column("_row_id").chunks], pa.string())
    is_given = pc.and_(left.column("_mine"), pc.is_in(left.column("_row_id"), value_set=pc.unique(given)))
    ended = pc.and_(left.column("_mine"), left.column("_deleted"))
    said = _count_true(is_given)
    appended = _count_true(pc.and_not(is_given, left.column("_deleted")))
    tombstones = _count_true(ended)
    return appended, len(given) - said, tombstones, left.num_rows - appended - tombstones


def _filters(
    known_by: datetime | None,
    event_from: datetime | None,
    event_to: datetime | None,
    match: Mapping[str, object] | None,
) -> list[Condition]:
    found = []
    if known_by is not None:
        found.append(Condition("_known_at", "<=", known_by))
    if event_from is not None:
        found.append(Condition("_event_time", ">=", event_from))
    if event_to is not None:
        found.append(Condition("_event_time", "<", event_to))
    for name, value in (match or {}).items():
        found.append(Condition(name, "in", _values(value)))
    return found


def _values(wanted: object) -> Any:
    import pyarrow as pa

    if isinstance(wanted, pa.Array):
        return wanted
    return list(wanted) if isinstance(wanted, list | tuple | set) else [wanted]


def _with_number(schema: pa.Schema) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("_commit", pa.int64()), *(field for field in schema if field.name != "_commit")])


def _without_nulls(schema: pa.Schema) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([field for field in schema if not pa.types.is_null(field.type)])


def _count_true(column: pa.ChunkedArray) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(column).as_py() or 0)


def _sql_literal(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
