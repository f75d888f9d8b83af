"""Declared column types in Arrow, and the one way in which values become them.

Training, scoring and the gateway all bring columns into these types before a transform sees them, so that a transform
gives the same on a year of rows and on one request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.errors import DataError
from evergreen.spec.base import DType

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_type(dtype: DType) -> pa.DataType:
    """The Arrow type of a declared one; instants are UTC, in microseconds."""
    import pyarrow as pa

    types: dict[DType, pa.DataType] = {
        "int": pa.int64(),
        "float": pa.float64(),
        "string": pa.string(),
        "bool": pa.bool_(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
    }
    return types[dtype]


def dtype_of(kind: pa.DataType) -> DType | None:
    """The declared type that an Arrow type stands for; ``None`` for lists, structs, durations and the like."""
    import pyarrow.types as t

    if t.is_dictionary(kind):
        return dtype_of(kind.value_type)
    if t.is_boolean(kind):
        return "bool"
    if t.is_integer(kind) or (t.is_decimal(kind) and kind.scale == 0):  # DuckDB's sums of integers are decimals
        return "int"
    if t.is_floating(kind) or t.is_decimal(kind):
        return "float"
    if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind):
        return "string"
    if t.is_timestamp(kind):
        return "timestamp"
    return "date" if t.is_date(kind) else None


def cast(column: pa.ChunkedArray, dtype: DType, place: str) -> pa.ChunkedArray:
    """A column in a declared type. NaN becomes null, a time without a zone is UTC, finer times are cut to microseconds.

    Raises:
        DataError: When a value would change by it (``1.5`` as int) or cannot be read as it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    target = arrow_type(dtype)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if column.type == target:
        return column
    has = dtype_of(column.type)
    try:
        if dtype == "timestamp" and has in ("timestamp", "date"):
            return column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None)), safe=False).cast(target)
        if has in ("timestamp", "date") and dtype in ("int", "float", "bool"):
            raise TypeError(f"a {has} is not a {dtype}")
        if dtype == "float" and has == "float":
            return column.cast(target, safe=False)
        return column.cast(target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError) as error:
        raise DataError(
            place,
            f"must be castable to {dtype}",
            value=str(column.type),
            remedy=f"{str(error).rstrip('.')}. Cast it in the transform, or declare another type.",
        ) from error


def instants(column: pa.ChunkedArray, place: str) -> pa.ChunkedArray:
    """Times in UTC, in microseconds; a date is its midnight.

    Raises:
        DataError: When the column does not hold times.
    """
    import pyarrow as pa

    if dtype_of(column.type) not in ("timestamp", "date") and not pa.types.is_null(column.type):
        raise DataError(place, "must be a timestamp", value=str(column.type), remedy="Cast it in the transform.")
    return cast(column, "timestamp", place)
