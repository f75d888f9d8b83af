"""Tables between two steps of one run: Parquet files in the lake, addressed by content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

from evergreen.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from evergreen.lake.lake import Lake


def put(lake: Lake, table: pa.Table) -> str:
    """Stages a table and returns its lake path; the same rows give the same path."""
    return put_all(lake, [table])


def put_all(lake: Lake, tables: Iterable[pa.Table]) -> str:
    """Stages rows that come bit by bit, at least one table of them; however they are cut, the path is the same."""
    from evergreen.lake.spill import write_parquet

    def write(stream: IO[bytes]) -> None:
        write_parquet(tables, stream)

    return lake.blobs.put_written("staging", write, ".parquet", point="staging")


def get(lake: Lake, path: str) -> pa.Table:
    """Reads a staged table.

    Raises:
        DataError: When it has expired.
    """
    import pyarrow as pa

    with opened(lake, path) as staged:
        return pa.concat_tables(staged.tables())


class Staged:
    """Staged rows, to be read bit by bit."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self._file = file

    @property
    def schema(self) -> pa.Schema:
        """Their columns."""
        return self._file.schema_arrow

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return int(self._file.metadata.num_rows)

    def tables(self, columns: Sequence[str] | None = None, groups: Iterable[int] | None = None) -> Iterator[pa.Table]:
        """The rows in their order, at least one table of them, which may be empty.

        Args:
            columns: To read, in this order; all by default.
            groups: Numbers of the row groups to read; all by default.
        """
        names = self.schema.names if columns is None else list(columns)
        numbers = range(self._file.num_row_groups) if groups is None else groups
        empty = True
        for number in numbers:
            empty = False
            yield self._file.read_row_group(number, columns=names).select(names)
        if empty:
            yield self.schema.empty_table().select(names)

    def between(
        self, column: str, first: datetime | None, end: datetime | None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """The rows of which an instant lies within bounds, in their order, at least one table of them.

        Args:
            column: Of instants, none of them null.
            first: Inclusive; ``None`` for all before ``end``.
            end: Exclusive; ``None`` for all from ``first`` on.
            columns: To read; all by default.
        """
        import pyarrow.compute as pc

        from evergreen.lake.delta import instant

        names = self.schema.names if columns is None else list(columns)
        groups = [
            number
            for number, (_, least, greatest) in enumerate(self.spans(column))
            if least is None or ((first is None or greatest >= first) and (end is None or least < end))
        ]
        for rows in self.tables(list(dict.fromkeys([*names, column])), groups):
            at, keep = rows[column], []
            if first is not None:
                keep.append(pc.greater_equal(at, instant(first)))
            if end is not None:
                keep.append(pc.less(at, instant(end)))
            for mask in keep[1:]:
                keep[0] = pc.and_(keep[0], mask)
            yield (rows.filter(keep[0]) if keep else rows).select(names)

    def spans(self, column: str) -> list[tuple[int, Any, Any]]:
        """Rows, least and greatest value of a column (``None`` where that is not known) of each row group."""
        index = self.schema.get_field_index(column)
        found = []
        for number in range(self._file.num_row_groups):
            group = self._file.metadata.row_group(number)
            told = group.column(index).statistics
            known = told is not None and told.has_min_max
            found.append((group.num_rows, told.min if known else None, told.max if known else None))
        return found

    @property
    def size_bytes(self) -> int:
        """Of all rows, before compression."""
        metadata = self._file.metadata
        return sum(metadata.row_group(number).total_byte_size for number in range(self._file.num_row_groups))


@contextmanager
def opened(lake: Lake, path: str) -> Iterator[Staged]:
    """Staged rows that need not fit into memory.

    Raises:
        DataError: When they have expired.
    """
    import pyarrow.parquet as pq

    if not lake.blobs.exists(path):
        raise _expired(lake, path)
    with lake.blobs.open_input(path) as stream:
        yield Staged(pq.ParquetFile(stream))


def renew(lake: Lake, path: str) -> None:
    """Keeps a staged table from expiring, before the store refers to it.

    Raises:
        DataError: When it has expired.
    """
    if not lake.blobs.renew(path):
        raise _expired(lake, path)


def _expired(lake: Lake, path: str) -> DataError:
    remedy = "Clear the run's first task as well: what one task hands to the next is kept for a while only."
    return DataError(lake.blobs.uri(path), "must exist in the lake", remedy=remedy)
