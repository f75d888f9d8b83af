"""Reads one Parquet file, some rows at a time, in the few types that tables of ours have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING

from evergreen.errors import DataError
from evergreen.ingest.csvfile import refuse_missing

if TYPE_CHECKING:
    import pyarrow as pa


def parse(name: str, stream: IO[bytes], wanted: Sequence[str] | None, rows: int) -> Iterator[pa.Table]:
    """The wanted columns (``None``: all) of a Parquet file.

    Args:
        name: Of the file, for messages.
        stream: Its bytes; it can seek.
        wanted: Columns.
        rows: At most so many are read at once.

    Yields:
        At least one table.

    Raises:
        DataError: The file is empty, truncated or not Parquet, or its columns are doubled or missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not stream.read(1):
        raise DataError(name, "must not be empty, but has 0 bytes", remedy="Deliver the file again.")
    stream.seek(0)
    try:
        file = pq.ParquetFile(stream)
        names = list(file.schema_arrow.names)
        doubled = sorted({column for column in names if names.count(column) > 1})
        if doubled:
            raise DataError(name, "must name every column once", value=doubled, remedy="Rename the doubled columns.")
        refuse_missing(name, names, wanted or ())
        columns = [column for column in names if wanted is None or column in wanted]
        if not file.metadata.num_rows:
            yield file.read(columns=columns, use_threads=False)
        for batch in file.iter_batches(rows, columns=columns, use_threads=False):
            yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        message = str(error).splitlines()[0]
        raise DataError(
            name, f"is truncated, damaged or not Parquet ({message})",
            remedy="Deliver the whole file again; nothing of it was published.",
        ) from None  # fmt: skip
