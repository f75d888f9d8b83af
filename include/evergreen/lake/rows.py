"""System columns of rows: who a row is, what it says, when it happened and since when that is known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from evergreen.errors import DataError
from evergreen.lake import duck
from evergreen.lake.columns import SYSTEM, canonical

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 1 << 16
"""Texts of so many rows are made at a time: all of a wide table's would be more than one Arrow array of text holds."""


def with_system_columns(
    table: pa.Table,
    *,
    identity: Sequence[str],
    event_time: str | None,
    known_at: pa.Array | pa.ChunkedArray,
    as_of: str,
    place: str = "rows",
) -> pa.Table:
    """Adds ``_row_id``, ``_row_hash``, ``_event_time``, ``_known_at``, ``_deleted`` and ``_as_of`` (not ``_commit``).

    Both digests are 32 hexadecimal digits of SHA-256 over a canonical text, the same in every process: independent of
    the order of columns, of integer and float widths, of the sign of zero and the bits of NaN; a null counts like a
    column that is not there, so that a new empty column changes no row.

    Args:
        table: User columns; cast to the lake's types (:func:`evergreen.lake.columns.canonical`).
        identity: Columns that tell rows apart: keys plus event time, of snapshots the keys alone.
        event_time: Column with the event time (timestamp or date), or None for snapshots (then known time counts).
        known_at: Timestamps, one per row.
        as_of: Key of the run.
        place: Table or file, for messages.

    Raises:
        DataError: When a named column is missing, a time is null or no time, or a name is one of ours.
    """
    import pyarrow as pa

    table = canonical(table, place)
    if taken := [name for name in table.column_names if name in SYSTEM]:
        raise DataError(place, "must not have columns with the lake's own names", value=taken)
    if missing := [name for name in [*identity, event_time or identity[0]] if name not in table.column_names]:
        raise DataError(place, f"must have the columns of its identity and time ({', '.join(identity)})", value=missing)
    known = _times(known_at, f"{place} known time")
    events = known if event_time is None else _times(table.column(event_time), f"{place} column {event_time}")
    count = table.num_rows
    return (
        table.append_column("_row_id", digest(table, identity))
        .append_column("_row_hash", digest(table, table.column_names))
        .append_column("_event_time", events)
        .append_column("_known_at", known)
        .append_column("_deleted", pa.repeat(pa.scalar(False), count))
        .append_column("_as_of", pa.repeat(pa.scalar(as_of), count))
    )


def digest(table: pa.Table, names: Sequence[str]) -> pa.ChunkedArray:
    """One digest per row over the named columns of a canonical table, in order of their names."""
    import pyarrow as pa

    slices = [table.slice(at, ROWS_AT_ONCE) for at in range(0, table.num_rows, ROWS_AT_ONCE)]
    return pa.chunked_array([_digest(each, names) for each in slices], pa.string())


def _digest(table: pa.Table, names: Sequence[str]) -> pa.Array:
    import pyarrow as pa

    given = {name: table.column(name) for name in sorted(set(names))}
    given = {name: column for name, column in given.items() if not pa.types.is_null(column.type)}
    heads, values, arrays = [], [], {}
    for number, (name, column) in enumerate(given.items()):
        alias = f"c{number}"
        arrays[alias] = _bits(column)
        # Names first, then values; each name and each text says its own length, so no value can be taken for two.
        head = _quoted(f"{len(name)}:{name},")
        heads.append(f"case when {alias} is null then '' else {head} end" if column.null_count else head)
        values.append(f"strlen({alias}) || ':' || {alias}" if pa.types.is_string(column.type) else f"{alias}::varchar")
    if not arrays:
        return _sha256(pa.repeat(pa.scalar(""), table.num_rows))
    sql = f"select concat({', '.join(heads)}, concat_ws(';', {', '.join(values)})) as line from given"
    return _sha256(duck.query(sql, {"given": pa.table(arrays)}, {}).column("line").combine_chunks())


def _sha256(lines: pa.Array | pa.ChunkedArray) -> pa.Array:
    """32 hexadecimal digits for each text; hashlib on the bare buffer is several times as fast as DuckDB's sha256."""
    import numpy as np
    import pyarrow as pa

    lines = pa.concat_arrays(lines.chunks) if isinstance(lines, pa.ChunkedArray) else lines
    lines = lines.cast(pa.large_string())
    _, offsets, data = lines.buffers()
    if not len(lines) or data is None:
        empty = hashlib.sha256(b"").hexdigest()[:32]
        return pa.repeat(pa.scalar(empty), len(lines))
    ends = np.frombuffer(offsets, dtype=np.int64)[lines.offset : lines.offset + len(lines) + 1].tolist()
    text, fresh, parts = memoryview(data), hashlib.sha256().copy, []  # a copy takes half as long as a new one
    for start, end in pairwise(ends):
        state = fresh()
        state.update(text[start:end])
        parts.append(state.digest())
    digests = np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(-1, 32)[:, :16].tobytes()
    places = np.arange(0, 32 * (len(lines) + 1), 32, dtype=np.int32)
    return pa.StringArray.from_buffers(len(lines), pa.py_buffer(places), pa.py_buffer(digests.hex().encode()))


def _bits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(column.type):
        plain = pc.add(column, 0.0)  # -0.0 + 0.0 is 0.0
        plain = pc.if_else(pc.is_nan(plain), pa.scalar(float("nan")), plain)
        return pa.chunked_array([chunk.view(pa.int64()) for chunk in plain.chunks], pa.int64())
    if pa.types.is_timestamp(column.type):
        return pa.chunked_array([chunk.view(pa.int64()) for chunk in column.chunks], pa.int64())
    return column


def _times(column: pa.Array | pa.ChunkedArray, place: str) -> pa.ChunkedArray:
    import pyarrow as pa

    if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        raise DataError(place, "must be a timestamp or a date", value=str(column.type))
    if column.null_count:
        raise DataError(place, "must not be null", value=f"{column.null_count} nulls")
    cast = column.cast(pa.timestamp("us", tz="UTC"), safe=False)
    return cast if isinstance(cast, pa.ChunkedArray) else pa.chunked_array([cast])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
