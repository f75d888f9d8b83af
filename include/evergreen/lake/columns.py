"""The column types of the lake, and what may change between one append and the next.

Everything is brought to eight types at the door (int64, float64, string, bool, date, timestamp in UTC and nothing
nested), so that a column does not change its type with the width that a reader happened to choose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

SYSTEM = ("_row_id", "_row_hash", "_event_time", "_known_at", "_deleted", "_as_of", "_commit")


def canonical(table: pa.Table, place: str) -> pa.Table:
    """Casts columns to the lake's types.

    Integers become int64, floats and decimals with a scale float64 (decimals without one int64: DuckDB's sums),
    dictionaries their values, timestamps microseconds in UTC (naive ones are taken as UTC). A column of type null
    stays one.

    Raises:
        DataError: For a type that has no place in the lake, a number that does not fit, or doubled names.
    """
    import pyarrow as pa

    seen: dict[str, str] = {}
    for name in table.column_names:
        if (other := seen.setdefault(name.lower(), name)) != name or table.column_names.count(name) > 1:
            raise DataError(place, f"must have distinct column names, whatever their case: {other}", value=name)
    columns = {}
    for field in table.schema:
        target = _type_of(field.type, f"{place} column {field.name}")
        column = table.column(field.name)
        if column.type != target:
            try:
                column = column.cast(target, safe=not pa.types.is_timestamp(target))
            except pa.ArrowInvalid as error:
                raise DataError(f"{place} column {field.name}", f"must fit into {target}: {error}") from error
        columns[field.name] = column
    return pa.table(columns) if columns else table


def fit(rows: pa.Table, schema: pa.Schema, place: str) -> pa.Table:
    """Brings canonical rows into a table's own columns and order; new columns come last.

    Columns that the rows lack are null; a column of type null takes the table's type, or stays out until it has a type.

    Raises:
        DataError: When a column has another type than in the table, naming both.
    """
    import pyarrow as pa

    columns = {}
    known = {name.lower(): name for name in schema.names}
    for field in schema:
        if field.name not in rows.column_names:
            columns[field.name] = pa.nulls(rows.num_rows, field.type)
            continue
        column = rows.column(field.name)
        if pa.types.is_null(column.type):
            column = column.cast(field.type)
        if column.type != field.type:
            remedy = "Declare its type under `columns`, cast it in `select`, or give the column another name."
            raise DataError(
                f"{place} column {field.name}",
                f"must keep its type {field.type}",
                value=str(column.type),
                remedy=remedy,
            )
        columns[field.name] = column
    for name in rows.column_names:
        if name in columns or pa.types.is_null(rows.schema.field(name).type):
            continue
        if name.lower() in known:
            raise DataError(f"{place} column {known[name.lower()]}", "must keep its name's case", value=name)
        columns[name] = rows.column(name)
    return pa.table(columns)


def _type_of(kind: pa.DataType, place: str) -> pa.DataType:
    import pyarrow as pa

    is_ = pa.types
    if is_.is_dictionary(kind):
        return _type_of(kind.value_type, place)
    if is_.is_null(kind) or is_.is_boolean(kind):
        return kind
    if is_.is_integer(kind) or (is_.is_decimal(kind) and kind.scale == 0):
        return pa.int64()
    if is_.is_floating(kind) or is_.is_decimal(kind):
        return pa.float64()
    if is_.is_string(kind) or is_.is_large_string(kind) or kind == pa.string_view():
        return pa.string()
    if is_.is_date(kind):
        return pa.date32()
    if is_.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC")
    raise DataError(place, "must be a number, text, truth value, date or timestamp", value=str(kind))
