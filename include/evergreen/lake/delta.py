"""The only door to Delta Lake.

Three rules, all measured. Reading goes through ``to_pyarrow_dataset(filesystem=…)`` alone: the plain ways of deltalake
can abort the process at its exit. It is told which files may hold what is wanted: to look through the statistics of
1,000 files takes pyarrow 380 ms, deltalake 10. A write carries application transactions and starts from a snapshot that
the caller has checked: two writers with the same application id that start from the same snapshot cannot both succeed,
whichever version they name; a repeated transaction from a fresh snapshot would be accepted and double the rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import reduce
from operator import and_, ge, gt, le, lt, or_
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from evergreen.errors import DataError, EvergreenError, TransientError
from evergreen.lake.roots import Root, disk_full, is_full

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

# A writer must not clean the log by itself, in the middle of an append. Every checkpoint names the files that were
# removed within the second time, so that they can be deleted until then: of a log that is merged each night, many.
_CONFIGURATION = {"delta.enableExpiredLogCleanup": "false", "delta.deletedFileRetentionDuration": "interval 10 days"}
_CLEANED = "Invalid table version"
"""What a writer is told whose snapshot is older than all that the log still says."""
_EMPTY = "No files in log segment"
"""What a reader is told who wants a version from before all that the log still says, or of a log that has nothing."""
_LOOKS = 5
_LOG_KEPT = "delta.logRetentionDuration"
_SEAL = "evergreen.seal"
ROW_GROUP = 1 << 16
"""Rows of a group of a compacted file: the least that a reader takes from it."""

FILE_BYTES = 32 * 2**20
"""Of a file of an append, about: so much of it is held in memory."""

_PRUNED = ("_event_time", "_known_at", "_as_of", "_commit", "as_of", "event_time")
"""Columns whose statistics tell files apart; those of digests and of most others do not."""
_MANY = 1000
"""Of more values than this nobody asks in which files they may be."""
_TESTS = {"<": lt, "<=": le, ">": gt, ">=": ge}


class Condition(NamedTuple):
    """What a column must meet; of ``in``, ``value`` is a list. Instants have a time zone.

    Statistics of instants are cut to milliseconds, so that a maximum may lie before the instant that it stands for.
    """

    column: str
    test: Literal["<", "<=", ">", ">=", "in"]
    value: Any

    @property
    def expression(self) -> ds.Expression:
        """As pyarrow reads rows by it."""
        import pyarrow.compute as pc

        field = pc.field(self.column)
        if self.test == "in":
            return field.isin(self.value)
        return _TESTS[self.test](field, instant(self.value) if isinstance(self.value, datetime) else self.value)

    @property
    def of_files(self) -> Condition:
        """What the statistics of a file that holds such a row meet; itself where that is no less."""
        if self.test in (">", ">=") and isinstance(self.value, datetime):
            at = self.value.replace(microsecond=self.value.microsecond // 1000 * 1000)
            if self.test == ">" or at != self.value:
                return self._replace(test=">=", value=at)
        return self

    @property
    def tells_files_apart(self) -> bool:
        """Whether it is worth a look at the statistics."""
        return self.column in _PRUNED and (self.test != "in" or len(self.value) <= _MANY)


class File(NamedTuple):
    """A data file of a table.

    Attributes:
        first: Least commit of its rows; 0 where rows carry none.
        last: Greatest.
    """

    first: int
    last: int
    rows: int
    size_bytes: int


class Stream(NamedTuple):
    """Rows to be written that need not fit into memory: tables of one schema.

    They come from no table of Delta's: deltalake cannot be called while it asks for them.
    """

    schema: pa.Schema
    tables: Iterable[pa.Table]

    def reader(self) -> pa.RecordBatchReader:
        """As deltalake takes them."""
        import pyarrow as pa

        batches = (batch for table in self.tables for batch in table.to_batches(max_chunksize=ROW_GROUP))
        return pa.RecordBatchReader.from_batches(self.schema, batches)


class Conflict(EvergreenError):
    """Another writer committed since the snapshot was taken; take a new one and decide again."""


class Snapshot:
    """One version of a Delta table, with what was committed up to it."""

    def __init__(self, root: Root, path: str, delta: Any) -> None:
        self._root, self._path, self._delta = root, path, delta

    @property
    def version(self) -> int:
        """Delta's own version; after a write by this snapshot, the version written."""
        return int(self._delta.version())

    @property
    def schema(self) -> pa.Schema:
        """Columns in Arrow's types."""
        import pyarrow as pa

        return pa.schema(self._delta.schema())

    def transaction(self, app_id: str) -> int | None:
        """The last number that was committed under an application id."""
        with _faults(self._root.join(self._path)):
            number = self._delta.transaction_version(app_id)
        return None if number is None else int(number)

    def history(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Commits, newest first, as Delta tells them."""
        return list(self._delta.history(limit))

    def scan(
        self, columns: Sequence[str], where: Sequence[Condition] = (), either: Sequence[Condition] = ()
    ) -> pa.Table:
        """Reads rows; files whose statistics exclude them are not opened.

        Args:
            columns: To read.
            where: All of these hold.
            either: At least one of these holds, if there are any.
        """
        rough, rough_either = [each.of_files for each in where], [each.of_files for each in either]
        is_rough = any(near is not each for near, each in zip([*rough, *rough_either], [*where, *either], strict=True))
        needed = dict.fromkeys([*columns, *(each.column for each in (*where, *either) if is_rough)])
        with self._reading():
            dataset = self._delta.to_pyarrow_dataset(
                filesystem=self._root.arrow_filesystem(self._path), file_pruning_predicate=_files(rough, rough_either)
            )
            rows = dataset.to_table(columns=list(needed), filter=_expression(rough, rough_either))
        return rows.filter(_expression(where, either)).select(list(columns)) if is_rough else rows

    def files(self) -> list[File]:
        """The data files, in no certain order."""
        told = self._told()
        names = [
            name for name in ("min._commit", "max._commit", "num_records", "size_bytes") if name in told.column_names
        ]
        return [
            File(each.get("min._commit") or 0, each.get("max._commit") or 0, each["num_records"], each["size_bytes"])
            for each in told.select(names).to_pylist()
        ]

    def span(self, column: str) -> tuple[datetime, datetime] | None:
        """Instants that enclose all values of a column, from the files' statistics; ``None`` without any."""
        import pyarrow.compute as pc

        told = self._told()
        if f"min.{column}" not in told.column_names:
            return None
        least, greatest = pc.min(told[f"min.{column}"]).as_py(), pc.max(told[f"max.{column}"]).as_py()
        return None if least is None else (least, greatest + timedelta(milliseconds=1))  # they are cut to milliseconds

    def spans(self, column: str) -> list[tuple[datetime, datetime, int]]:
        """Least and greatest value of a column, and rows, of each data file that has statistics of it."""
        told = self._told()
        if f"min.{column}" not in told.column_names:
            return []
        names = [f"min.{column}", f"max.{column}", "num_records"]
        found = (tuple(row.values()) for row in told.select(names).to_pylist())
        return [(least, last, count) for least, last, count in found if least is not None]

    def tells_all_apart_by(self, column: str) -> bool:
        """Whether every row has a value of a column, as the files' statistics tell, and a commit's number."""
        import pyarrow.compute as pc

        told, columns = self._told(), ("_commit", column)
        names = [f"min.{name}" for name in columns]
        if not set(names) <= set(told.column_names) or pc.min(told["min._commit"]).as_py() == 0:
            return False
        nulls = sum(pc.sum(told[f"null_count.{name}"]).as_py() or 0 for name in columns)
        return not nulls and not any(told[name].null_count for name in names)

    def _told(self) -> pa.Table:
        """What the log tells of each data file, statistics among it."""
        import pyarrow as pa

        with _faults(self._root.join(self._path)):
            return pa.table(self._delta.get_add_actions(flatten=True))

    def names(self) -> set[str]:
        """Paths of the data files, relative to the table's folder."""
        return set(self._told()["path"].to_pylist())

    def commits(self, first: int, last: int, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of some commits, both inclusive; number 0 stands for rows that carry none.

        Args:
            columns: To read; all by default.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        if "_commit" not in self.schema.names:
            return self.scan(self.schema.names if columns is None else columns)
        number = pc.field("_commit")
        pruned: str | None = _commits(first, last)
        if not first:
            # Files from before there were numbers have no statistics of them, which deltalake takes for "no such row",
            # and so does pyarrow of the expression that it is given with them, even when it is asked for nulls.
            number, pruned = pc.coalesce(number, pa.scalar(0, pa.int64())), None
        within = (number >= first) & (number <= last)
        with self._reading():
            dataset = self._delta.to_pyarrow_dataset(
                filesystem=self._root.arrow_filesystem(self._path), file_pruning_predicate=pruned
            )
            return dataset.to_table(columns=None if columns is None else list(columns), filter=within)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What a reader is told whose files went.

        Raises:
            Conflict: When they did so by a commit since this snapshot, which an erasure deletes at once.
        """
        where = self._root.join(self._path)
        with _faults(where):
            try:
                yield
            except FileNotFoundError as error:
                newest = load(self._root, self._path)
                if newest is None or newest.version == self.version:
                    raise
                raise Conflict(f"{where}: files went since it was looked at: {error}") from error

    def rewrite(
        self,
        rows: pa.Table,
        first: int,
        last: int,
        transactions: Mapping[str, int],
        size_bytes: int,
        *,
        tag: str = "upkeep",
    ) -> None:
        """Replaces the files of some commits by new ones that hold the same rows in the order given, or fewer.

        Args:
            rows: What :meth:`commits` gave.
            first: As :meth:`commits` takes it.
            last: Likewise.
            transactions: As :meth:`append` takes them.
            size_bytes: Of a file, about.
            tag: Of the commit.

        Raises:
            Conflict: When another writer committed since this snapshot.
        """
        from deltalake import WriterProperties

        predicate: str | None = _commits(first, last)
        if "_commit" not in self.schema.names:
            predicate = None
        elif not first:
            predicate = f'"_commit" IS NULL OR ({predicate})'
        self._write(
            rows,
            transactions,
            {"evergreen.tag": tag},
            mode="overwrite",
            predicate=predicate,
            target_file_size=size_bytes,
            writer_properties=WriterProperties(max_row_group_size=ROW_GROUP),
        )

    def unused(self, keep: timedelta) -> list[str]:
        """Names of files that were removed from the table so long ago; gone ones among them, as long as it tells.

        What no commit ever named is not among them: a writer that hangs may name it yet.
        """
        return self._vacuum(keep, dry_run=True)

    def remove_unused(self, keep: timedelta) -> None:
        """Deletes what :meth:`unused` names."""
        self._vacuum(keep, dry_run=False)

    def _vacuum(self, keep: timedelta, *, dry_run: bool) -> list[str]:
        hours = int(keep / timedelta(hours=1))
        with _faults(self._root.join(self._path)):
            return list(self._delta.vacuum(retention_hours=hours, dry_run=dry_run, enforce_retention_duration=False))

    def configure(self) -> None:
        """Gives a table that was made before what new ones are made with."""
        standing = self._delta.metadata().configuration
        if lacking := {name: value for name, value in _CONFIGURATION.items() if standing.get(name) != value}:
            with _faults(self._root.join(self._path)):
                self._delta.alter.set_table_properties(lacking)

    def rows_changed(self) -> int | None:
        """How many rows the table has more than before its newest commit, as this snapshot knows it; from the log.

        ``None`` where the log was cleaned meanwhile, so that nobody can tell.
        """
        from deltalake import DeltaTable

        where, options = self._root.join(self._path), dict(self._root.options) or None
        try:
            with _faults(where):
                before = DeltaTable(where, version=self.version - 1, storage_options=options)
        except Conflict:
            return None
        earlier = Snapshot(self._root, self._path, before)
        return sum(each.rows for each in self.files()) - sum(each.rows for each in earlier.files())

    def seal(self, token: str) -> None:
        """Makes every write that started from an earlier snapshot fail, whatever it writes: a change of metadata does.

        A file that was there before, and that no commit names, is never named by any from then on.

        Args:
            token: Another one each time.

        Raises:
            Conflict: When another writer committed since this snapshot.
        """
        with _faults(self._root.join(self._path)):
            self._delta.alter.set_table_properties({_SEAL: token}, raise_if_not_exists=False)

    def forget_log(self) -> None:
        """Deletes the log of before this snapshot, after a checkpoint of it: statistics of removed files go with it."""
        from pyarrow import fs

        filesystem, here = self._root.arrow_filesystem(f"{self._path}/_delta_log"), f"{self.version:020d}"
        with _faults(self._root.join(self._path)):
            self._delta.create_checkpoint()
            for each in filesystem.get_file_info(fs.FileSelector("")):
                number = each.base_name[: len(here)]
                if each.type == fs.FileType.File and number.isdigit() and number < here:
                    with contextlib.suppress(FileNotFoundError):  # another one's upkeep was quicker
                        filesystem.delete_file(each.path)

    def clean_log(self, keep: timedelta) -> None:
        """Deletes entries of the log that are older than a while, after a checkpoint of all that counts."""
        wanted = {_LOG_KEPT: f"interval {int(keep.total_seconds())} seconds"}
        with _faults(self._root.join(self._path)):
            if self._delta.metadata().configuration.get(_LOG_KEPT) != wanted[_LOG_KEPT]:
                self._delta.alter.set_table_properties(wanted)
            self._delta.create_checkpoint()
            self._delta.cleanup_metadata()

    def append(self, rows: pa.Table | Stream, transactions: Mapping[str, int], metadata: Mapping[str, str]) -> None:
        """Appends rows; columns that the table lacks are added.

        Raises:
            Conflict: When another writer used one of the application ids since this snapshot.
        """
        self._write(rows, transactions, metadata, mode="append")

    def overwrite(
        self, rows: pa.Table, predicate: str, transactions: Mapping[str, int], metadata: Mapping[str, str]
    ) -> None:
        """Replaces the rows that meet a predicate, in one commit.

        Raises:
            Conflict: When another writer committed since this snapshot.
        """
        self._write(rows, transactions, metadata, mode="overwrite", predicate=predicate)

    def _write(
        self, rows: pa.Table | Stream, transactions: Mapping[str, int], metadata: Mapping[str, str], **how: Any
    ) -> None:
        from deltalake import CommitProperties, Transaction, WriterProperties, write_deltalake

        done = [Transaction(app_id, number) for app_id, number in transactions.items()]
        properties = CommitProperties(custom_metadata=dict(metadata), app_transactions=done)
        if set(rows.schema.names) - set(self.schema.names):
            how["schema_mode"] = "merge"
        with _faults(self._root.join(self._path)):
            if isinstance(rows, Stream):
                how["target_file_size"] = FILE_BYTES
                how["writer_properties"] = WriterProperties(max_row_group_size=ROW_GROUP)
            given = rows.reader() if isinstance(rows, Stream) else rows
            write_deltalake(self._delta, given, commit_properties=properties, **how)


def load(root: Root, path: str) -> Snapshot | None:
    """The newest state of a table, or None when there is no table."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    if root.local is not None and not (root.local / path / "_delta_log").is_dir():
        return None
    for _ in range(_LOOKS):
        try:
            with _faults(root.join(path)):
                return Snapshot(root, path, DeltaTable(root.join(path), storage_options=dict(root.options) or None))
        except TableNotFoundError:
            return None
        except Conflict as conflict:  # an entry of the log went between the list of them and its turn
            last = conflict
    if _EMPTY in str(last):
        return None
    raise TransientError(f"table {path} could not be read: {last}")


def create(root: Root, path: str, schema: pa.Schema) -> Snapshot:
    """Makes an empty table, unless another writer just did, and returns its newest version."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    if root.local is not None:
        from evergreen.lake.roots import disk_faults

        with disk_faults(root.join(path)):
            (root.local / path).mkdir(parents=True, exist_ok=True)
    try:
        with _faults(root.join(path)):
            options = dict(root.options) or None
            DeltaTable.create(root.join(path), schema, configuration=_CONFIGURATION, storage_options=options)
    except (Conflict, DeltaError) as error:
        made = load(root, path)
        if made is None:
            raise TransientError(f"table {path} could not be created: {error}") from error
        return made
    made = load(root, path)
    if made is None:
        raise TransientError(f"table {path} was created but cannot be found")
    return made


def of_rows(rows: pa.Table, *, whole: bool = False) -> list[Condition]:
    """What versions of some rows meet.

    Args:
        rows: With ``_row_id`` and ``_event_time``.
        whole: They are of whole snapshots: a row's versions have event times of their own.
    """
    import pyarrow.compute as pc

    found = [Condition("_row_id", "in", pc.unique(rows["_row_id"]))]
    if not whole and rows.num_rows:
        span = pc.min_max(rows["_event_time"]).as_py()
        found += between(span["min"], span["max"])
    return found


def between(least: datetime, greatest: datetime) -> list[Condition]:
    """What versions of these event times meet."""
    return [Condition("_event_time", ">=", least), Condition("_event_time", "<=", greatest)]


def _commits(first: int, last: int) -> str:
    return f'"_commit" >= {first} AND "_commit" <= {last}'


def _files(where: Sequence[Condition], either: Sequence[Condition]) -> list[Any] | None:
    """Which files may hold such rows, in deltalake's form; ``None`` for all."""
    always = [tuple(each) for each in where if each.tells_files_apart]
    if either and all(each.tells_files_apart for each in either):
        return [[*always, tuple(each)] for each in either]
    return always or None


def _expression(where: Sequence[Condition], either: Sequence[Condition]) -> ds.Expression | None:
    found = [each.expression for each in where]
    if either:
        found.append(reduce(or_, (each.expression for each in either)))
    return reduce(and_, found) if found else None


def instant(moment: datetime) -> pa.Scalar:
    """A moment as the lake keeps instants."""
    import pyarrow as pa

    if moment.tzinfo is None:
        raise TypeError(f"{moment} has no time zone")
    return pa.scalar(moment, pa.timestamp("us", tz="UTC"))


def _is_cleaned(text: str) -> bool:
    """Whether the library says that the log was cleaned since it was looked at."""
    return _CLEANED in text or _EMPTY in text or ("_delta_log/" in text and "not found" in text.lower())


@contextmanager
def _faults(place: str) -> Iterator[None]:
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        yield
    except EvergreenError:
        raise
    except Exception as error:
        if is_full(error):
            raise disk_full(place) from error
        if isinstance(error, CommitFailedError):
            raise Conflict(f"{place}: {error}") from error
        if isinstance(error, DeltaError) and _is_cleaned(str(error)):
            raise Conflict(f"{place}: the log was cleaned since it was read: {error}") from error
        if isinstance(error, FileNotFoundError):
            remedy = "Restore the lake's files: Evergreen deletes none that its log names."
            raise DataError(place, f"must have all files that its log names: {error}", remedy=remedy) from error
        if isinstance(error, OSError):
            raise TransientError(f"{place} could not be read or written: {error}") from error
        raise
