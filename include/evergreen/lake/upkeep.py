"""Tables that stay fast: many small files become few large ones in the order of time, and what is no longer read goes.

Rows keep all of their columns, so every version of a table (:mod:`evergreen.lake.tables`) reads as before. A merge is
compare-and-set on the table's commit sequence: when anybody appended meanwhile it is refused and done again from what
stands then, and an append that started before a merge is refused and done again likewise.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from evergreen.errors import DataError
from evergreen.faults import point as fault_point
from evergreen.lake import delta
from evergreen.lake.roots import Root
from evergreen.lake.tables import SEQUENCE

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

FILES = 16
"""So many small files are merged at least: fewer cost a reader less than a merge costs."""
MAX_BYTES = 64 << 20
"""Of what is merged at once, and of a file: it is sorted in memory."""
MAX_ROWS = 2_000_000
"""Likewise."""
FILES_KEPT = timedelta(days=3)
"""A read of one snapshot takes minutes at most; what a merge replaced need not stay for longer than this."""
LOG_ENTRIES = 64
"""A shorter log is not worth a checkpoint."""
_TRIES = 3
_CLUSTERED = ("_event_time", "event_time", "as_of")


class Run(NamedTuple):
    """Files whose commits overlap, so that they can only be read or replaced together."""

    first: int
    last: int
    files: int
    rows: int
    size_bytes: int


@dataclass(frozen=True)
class Unused:
    """What no reader can reach any more.

    Attributes:
        files: Data files.
        size_bytes: Of these.
        log_entries: Entries of the log now, old ones among them.
    """

    files: int
    size_bytes: int
    log_entries: int


class Merged(NamedTuple):
    """What a merge did.

    Attributes:
        files: That were merged into fewer.
        is_busy: Whether others were quicker each time; what is left comes next time.
    """

    files: int
    is_busy: bool


def runs(files: Iterable[delta.File]) -> list[Run]:
    """Files by spans of commits that do not overlap, in their order."""
    found: list[Run] = []
    for each in sorted(files):
        before = found[-1] if found else None
        if before is None or each.first > before.last:
            found.append(Run(each.first, each.last, 1, each.rows, each.size_bytes))
            continue
        sums = (before.files + 1, before.rows + each.rows, before.size_bytes + each.size_bytes)
        found[-1] = Run(before.first, max(before.last, each.last), *sums)
    return found


def merges(standing: Sequence[Run]) -> list[Run]:
    """What is to be merged: neighbours, as many small files as make it worth while, within what memory takes.

    A larger run joins smaller ones after it only when these weigh as much together, so that a row is written anew
    about as often as the logarithm of the table's size, not at every merge.
    """
    found: list[Run] = []
    group: Run | None = None
    for each in reversed(standing):
        if group is None:
            group = each
            continue
        together = Run(each.first, group.last, *(a + b for a, b in zip(each[2:], group[2:], strict=True)))
        fits = together.size_bytes <= MAX_BYTES and together.rows <= MAX_ROWS
        if fits and (group.files < FILES or each.size_bytes <= group.size_bytes):
            group = together
            continue
        found.append(group)
        group = each
    if group is not None:
        found.append(group)
    return [each for each in reversed(found) if each.files >= FILES and each.size_bytes <= MAX_BYTES]


class Upkeep:
    """The upkeep of one table; safe at any time, beside any reader and writer.

    Args:
        root: The lake's root.
        name: The table's.
    """

    def __init__(self, root: Root, name: str) -> None:
        self.name, self._root, self._path = name, root, f"tables/{name}"

    def due(self) -> list[Run]:
        """What is to be merged now; nothing where there is no table, or none whose rows carry their commit."""
        snapshot = self._load()
        return [] if snapshot is None else _due(snapshot)

    def merge(self) -> Merged:
        """Writes what is due anew as few files in the order of time, run by run, until nothing is.

        Raises:
            DataError: When a table does not give, or does not hold afterwards, as many rows as before.
        """
        done, lost = Merged(0, False), 0
        while lost < _TRIES:
            snapshot = self._load()
            due = [] if snapshot is None else _due(snapshot)
            if snapshot is None or not due:
                return done
            run = due[0]
            try:
                rows = self._rows(snapshot, run)
                number = snapshot.transaction(SEQUENCE)
                marks = {} if number is None else {SEQUENCE: number}
                fault_point("upkeep.merge:before")
                snapshot.rewrite(rows, run.first, run.last, marks, MAX_BYTES)
            except delta.Conflict as conflict:
                log.info("%s was written while it was merged: %s", self.name, conflict)
                lost += 1
                continue
            fault_point("upkeep.merge:after")
            if changed := snapshot.rows_changed():
                rule = f"must hold as many rows after the merge of Delta version {snapshot.version} as before it"
                remedy = "Its files of before are kept: report this, and restore the rows from them."
                raise DataError(f"table {self.name}", rule, value=f"{changed:+d}", remedy=remedy)
            log.info("Merged %d files of %s, %d rows", run.files, self.name, run.rows)
            done = Merged(done.files + run.files, False)
        return done._replace(is_busy=True)

    def unused(self, keep: timedelta) -> Unused:
        """What :meth:`clean` would look at.

        Args:
            keep: Whoever began to read or write within so long finds all that he needs.
        """
        snapshot = self._load()
        if snapshot is None:
            return Unused(0, 0, 0)
        sizes = self._sizes(snapshot.unused(min(keep, FILES_KEPT)))
        return Unused(len(sizes), sum(sizes), len(self._log()))

    def clean(self, keep: timedelta) -> Unused:
        """Deletes data files that were removed from the table some days ago, and older entries of a long log.

        Args:
            keep: See :meth:`unused`. A writer that hung for longer is refused, and decides afresh.

        Raises:
            delta.Conflict: When others were quicker each time; what is left is done next time.
        """
        for _ in range(_TRIES):
            snapshot = self._load()
            if snapshot is None:
                return Unused(0, 0, 0)
            files_kept = min(keep, FILES_KEPT)
            sizes, entries = self._sizes(snapshot.unused(files_kept)), len(self._log())
            fault_point("upkeep.clean:before")
            try:
                snapshot.configure()
                if sizes:
                    snapshot.remove_unused(files_kept)
                if entries > LOG_ENTRIES:
                    snapshot.clean_log(keep)
            except delta.Conflict as conflict:
                last = conflict
                continue
            fault_point("upkeep.clean:after")
            return Unused(len(sizes), sum(sizes), max(0, entries - len(self._log())))
        raise last

    def _rows(self, snapshot: delta.Snapshot, run: Run) -> pa.Table:
        rows = snapshot.commits(run.first, run.last)
        if rows.num_rows != run.rows:
            rule = f"must give the {run.rows} rows that its log names"
            raise DataError(f"table {self.name}", rule, value=rows.num_rows)
        return sorted_by_time(rows)

    def _load(self) -> delta.Snapshot | None:
        return delta.load(self._root, self._path)

    def _sizes(self, files: Sequence[str]) -> list[int]:
        """Sizes of those that are still there."""
        from pyarrow import fs

        found = self._root.arrow_filesystem(self._path).get_file_info(list(files))
        return [each.size or 0 for each in found if each.type == fs.FileType.File]

    def _log(self) -> list[str]:
        from pyarrow import fs

        filesystem = self._root.arrow_filesystem(self._path)
        found = filesystem.get_file_info(fs.FileSelector("_delta_log", allow_not_found=True))
        return [each.path for each in found if each.path.endswith(".json")]


def _due(snapshot: delta.Snapshot) -> list[Run]:
    return merges(runs(snapshot.files())) if "_commit" in snapshot.schema.names else []


def sorted_by_time(rows: pa.Table) -> pa.Table:
    """Rows by time and commit, each with the number of one."""
    import pyarrow.compute as pc

    index = rows.schema.get_field_index("_commit")
    rows = rows.set_column(index, rows.schema.field(index), pc.fill_null(rows.column(index), 0))
    clustered = [name for name in _CLUSTERED if name in rows.column_names][:1]
    return rows.sort_by([(name, "ascending") for name in (*clustered, "_commit")])
