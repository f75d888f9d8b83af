"""Brings any Arrow table to the few types that published tables have, so that files of one dataset agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evergreen.ingest.zone import to_utc

if TYPE_CHECKING:
    import pyarrow as pa


def normalise(table: pa.Table, timezone: str) -> tuple[pa.Table, list[tuple[int, str]]]:
    """Widens numbers to 64 bits, decodes dictionaries, makes wall-clock times instants in UTC.

    Args:
        table: Any table.
        timezone: Of timestamps without a zone.

    Returns:
        The table, and for each wall-clock time that does not exist the row's index and the reason.
    """
    import numpy as np
    import pyarrow as pa

    columns: dict[str, Any] = {}
    nowhere: list[tuple[int, str]] = []
    for field in table.schema:
        value = table[field.name]
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_timestamp(kind) and kind.tz is None:
            local = _one(value.cast(pa.timestamp("us"), safe=False))
            instants, flagged = to_utc(local, timezone)
            for index in np.flatnonzero(flagged).tolist():
                reason = f"{field.name} {local[index].cast(pa.string()).as_py()} does not exist in {timezone}"
                nowhere.append((index, reason))
            columns[field.name] = instants
        else:
            columns[field.name] = _widen(value, kind)
    return pa.table(columns), nowhere


def _widen(value: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa

    is_ = pa.types
    if is_.is_integer(kind) or (is_.is_decimal(kind) and kind.scale == 0):  # a SUM of integers is a decimal
        try:
            return value.cast(pa.int64())
        except pa.ArrowInvalid:
            return value.cast(pa.float64(), safe=False)
    if is_.is_floating(kind) or is_.is_decimal(kind):
        return value.cast(pa.float64(), safe=False)
    if is_.is_timestamp(kind):
        return value.cast(pa.timestamp("us", tz="UTC"), safe=False)
    if is_.is_date(kind):
        return value.cast(pa.date32(), safe=False)
    if is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind) or is_.is_null(kind):
        return value.cast(pa.string())
    return value.cast(kind)


def _one(value: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    return pa.concat_arrays(value.chunks) if value.num_chunks else pa.array([], type=value.type)
