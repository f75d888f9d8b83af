"""Casts raw values to known types; what cannot be cast is told row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evergreen.errors import shorten
from evergreen.ingest import times
from evergreen.ingest.exact import FLOAT_HOLDS
from evergreen.ingest.normalise import one_array, read_instants, to_micros
from evergreen.ingest.quarantine import as_text
from evergreen.ingest.zone import Instants, to_utc
from evergreen.spec.base import DType
from evergreen.spec.truth import read_bool

if TYPE_CHECKING:
    import pyarrow as pa

_INT = r"\s*[+-]?[0-9]+(\.0*)?\s*"
_TIME = "date and time, such as 2013-02-01T17:30:00Z, to the microsecond"


@dataclass(frozen=True)
class Misfit:
    """A value that cannot be cast: index of its row, its column, and why; ``nowhere`` of a time that does not exist."""

    index: int
    column: str
    reason: str
    nowhere: bool = False


@dataclass
class Cast:
    """Columns in their new types.

    Attributes:
        columns: By name; a value that cannot be cast is null.
        misfits: The values that cannot be cast.
        later: Of each column of wall-clock times some of which occur twice: see ``zone.Instants.later``.
    """

    columns: dict[str, Any] = field(default_factory=dict)
    misfits: list[Misfit] = field(default_factory=list)
    later: dict[str, Any] = field(default_factory=dict)


Nulls = Mapping[str, Sequence[str]]
"""By column the texts that mean "no value"; columns that are not named have nulls of their own."""


def cast(raw: pa.Table, types: Mapping[str, DType], timezone: str, nulls: Nulls | None = None) -> Cast:
    """Casts columns of a table.

    Every ``timestamp`` becomes an instant in UTC: text with an offset by that offset, all else by ``timezone``.

    Args:
        raw: Has the columns.
        types: Of the columns to cast.
        timezone: Of wall-clock times.
        nulls: Texts that mean no value.
    """
    done = Cast()
    in_sql = {name: kind for name, kind in types.items() if kind != "timestamp" or not _is_time(raw[name])}
    found = _query(raw, in_sql, nulls or {})
    for name, kind in types.items():
        if name not in found:
            instants = read_instants(raw[name], timezone)
            _enter(done, name, kind, raw[name], raw[name].is_valid(), instants.utc)
            _tell_changes(done, name, raw[name], instants, timezone)
            continue
        given, parts = found[name]
        if kind == "timestamp":
            _enter_times(done, name, raw[name], given, times.with_offsets(parts[""], parts["offset"]), timezone)
        elif kind == "bool":
            _enter(done, name, kind, raw[name], given, _truths(parts[""]))
        else:
            _enter(done, name, kind, raw[name], given, parts[""], nan=parts.get("nan"))
    return done


def _query(raw: pa.Table, types: Mapping[str, DType], nulls: Nulls) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Of each column whether it has a value at all, and what the expressions of its cast give, by their suffix."""
    import pyarrow as pa

    from evergreen.lake.duck import query

    if not types:
        return {}
    wanted, columns = [], {}
    for index, (name, kind) in enumerate(types.items()):
        alias = f"c{index}"
        columns[alias] = to_micros(raw[name]) if _is_time(raw[name]) else raw[name]
        floating = pa.types.is_floating(raw[name].type)
        value = f"CASE WHEN NOT isnan({alias}) THEN {alias} END" if floating else value_sql(alias, nulls.get(name))
        text = _as_text(raw[name].type, value, kind)
        wanted.append(f"{value} IS NOT NULL AS {alias}given")
        wanted += [f"{expression} AS {alias}{part}" for part, expression in _expressions(text, kind).items()]
    done = query(f"SELECT {', '.join(wanted)} FROM raw", {"raw": pa.table(columns)}, {})
    found = {}
    for index, (name, kind) in enumerate(types.items()):
        given = raw[name].is_valid() if _is_time(raw[name]) else done[f"c{index}given"]
        found[name] = given, {part: done[f"c{index}{part}"] for part in _expressions("", kind)}
    return found


