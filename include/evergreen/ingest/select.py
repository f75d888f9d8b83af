"""Runs a dataset's ``select`` on the rows just read, keeping track of which row became which where that is possible."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import DataError
from evergreen.ingest.load import ROW
from evergreen.lake.spill import Spill
from evergreen.spec.base import SYSTEM_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

_TRACE = "__evergreen_row"
_PLACE = "__evergreen_place"


class _Traced(NamedTuple):
    """A SELECT that names each row's number.

    Attributes:
        is_ordered: It says ORDER BY.
        is_alone: No row's result depends on another row.
    """

    sql: str
    is_ordered: bool
    is_alone: bool


def takes_rows_alone(sql: str | None) -> bool:
    """Whether a ``select`` gives for some rows what it gives for them among others (as far as it can be traced)."""
    traced = None if sql is None else _with_trace(sql)
    return sql is None or (traced is not None and traced.is_alone)


def select(rows: pa.Table, sql: str | None, place: str) -> tuple[pa.Table, Any]:
    """Applies ``select`` to typed rows.

    A ``select`` that takes each row by itself (one SELECT from ``source`` alone, without DISTINCT, GROUP BY or
    aggregates) keeps the trace to the raw row. Of any other, result rows are new rows without a place of their own.
    Rows with a trace come in reading order unless it says ORDER BY: a window function gives them in an order of its
    own, and of two rows of one identity ``dedupe`` would keep any.

    Args:
        rows: Typed columns and ``__row``.
        sql: The dataset's ``select``; ``None`` passes the rows through.
        place: For messages.

    Returns:
        The columns without ``__row``, and the raw row's number of each (``None`` without trace).

    Raises:
        DataError: The SQL fails, its result has doubled or reserved column names, or ``source`` has columns that SQL
            cannot tell apart.
    """
    if sql is None:
        return _checked(rows.drop_columns([ROW]), place), rows[ROW].to_numpy()
    from evergreen.lake.duck import run_sql

    _refuse_alike(rows.column_names, place)
    traced = _with_trace(sql)
    if traced is not None:
        try:
            result = run_sql(traced.sql, {"source": rows}, place=place)
        except DataError:
            pass  # an aggregate, or the team's own mistake, which the plain run below tells in its own words
        else:
            result = result if traced.is_ordered else _in_reading_order(result)
            numbers = result[_TRACE].to_numpy()
            hidden = [name for name in result.column_names if name == _TRACE or name.startswith(ROW)]
            return _checked(result.drop_columns(hidden), place), numbers
    return _checked(run_sql(sql, {"source": rows.drop_columns([ROW])}, place=place), place), None


def select_streamed(rows: ds.Dataset, sql: str, place: str, folder: Path) -> Iterator[tuple[pa.Table, Any]]:
    """:func:`select` of more rows than memory holds: gives its result in parts, the first one empty.

    Args:
        rows: Typed columns and ``__row``, in files.
        sql: The dataset's ``select``.
        place: For messages.
        folder: For what does not fit into memory.

    Raises:
        DataError: As :func:`select`.
    """
    import pyarrow as pa

    from evergreen.lake.duck import stream_sql

    _refuse_alike(rows.schema.names, place)
    traced = _with_trace(sql)
    if traced is not None:
        try:
            names, found = _kept(
                stream_sql(traced.sql, {"source": rows}, place=place, folder=folder), folder / "traced"
            )
        except DataError:
            pass
        else:
            yield from _numbered(names, found, place, folder, in_order=traced.is_ordered)
            return
    plain = rows.replace_schema(pa.schema([field for field in rows.schema if field.name != ROW]))
    for part in stream_sql(sql, {"source": plain}, place=place, folder=folder):
        yield _checked(part, place), None


def _kept(parts: Iterable[pa.Table], file: Path) -> tuple[list[str], Spill]:
    """What a traced query gives, by its columns' names, whole, so that it fails before anything is made of it.

    In the file columns have numbers for names, since DuckDB would give others to such as it cannot tell apart.
    """
    import numpy as np
    import pyarrow as pa

    kept, names, at = Spill(file), list[str](), 0
    for part in parts:
        if kept.schema is None:
            names = part.column_names
        numbers = part.column(names.index(_TRACE))
        shown = [index for index, name in enumerate(names) if not _is_hidden(name)]
        columns = {f"c{index}": part.column(index) for index in shown}
        place = pa.array(np.arange(at, at + part.num_rows))
        kept.add(pa.table(columns | {_TRACE: numbers, _PLACE: place}))
        at += part.num_rows
    return [name for name in names if not _is_hidden(name)], kept


def _is_hidden(name: str) -> bool:
    return name == _TRACE or name.startswith(ROW)


def _numbered(
    names: list[str], found: Spill, place: str, folder: Path, *, in_order: bool
) -> Iterator[tuple[pa.Table, Any]]:
    """The parts of what a traced query gave, in reading order unless it says another one."""
    from evergreen.lake.duck import stream_sql

    order = "" if in_order else f"{_TRACE}, "
    sql = f"SELECT * EXCLUDE ({_PLACE}) FROM found ORDER BY {order}{_PLACE}"
    for part in stream_sql(sql, {"found": found.dataset()}, place=place, folder=folder):
        yield _checked(part.drop_columns([_TRACE]).rename_columns(names), place), part[_TRACE].to_numpy()


def _refuse_alike(names: Sequence[str], place: str) -> None:
    """SQL would read one of two columns that differ in case only, whichever was meant."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise DataError(
                place, "must read columns whose names differ in more than their case", value=[other, name],
                remedy="Declare only one of them under columns, or rename one in the file.",
            )  # fmt: skip


