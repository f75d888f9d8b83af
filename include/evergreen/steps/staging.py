"""Tables between two steps of one run: Parquet files in the lake, addressed by content."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.lake.lake import Lake


def put(lake: Lake, table: pa.Table) -> str:
    """Stages a table and returns its lake path; the same rows give the same path."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", store_schema=True)
    return lake.blobs.put_content("staging", buffer.getvalue(), ".parquet", point="staging")


def get(lake: Lake, path: str) -> pa.Table:
    """Reads a staged table."""
    import pyarrow.parquet as pq

    return pq.read_table(io.BytesIO(lake.blobs.get(path)))