def value_sql(column: str, nulls: Sequence[str] | None) -> str:
    """SQL of a text that is null where it means no value."""
    if not nulls:
        return column
    # Not by IN: of a longer list DuckDB makes a join, after which rows come in any order.
    tests = (f"{column} <> '{text.replace(chr(39), chr(39) * 2)}'" for text in nulls)
    return f"CASE WHEN {' AND '.join(tests)} THEN {column} END"


def _expressions(value: str, kind: DType) -> dict[str, str]:
    """The SQL of a cast from text: expressions by the suffix of their column."""
    match kind:
        case "int":
            return {"": f"CASE WHEN regexp_full_match({value}, '{_INT}') THEN TRY_CAST({value} AS BIGINT) END"}
        case "float":
            number = f"TRY_CAST({value} AS DOUBLE)"
            finite = f"CASE WHEN isfinite({number}) AND NOT contains({value}, '_') THEN {number} END"
            return {"": finite, "nan": f"coalesce(isnan({number}), false)"}
        case "date":
            return {"": times.date_sql(value, midnight=True)}
        case "timestamp":
            return {"": times.local_sql(value), "offset": times.offset_sql(value)}
        case _:
            return {"": value}


def _as_text(arrow_type: pa.DataType, value: str, kind: DType) -> str:
    """A value as the text that the casts read; a whole float without point and exponent, as far as it is certain."""
    import pyarrow as pa

    if pa.types.is_string(arrow_type) or pa.types.is_large_string(arrow_type):
        return value
    text = f"CAST({value} AS VARCHAR)"
    if kind in ("int", "string") and pa.types.is_floating(arrow_type):
        whole = f"CAST(TRY_CAST({value} AS BIGINT) AS VARCHAR)"
        sure = f"{value} = trunc({value}) AND abs({value}) < {FLOAT_HOLDS}"
        return f"CASE WHEN {sure} THEN {whole} ELSE {text if kind == 'string' else 'NULL'} END"
    return text


def _enter_times(done: Cast, name: str, raw: Any, given: Any, read: times.Times, timezone: str) -> None:
    import pyarrow.compute as pc

    local = to_utc(read.local, timezone)
    _enter(done, name, "timestamp", raw, given, pc.coalesce(read.instants, local.utc))
    _tell_changes(done, name, raw, local, timezone)


def _enter(done: Cast, name: str, kind: DType, raw: Any, given: Any, value: Any, nan: Any = None) -> None:
    """Enters a column, and a misfit for each value that is given and was not read."""
    import numpy as np
    import pyarrow.compute as pc

    done.columns[name] = value
    unread = pc.and_(given, value.is_null())
    if nan is not None:  # a missing value, not a wrong one
        unread = pc.and_not(unread, nan)
    for row in np.flatnonzero(np.asarray(unread, dtype=bool)).tolist():
        shown = _shown(raw, row)
        reason = f"{name} must be {_TIME if kind == 'timestamp' else kind}, got {shown}"
        if kind == "int" and "." in shown and shown.endswith("0"):
            reason += " (a float from 2^53 on may stand for several whole numbers)"
        done.misfits.append(Misfit(row, name, reason))


def _tell_changes(done: Cast, name: str, raw: Any, read: Instants, timezone: str) -> None:
    """Enters a misfit for each time that the clocks skip, and notes those that they show twice."""
    import numpy as np

    skipped = read.nowhere & read.utc.is_valid().to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(skipped).tolist():
        reason = f"{name} {_shown(raw, row)} does not exist in {timezone}: the clocks go forward"
        done.misfits.append(Misfit(row, name, reason, nowhere=True))
    if read.later.any():
        done.later[name] = read.later


def _shown(raw: Any, row: int) -> str:
    return shorten(repr(as_text(raw.slice(row, 1))[0].as_py()), 80)


def _truths(texts: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    words = pc.unique(texts)
    meant = pa.array([read_bool(word) for word in words.to_pylist()], pa.bool_())
    return meant.take(pc.index_in(one_array(texts), value_set=words))


def _is_time(column: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_timestamp(column.type))
