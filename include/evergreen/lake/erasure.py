"""Rows that go from a table for good: from every version, from the files, and from the statistics in the log.

Rows carry their commit and are only ever taken away, so that all other rows stand in every version as before
(:mod:`evergreen.lake.tables`). The table is sealed first: whoever started to write before starts anew, so that files
which no commit names by then are never named, and may be deleted. Any of it may be killed and is done again by the next
call.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import DataError, TransientError
from evergreen.faults import point as fault_point
from evergreen.lake import delta
from evergreen.lake.roots import Root
from evergreen.lake.tables import SEQUENCE
from evergreen.lake.upkeep import MAX_BYTES, MAX_ROWS, Run, runs, sorted_by_time

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

log = logging.getLogger(__name__)

_TRIES = 60
_ALL = (1 << 63) - 1
_LOG = "_delta_log"


class Doomed(NamedTuple):
    """Rows that go.

    Attributes:
        columns: A table that lacks one of them has no such rows.
        mask: Tells of a table with these columns, at least, which rows go.
    """

    columns: tuple[str, ...]
    mask: Callable[[pa.Table], Any]

    def count(self, rows: pa.Table) -> int:
        """How many of the rows go."""
        import pyarrow.compute as pc

        if not self.applies(rows.column_names):
            return 0
        return int(pc.sum(self.mask(rows)).as_py() or 0)

    def spare(self, rows: pa.Table) -> pa.Table:
        """The rows that stay."""
        import pyarrow.compute as pc

        return rows.filter(pc.invert(self.mask(rows)))

    def applies(self, names: Sequence[str]) -> bool:
        """Whether a table with these columns may have such rows."""
        return set(self.columns) <= set(names)

    def is_in(self, file: pq.ParquetFile) -> bool:
        """Whether a file has such rows; not all of it is in memory at once."""
        import pyarrow as pa

        if not self.applies(file.schema_arrow.names):
            return False
        batches = file.iter_batches(columns=list(self.columns))
        return any(self.count(pa.Table.from_batches([batch])) for batch in batches)


class Erasure:
    """Takes rows out of one table; safe beside any reader and writer.

    A reader that began before may miss a file that went: it has to begin anew.

    Args:
        root: The lake's root.
        name: The table's.
    """

    def __init__(self, root: Root, name: str) -> None:
        self.name, self._root, self._path = name, root, f"tables/{name}"

    def count(self, doomed: Doomed) -> int:
        """How many rows, in all of their versions, would go."""
        snapshot = delta.load(self._root, self._path)
        return 0 if snapshot is None else sum(count for _, count in _touched(snapshot, doomed))

    def find(self, doomed: Doomed, column: str) -> set[Any]:
        """Values of a column of the rows that would go."""
        snapshot = delta.load(self._root, self._path)
        if snapshot is None or not doomed.applies(snapshot.schema.names) or column not in snapshot.schema.names:
            return set()
        names = list(dict.fromkeys([*doomed.columns, column]))
        found: set[Any] = set()
        for part in _parts(runs(snapshot.files())):
            rows = snapshot.commits(part[0].first, part[-1].last, names)
            found |= set(rows[column].filter(doomed.mask(rows)).to_pylist())
        return found - {None}

    def erase(self, doomed: Doomed) -> int:
        """Takes them out, then deletes the files that held them and the log that tells of these.

        Returns:
            How many rows went from the table's newest state.

        Raises:
            DataError: When the table does not hold afterwards what it should; its files of before are kept then.
            TransientError: Others were quicker many times.
        """
        gone = 0
        for _ in range(_TRIES):
            try:
                unnamed = self._files()  # before the seal
                if not self._seal():
                    return 0
                gone += self._rewrite(doomed, unnamed)
                self._delete(doomed, unnamed)
                if self._seal() and (snapshot := delta.load(self._root, self._path)) is not None:
                    snapshot.forget_log()
                return gone
            except delta.Conflict as conflict:
                last = conflict
        raise TransientError(f"table {self.name}: other writers were quicker {_TRIES} times. {last}")

    def _seal(self) -> bool:
        snapshot = delta.load(self._root, self._path)
        if snapshot is not None:
            snapshot.seal(secrets.token_hex(8))
        return snapshot is not None

    def _rewrite(self, doomed: Doomed, unnamed: set[str]) -> int:
        """Writes the files that hold such rows anew without them; adds their names to what may have to be deleted."""
        gone = 0
        while (snapshot := delta.load(self._root, self._path)) is not None:
            touched = _touched(snapshot, doomed)
            if not touched:
                return gone
            for run, _ in touched:
                gone += self._rewrite_run(run, doomed, unnamed)
        return gone

    def _rewrite_run(self, run: Run, doomed: Doomed, unnamed: set[str]) -> int:
        snapshot = delta.load(self._root, self._path)
        if snapshot is None:
            return 0
        unnamed |= snapshot.names()
        rows = snapshot.commits(run.first, run.last)
        left = doomed.spare(rows)
        gone = rows.num_rows - left.num_rows
        if not gone:
            return 0
        number = snapshot.transaction(SEQUENCE)
        marks = {} if number is None else {SEQUENCE: number}
        fault_point("erase.table:before")
        if "_commit" in left.column_names:
            left = sorted_by_time(left)
        snapshot.rewrite(left, run.first, run.last, marks, MAX_BYTES, tag="erasure")
        fault_point("erase.table:after")
        changed = snapshot.rows_changed()
        if changed not in (None, -gone):
            rule = f"must hold {gone} rows less after Delta version {snapshot.version} than before it"
            remedy = "Its files of before are kept: report this, and restore the rows from them."
            raise DataError(f"table {self.name}", rule, value=f"{changed:+d}", remedy=remedy)
        log.info("Erased %d rows of %s", gone, self.name)
        return gone

    def _delete(self, doomed: Doomed, unnamed: set[str]) -> None:
        """Deletes what no commit names, or will, and holds such rows, or cannot be read."""
        snapshot = delta.load(self._root, self._path)
        named = set() if snapshot is None else snapshot.names()
        filesystem = self._root.arrow_filesystem(self._path)
        fault_point("erase.files:before")
        for name in sorted(unnamed - named):
            if _holds(filesystem, name, doomed):
                try:
                    filesystem.delete_file(name)
                except FileNotFoundError:
                    continue  # another one's upkeep was quicker
        fault_point("erase.files:after")

    def _files(self) -> set[str]:
        """All files that lie in the table's folder, named by a commit or not; its log is none of them."""
        from pyarrow import fs

        found = self._root.arrow_filesystem(self._path).get_file_info(
            fs.FileSelector("", recursive=True, allow_not_found=True)
        )
        return {each.path for each in found if each.type == fs.FileType.File and not each.path.startswith(_LOG)}


