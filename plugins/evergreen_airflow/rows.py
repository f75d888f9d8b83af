"""Rows for the operators that look at data: a file, a folder of files, or a table of the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.errors import DataError, UserError
from evergreen.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

LAKE = "lake:"


def read_rows(source: str, columns: list[str] | None = None) -> pa.Table:
    """Reads ``lake:datasets/flights``, or a CSV or Parquet path (file, folder or URI) by its ending.

    Args:
        columns: Columns to read; all user columns by default.

    Raises:
        DataError: When there is nothing to read there, or it cannot be read.
    """
    if source.startswith(LAKE):
        from evergreen.lake.lake import Lake

        return Lake(Settings.from_env().lake).table(source.removeprefix(LAKE)).read(columns, system=False)
    from pyarrow import ArrowException
    from pyarrow import dataset as ds

    kind = "csv" if source.endswith((".csv", ".csv.gz")) else "parquet"
    try:
        return ds.dataset(source, format=kind).to_table(columns)
    except (OSError, ArrowException) as error:
        raise DataError(source, f"must be a readable {kind} file, folder or URI, or lake:TABLE ({error})") from None


def whole_number(place: str, text: int | str) -> int:
    """A number that came through a template, where every value is text.

    Raises:
        UserError: When it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise UserError(place, "must be a whole number", value=text) from None
