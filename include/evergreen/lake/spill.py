"""Rows that may be more than memory holds: the first stay in memory, the rest goes to a file of this machine.

They come back in batches of one size, whatever they were added in: how rows are cut shows in the last digits of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

GROUP = 1 << 16
"""Rows of a batch: a multiple of the 2,048 that DuckDB takes at once."""


class Regrouped:
    """Hands rows on in batches of one size, the last one smaller.

    Args:
        write: Takes each batch, one chunk a column.
        size: Rows of a batch; :data:`GROUP` by default.
    """

    def __init__(self, write: Callable[[pa.Table], object], size: int | None = None) -> None:
        self._write, self._size = write, size or GROUP
        self._pending: list[pa.Table] = []
        self._count = 0

    def add(self, rows: pa.Table) -> None:
        """The rows that come next."""
        import pyarrow as pa

        self._pending.append(rows)
        self._count += rows.num_rows
        if self._count < self._size:
            return
        joined, at = pa.concat_tables(self._pending), 0
        while self._count - at >= self._size:
            self._write(joined.slice(at, self._size).combine_chunks())
            at += self._size
        self._pending, self._count = [joined.slice(at)], self._count - at

    def finish(self) -> None:
        """Hands on what is left, if anything."""
        for rows in self.rest():
            self._write(rows)
        self._pending, self._count = [], 0

    def rest(self) -> Iterator[pa.Table]:
        """What was not handed on yet."""
        import pyarrow as pa

        if self._count:
            yield pa.concat_tables(self._pending).combine_chunks()


class Spill:
    """Rows of one schema in the order in which they were added; all are added before the first is read.

    Args:
        file: Where they go when they are more than a batch; its folder is there.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._regrouped = Regrouped(self._store)
        self._sink: Any = None
        self.schema: pa.Schema | None = None
        self.num_rows = 0

    def add(self, rows: pa.Table) -> None:
        """The rows that come next.

        Raises:
            ValueError: When they have another schema than those before.
        """
        if self.schema is None:
            self.schema = rows.schema
        elif not self.schema.equals(rows.schema):
            raise ValueError(f"rows have the schema\n{rows.schema}\nand not\n{self.schema}")
        self._regrouped.add(rows)
        self.num_rows += rows.num_rows

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The rows in batches, at least one (which may be empty).

        Raises:
            ValueError: When no rows were ever added, not even none.
        """
        import pyarrow as pa

        if self.schema is None:
            raise ValueError("no rows were added")
        names = self.schema.names if columns is None else columns
        if not self.num_rows:
            yield self.schema.empty_table().select(names)
        if self._sink is None:
            for rows in self._regrouped.rest():
                yield rows.select(names)
            return
        self._close()
        with pa.OSFile(str(self._file)) as source:
            reader = pa.ipc.open_file(source)
            for number in range(reader.num_record_batches):
                yield pa.Table.from_batches([reader.get_batch(number)]).select(names)

    def dataset(self) -> ds.Dataset:
        """The rows as a dataset in files."""
        import pyarrow as pa
        import pyarrow.dataset as ds

        schema = pa.schema(self.schema)
        if self._sink is None:
            self._open(schema)
        self._close()
        return ds.dataset(str(self._file), format="ipc", schema=schema)

    def _store(self, rows: pa.Table) -> None:
        if self._sink is None:
            self._open(rows.schema)
        self._sink.write_table(rows)

    def _open(self, schema: pa.Schema) -> None:
        import pyarrow as pa

        self._sink = pa.ipc.new_file(str(self._file), schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))

    def _close(self) -> None:
        """Writes what is left; no more rows can be added."""
        self._regrouped.finish()
        self._sink.close()


def write_parquet(tables: Iterable[pa.Table], stream: IO[bytes]) -> None:
    """Writes rows of one schema, at least one table of them, as Parquet in groups of :data:`GROUP` rows."""
    import pyarrow.parquet as pq

    tables = iter(tables)
    first = next(tables)
    with pq.ParquetWriter(stream, first.schema, compression="zstd", store_schema=True) as writer:
        for rows in in_batches(chain([first], tables)):
            writer.write_table(rows)


def in_batches(tables: Iterable[pa.Table], size: int | None = None) -> Iterator[pa.Table]:
    """The same rows in batches as :class:`Regrouped` hands them on; without rows there is none."""
    ready: list[pa.Table] = []
    regrouped = Regrouped(ready.append, size)
    for rows in tables:
        regrouped.add(rows)
        yield from ready
        ready.clear()
    regrouped.finish()
    yield from ready


def picked(tables: Iterable[pa.Table], mask: Any) -> pa.Table:
    """Of rows that come bit by bit those of a boolean numpy mask over all of them."""
    import pyarrow as pa

    parts, at = [], 0
    for rows in tables:
        parts.append(rows.filter(pa.array(mask[at : at + rows.num_rows])))
        at += rows.num_rows
    return pa.concat_tables(parts)
