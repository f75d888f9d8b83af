"""Brings Arrow columns to the few types that published tables have, without losing a digit on the way.

Whole numbers are int64, all others float64; a column with a number that neither holds is text. Times are instants in
UTC, to the microsecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen.ingest.exact import SURE_DIGITS, are_exact
from evergreen.ingest.quarantine import as_text
from evergreen.ingest.zone import Instants, is_outside, to_utc

if TYPE_CHECKING:
    import pyarrow as pa

_PER_MICROSECOND = {"s": 1_000_000, "ms": 1_000}


@dataclass(frozen=True)
class Plain:
    """A column in one of the few types.

    Attributes:
        values: Null where a time could not be held.
        faults: Index, rule and reason of the times that do not exist, or that no table holds.
        later: Of wall-clock times some of which occur twice: see ``zone.Instants.later``; else ``None``.
    """

    values: Any
    faults: tuple[tuple[int, str, str], ...] = ()
    later: Any = None


def plain(column: pa.ChunkedArray, name: str, timezone: str, *, as_digits: bool = False) -> Plain:
    """A column in one of the few types; of another type (a list, a duration) it stays as it is.

    Args:
        column: Of any type.
        name: For reasons.
        timezone: Of timestamps without a zone.
        as_digits: Whether whole numbers and decimals are to be texts, since others of the column need it.
    """
    import pyarrow as pa

    is_ = pa.types
    if is_.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if is_.is_timestamp(kind):
        return _plain_times(column, name, timezone)
    if as_digits and (is_whole(kind) or is_.is_decimal(kind)):
        return Plain(digits(column))
    if is_whole(kind):
        try:
            return Plain(column.cast(pa.int64()))
        except pa.ArrowInvalid:
            return Plain(digits(column))
    if is_.is_decimal(kind):
        return Plain(_plain_decimals(column))
    if is_.is_floating(kind):
        return Plain(column.cast(pa.float64()))
    if is_.is_date(kind):
        return Plain(column.cast(pa.date32(), safe=False))
    if is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind):
        return Plain(column.cast(pa.string()))
    return Plain(column)


def read_instants(column: pa.ChunkedArray, timezone: str) -> Instants:
    """Timestamps of any unit as instants; null where they are finer than a microsecond or beyond years 1 to 9999."""
    import numpy as np
    import pyarrow as pa

    micros = to_micros(column)
    if column.type.tz is None:
        return to_utc(micros, timezone)
    nothing = np.zeros(len(micros), dtype="int64")
    return Instants(micros.cast(pa.timestamp("us", tz="UTC")), nothing.astype(bool), nothing)


def to_micros(column: pa.ChunkedArray) -> pa.Array:
    """Timestamps in microseconds, of the same zone; null where that is not what they say, or no calendar has them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    unit = column.type.unit
    ticks = pc.fill_null(one_array(column).cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    lost = one_array(column).is_null().to_numpy(zero_copy_only=False)
    if unit == "ns":
        lost = lost | (ticks % 1000 != 0)
        ticks = ticks // 1000
    elif unit != "us":
        factor = _PER_MICROSECOND[unit]
        lost = lost | is_outside(ticks, per_second=1_000_000 // factor)
        ticks = ticks * (~lost) * factor
    lost = lost | is_outside(ticks)
    return pa.array(ticks, mask=lost, type=pa.int64()).cast(pa.timestamp("us", tz=column.type.tz))


def one_array(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The chunks of a column as one array."""
    import pyarrow as pa

    if isinstance(values, pa.Array):
        return values
    return pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], type=values.type)


def is_whole(kind: pa.DataType) -> bool:
    """Whether a type has whole numbers only; DuckDB's sums of integers are decimals."""
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0))


def is_empty(values: pa.ChunkedArray | pa.Array) -> bool:
    """Whether a column holds no value at all: nulls, or floats that are no number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    nan = pa.types.is_floating(values.type)
    return bool(pc.all(values.is_null(nan_is_null=nan)).as_py() in (True, None))


def _plain_times(column: pa.ChunkedArray, name: str, timezone: str) -> Plain:
    import numpy as np

    read = read_instants(column, timezone)
    unread = read.utc.is_null().to_numpy(zero_copy_only=False) & column.is_valid().to_numpy()
    faults = []
    for index in np.flatnonzero(unread | read.nowhere).tolist():
        said = f"{name} {as_text(column.slice(index, 1))[0].as_py()}"
        if unread[index]:
            reason = f"{said} must be a time to the microsecond, within years 1 to 9999"
            faults.append((index, f"time.{name}", reason))
        else:
            faults.append((index, "time.nonexistent", f"{said} does not exist in {timezone}: the clocks go forward"))
    return Plain(read.utc, tuple(faults), read.later if read.later.any() else None)


def _plain_decimals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As floats if they hold every digit, else as text; by the shortest way that rounds right, which is the text."""
    import pyarrow as pa

    from evergreen.lake.duck import query

    texts = digits(column)
    if column.type.precision > SURE_DIGITS and not are_exact(texts):
        return texts
    return query("SELECT CAST(t AS DOUBLE) AS x FROM texts", {"texts": pa.table({"t": texts})}, {})["x"]


def narrow_decimals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decimals of more than 38 digits as such of 38, or as text if one of them needs more."""
    import pyarrow as pa

    try:
        return column.cast(pa.decimal128(38, column.type.scale))
    except (pa.ArrowInvalid, ValueError):
        texts = [None if each is None else f"{each:f}" for each in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])


def digits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers and decimals as text without an exponent."""
    import pyarrow as pa

    from evergreen.lake.duck import query

    if pa.types.is_decimal(column.type):
        return query("SELECT CAST(x AS VARCHAR) AS t FROM n", {"n": pa.table({"x": column})}, {})["t"]
    return column.cast(pa.string())
