"""Casts raw values to declared types; what cannot be cast is told row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evergreen.errors import shorten
from evergreen.ingest.load import ROW
from evergreen.ingest.zone import to_utc

if TYPE_CHECKING:
    import pyarrow as pa

_WIDER = {"int": "float", "float": "string", "bool": "string", "date": "timestamp", "timestamp": "string"}
_INT = r"\s*[+-]?[0-9]+(\.0*)?\s*"
_DATE = r"\s*\d{4}-\d{1,2}-\d{1,2}([T ]00:00(:00(\.0*)?)?)?\s*"
_OFFSET = r"\d{2}:\d{2}.*(Z|z|UTC|[+-]\d{2}(:?\d{2})?)\s*$"
_BOOL = r"\s*(?i:true|false)\s*"


@dataclass(frozen=True)
class Misfit:
    """A value that cannot be cast: index of its row in the table, its column, and why."""

    index: int
    column: str
    reason: str


def cast(raw: pa.Table, types: Mapping[str, str] | None, timezone: str) -> tuple[pa.Table, list[Misfit]]:
    """Casts a raw table.

    Every ``timestamp`` becomes an instant in UTC: text with an offset by that offset, all else by ``timezone``.

    Args:
        raw: Columns and ``__row``.
        types: DType per column; ``None`` infers them: strings become the narrowest type that holds every value.
        timezone: Of wall-clock times.

    Returns:
        The same rows in the same order, a value that cannot be cast as null; and the misfits.
    """
    if types is not None:
        return _cast(raw, types, timezone)
    chosen = _infer(raw)
    while True:
        table, misfits = _cast(raw, chosen, timezone)
        unfit = {each.column for each in misfits if "does not exist" not in each.reason}
        if not unfit:
            return table, misfits
        for column in unfit:
            chosen[column] = _WIDER[chosen[column]]


def _infer(raw: pa.Table, sample_rows: int = 2000) -> dict[str, str]:
    """First guess from a sample; columns that are no strings keep their type (and are left out)."""
    import pyarrow as pa

    from evergreen.lake.duck import query

    names = [
        field.name for field in raw.schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    if not names:
        return {}
    sample = raw.slice(0, sample_rows)
    tests = []
    for name in names:
        value = _quote(name)
        passes = {
            "int": f"regexp_full_match({value}, '{_INT}')",
            "float": f"TRY_CAST({value} AS DOUBLE) IS NOT NULL",
            "bool": f"regexp_full_match({value}, '{_BOOL}')",
            "date": f"regexp_full_match({value}, '{_DATE}') AND TRY_CAST({value} AS DATE) IS NOT NULL",
            "timestamp": f"TRY_CAST({value} AS TIMESTAMP) IS NOT NULL",
        }
        cases = " ".join(
            f"WHEN bool_and({test}) FILTER ({value} IS NOT NULL) THEN '{kind}'" for kind, test in passes.items()
        )
        tests.append(f"CASE WHEN count({value}) = 0 THEN 'string' {cases} ELSE 'string' END")
    columns = ", ".join(f"{test} AS c{index}" for index, test in enumerate(tests))
    guess = query(f"SELECT {columns} FROM raw", {"raw": sample}, {}).to_pylist()[0]
    chosen: dict[str, str] = {name: guess[f"c{index}"] for index, name in enumerate(names)}
    late = [name for name in names if sample[name].null_count == sample.num_rows < raw.num_rows]
    return chosen | (_infer(raw.select(late), raw.num_rows) if late else {})


def _cast(raw: pa.Table, types: Mapping[str, str], timezone: str) -> tuple[pa.Table, list[Misfit]]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from evergreen.lake.duck import query

    names = [name for name in raw.column_names if name != ROW]
    wanted = []
    for index, name in enumerate(names):
        if name in types:
            text = _as_text(raw.schema.field(name).type, _quote(name), types[name])
            wanted += [f"{expression} AS c{index}{part}" for part, expression in _expressions(text, types[name])]
    done = query(f"SELECT {', '.join(wanted)} FROM raw", {"raw": raw}, {}) if wanted else None
    columns: dict[str, pa.ChunkedArray | pa.Array] = {}
    misfits: list[Misfit] = []
    for index, name in enumerate(names):
        if name not in types or done is None:
            columns[name] = raw[name]
            continue
        value = done[f"c{index}"]
        nowhere = np.zeros(raw.num_rows, dtype=bool)
        if types[name] == "timestamp":
            local, nowhere = to_utc(_one_array(value, pa.timestamp("us")), timezone)
            instant = _one_array(done[f"c{index}i"], pa.timestamp("us", tz="UTC"))
            value = pc.coalesce(instant, local)
        columns[name] = value
        uncast = pc.and_(pc.is_valid(raw[name]), pc.is_null(value))
        if types[name] == "float":  # a NaN is a missing value, not a wrong one
            uncast = pc.and_not(uncast, done[f"c{index}n"])
        wrong = np.asarray(uncast.to_numpy(), dtype=bool) | nowhere
        for row in np.flatnonzero(wrong).tolist():
            got = shorten(repr(raw[name][row].as_py()), 80)
            known = "date and time" if types[name] == "timestamp" else types[name]
            reason = (
                f"{name} {got} does not exist in {timezone}: the clocks go forward"
                if nowhere[row] and not uncast[row].as_py()
                else f"{name} must be {known}, got {got}"
            )
            misfits.append(Misfit(row, name, reason))
    columns[ROW] = raw[ROW]
    return pa.table(columns), misfits


def _expressions(value: str, kind: str) -> list[tuple[str, str]]:
    """The SQL of a cast from text: suffix of the result's column, expression."""
    match kind:
        case "int":
            return [("", f"CASE WHEN regexp_full_match({value}, '{_INT}') THEN TRY_CAST({value} AS BIGINT) END")]
        case "float":
            number = f"TRY_CAST({value} AS DOUBLE)"
            return [
                ("", f"CASE WHEN isfinite({number}) AND NOT contains({value}, '_') THEN {number} END"),
                ("n", f"coalesce(isnan({number}), false)"),
            ]
        case "bool":
            return [("", f"TRY_CAST({value} AS BOOLEAN)")]
        case "date":
            return [("", f"CASE WHEN regexp_full_match({value}, '{_DATE}') THEN TRY_CAST({value} AS DATE) END")]
        case "timestamp":
            local, instant = (f"TRY_CAST({value} AS TIMESTAMP)", f"TRY_CAST({value} AS TIMESTAMPTZ)")
            has_offset = f"regexp_matches({value}, '{_OFFSET}')"
            return [
                ("", f"CASE WHEN isfinite({local}) AND NOT {has_offset} THEN {local} END"),
                ("i", f"CASE WHEN isfinite({instant}) AND {has_offset} THEN {instant} END"),
            ]
        case _:
            return [("", value)]


def _as_text(arrow_type: pa.DataType, value: str, kind: str) -> str:
    """A value of a Parquet column as the text that the casts read; whole floats lose their exponent."""
    import pyarrow as pa

    if pa.types.is_string(arrow_type) or pa.types.is_large_string(arrow_type):
        return value
    if kind == "int" and pa.types.is_floating(arrow_type):
        whole = f"CAST(TRY_CAST({value} AS BIGINT) AS VARCHAR)"
        return f"CASE WHEN {value} = trunc({value}) THEN {whole} ELSE CAST({value} AS VARCHAR) END"
    return f"CAST({value} AS VARCHAR)"


def _one_array(value: pa.ChunkedArray, to: pa.DataType) -> pa.Array:
    import pyarrow as pa

    chunks = value.cast(to).chunks
    return pa.concat_arrays(chunks) if chunks else pa.array([], type=to)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
