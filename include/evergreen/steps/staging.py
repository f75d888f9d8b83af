"""Tables between two steps of one run: Parquet files in the lake, addressed by content."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING

from evergreen.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.lake.lake import Lake


def put(lake: Lake, table: pa.Table) -> str:
    """Stages a table and returns its lake path; the same rows give the same path."""
    import pyarrow.parquet as pq

    def write(stream: IO[bytes]) -> None:
        pq.write_table(table, stream, compression="zstd", store_schema=True)

    return lake.blobs.put_written("staging", write, ".parquet", point="staging")


def get(lake: Lake, path: str) -> pa.Table:
    """Reads a staged table.

    Raises:
        DataError: When it has expired.
    """
    import pyarrow.parquet as pq

    if not lake.blobs.exists(path):
        raise _expired(lake, path)
    return pq.read_table(io.BytesIO(lake.blobs.get(path)))


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