def _touched(snapshot: delta.Snapshot, doomed: Doomed) -> list[tuple[Run, int]]:
    """Runs of files that hold such rows, each with how many; neighbours that memory takes at once are one."""
    if not doomed.applies(snapshot.schema.names):
        return []
    if "_commit" not in snapshot.schema.names:
        count = doomed.count(snapshot.scan(doomed.columns))
        return [(Run(0, _ALL, 0, 0, 0), count)] if count else []
    found: dict[Run, int] = {}
    standing = runs(snapshot.files())
    for part in _parts(standing):
        rows = snapshot.commits(part[0].first, part[-1].last, [*dict.fromkeys([*doomed.columns, "_commit"])])
        if doomed.count(rows):
            found |= dict(_by_run(rows, part, doomed))
    return _joined(standing, found)


def _joined(standing: Sequence[Run], found: Mapping[Run, int]) -> list[tuple[Run, int]]:
    joined: list[tuple[Run, int]] = []
    last: Run | None = None
    for run in standing:
        if run in found:
            before = joined[-1] if joined and last in found else None
            together = (
                run
                if before is None
                else Run(before[0].first, run.last, *(a + b for a, b in zip(before[0][2:], run[2:], strict=True)))
            )
            if before is not None and together.size_bytes <= MAX_BYTES and together.rows <= MAX_ROWS:
                joined[-1] = together, before[1] + found[run]
            else:
                joined.append((run, found[run]))
        last = run
    return joined


def _by_run(rows: pa.Table, part: Sequence[Run], doomed: Doomed) -> Iterator[tuple[Run, int]]:
    import numpy as np
    import pyarrow.compute as pc

    hit = rows["_commit"].filter(doomed.mask(rows))
    commits = np.sort(pc.fill_null(hit, 0).to_numpy())
    for run in part:
        count = int(np.searchsorted(commits, run.last, "right") - np.searchsorted(commits, run.first, "left"))
        if count:
            yield run, count


def _parts(standing: Sequence[Run]) -> Iterator[list[Run]]:
    """Neighbours that are looked through at once."""
    part: list[Run] = []
    for run in standing:
        if part and sum(each.rows for each in part) + run.rows > MAX_ROWS:
            yield part
            part = []
        part.append(run)
    if part:
        yield part


def _holds(filesystem: Any, name: str, doomed: Doomed) -> bool:
    """Whether a file holds such rows; one that is no whole Parquet file may."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with filesystem.open_input_file(name) as source:
            return doomed.is_in(pq.ParquetFile(source))
    except FileNotFoundError:
        return False
    except (pa.ArrowInvalid, OSError):  # no commit will ever name it, so nobody needs it
        return True