def _in_reading_order(rows: pa.Table) -> pa.Table:
    import numpy as np

    numbers = rows[_TRACE].to_numpy()
    if (numbers[1:] >= numbers[:-1]).all():
        return rows
    return rows.take(np.argsort(numbers, kind="stable"))


@cache
def _with_trace(sql: str) -> _Traced | None:
    """The same SELECT with the row's number as one more column; ``None`` if it is not row by row."""
    from evergreen.lake.duck import query

    tree = json.loads(query("SELECT json_serialize_sql($sql) AS tree", {}, {"sql": sql})["tree"][0].as_py())
    if tree.get("error") or len(tree["statements"]) != 1:
        return None
    node = tree["statements"][0]["node"]
    by_row = (
        node["type"] == "SELECT_NODE"
        and node["from_table"]["type"] == "BASE_TABLE"
        and node["from_table"]["table_name"].lower() == "source"
        and node["aggregate_handling"] == "STANDARD_HANDLING"
        and not node["group_expressions"]
        and not any(each["type"] == "DISTINCT_MODIFIER" for each in node["modifiers"])
        and not any(each["key"].lower() == "source" for each in node["cte_map"]["map"])
    )
    if not by_row:
        return None
    node["select_list"].append({"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": _TRACE, "column_names": [ROW]})
    back = query("SELECT json_deserialize_sql($tree) AS sql", {}, {"tree": json.dumps(tree)})
    is_ordered = any(each["type"] == "ORDER_MODIFIER" for each in node["modifiers"])
    return _Traced(str(back["sql"][0].as_py()), is_ordered, not node["modifiers"] and not _looks_around(node))


def _looks_around(node: Any) -> bool:
    """Whether a part of a statement sees rows other than its own: a window, a subquery, a sample."""
    if isinstance(node, dict):
        if node.get("class") in ("WINDOW", "SUBQUERY") or (node.get("sample") is not None):
            return True
        node = list(node.values())
    return isinstance(node, list) and any(_looks_around(each) for each in node)


def _checked(table: pa.Table, place: str) -> pa.Table:
    names = table.column_names
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise DataError(place, "must name every column once", value=doubled, remedy="Give them names with AS.")
    reserved = sorted(name for name in names if name in SYSTEM_COLUMNS or name.startswith("__"))
    if reserved:
        raise DataError(place, "must not use reserved column names", value=reserved, remedy="Rename them with AS.")
    return table
