"""Training sets: immutable Parquet files under the digest of their bytes."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

from evergreen.errors import DataError
from evergreen.lake.columns import canonical

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.lake.lake import Lake

_FOLDER = "trainingsets"


def put(lake: Lake, table: pa.Table) -> tuple[str, str]:
    """Stores a table and returns its path in the lake and its SHA-256.

    The same rows in the same order give the same bytes in any process of one environment: types are canonical, chunks
    and metadata leave no trace.
    """
    data = encode(table)
    path = lake.blobs.put_content(_FOLDER, data, ".parquet")
    return path, hashlib.sha256(data).hexdigest()


def get(lake: Lake, sha256: str) -> pa.Table:
    """Reads a training set back.

    Raises:
        DataError: When it is missing, or its bytes are not those that were stored.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = f"{_FOLDER}/{sha256}.parquet"
    data = lake.blobs.get(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(
            lake.blobs.uri(path), "must have the content that its name promises", remedy="Restore the file."
        )
    return pq.read_table(pa.BufferReader(data))


def encode(table: pa.Table) -> bytes:
    """The canonical Parquet bytes of a table."""
    import pyarrow.parquet as pq

    table = canonical(table, "training set").replace_schema_metadata(None).combine_chunks()
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=1 << 17, store_schema=False, version="2.6")
    return buffer.getvalue()
