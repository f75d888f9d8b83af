"""Reads one Parquet file, whole columns, in the few types that tables of ours have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evergreen.errors import DataError
from evergreen.ingest.csvfile import refuse_missing

if TYPE_CHECKING:
    import pyarrow as pa


def parse(name: str, content: bytes, wanted: Sequence[str] | None) -> pa.Table:
    """The wanted columns (``None``: all) of a Parquet file.

    Raises:
        DataError: The file is empty, truncated or not Parquet, or its columns are doubled or missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not content:
        raise DataError(name, "must not be empty, but has 0 bytes", remedy="Deliver the file again.")
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        names = list(file.schema_arrow.names)
        doubled = sorted({column for column in names if names.count(column) > 1})
        if doubled:
            raise DataError(name, "must name every column once", value=doubled, remedy="Rename the doubled columns.")
        refuse_missing(name, names, wanted or ())
        return file.read(columns=list(wanted) if wanted is not None else None, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        message = str(error).splitlines()[0]
        raise DataError(
            name, f"is truncated, damaged or not Parquet ({message})",
            remedy="Deliver the whole file again; nothing of it was published.",
        ) from None  # fmt: skip
