"""Training sets: immutable Parquet files under the digest of their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING

from evergreen.errors import DataError
from evergreen.lake.columns import canonical

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.lake.lake import Lake

_FOLDER = "trainingsets"
ROW_GROUP = 1 << 17


def put(lake: Lake, table: pa.Table) -> tuple[str, str]:
    """Stores a table and returns its path in the lake and its SHA-256.

    The same rows in the same order give the same bytes in any process of one environment: types are canonical, chunks
    and metadata leave no trace.
    """
    path = lake.blobs.put_written(_FOLDER, lambda stream: encode(table, stream), ".parquet")
    return path, path.removeprefix(f"{_FOLDER}/").removesuffix(".parquet")


def path_of(sha256: str) -> str:
    """Where a training set lies in the lake."""
    return f"{_FOLDER}/{sha256}.parquet"


def get(lake: Lake, sha256: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Reads a training set back.

    Args:
        columns: To read, in this order; all by default.

    Raises:
        DataError: When it is missing, or its bytes are not those that were stored.
    """
    import pyarrow.parquet as pq

    path = path_of(sha256)
    with lake.blobs.open_input(path) as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
            raise DataError(
                lake.blobs.uri(path), "must have the content that its name promises", remedy="Restore the file."
            )
        stream.seek(0)
        return pq.read_table(stream, columns=None if columns is None else list(columns))


def encode(table: pa.Table, stream: IO[bytes]) -> None:
    """Writes the canonical Parquet bytes of a table, a row group at a time.

    Floats are split by their bytes: to look for repeated ones in 2 million rows of 20 columns takes five times as long
    as all else.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = canonical(table.slice(0, 0), "training set").schema.remove_metadata()
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    repeated = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_boolean(field.type)]
    with pq.ParquetWriter(
        stream,
        schema,
        compression="zstd",
        use_dictionary=repeated,
        use_byte_stream_split=floats,
        store_schema=False,
        version="2.6",
    ) as writer:
        for first in range(0, table.num_rows, ROW_GROUP):
            part = canonical(table.slice(first, ROW_GROUP), "training set").replace_schema_metadata(None)
            writer.write_table(part.combine_chunks(), row_group_size=ROW_GROUP)
