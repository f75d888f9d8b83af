"""Runs a dataset's ``select`` on the rows just read, keeping track of which row became which where that is possible."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import DataError
from evergreen.ingest.load import ROW
from evergreen.spec.base import SYSTEM_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

_TRACE = "__evergreen_row"


class _Traced(NamedTuple):
    """A SELECT that names each row's number; ``is_ordered`` where it says ORDER BY."""

    sql: str
    is_ordered: bool


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
    return _Traced(str(back["sql"][0].as_py()), is_ordered)


def _checked(table: pa.Table, place: str) -> pa.Table:
    names = table.column_names
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise DataError(place, "must name every column once", value=doubled, remedy="Give them names with AS.")
    reserved = sorted(name for name in names if name in SYSTEM_COLUMNS or name.startswith("__"))
    if reserved:
        raise DataError(place, "must not use reserved column names", value=reserved, remedy="Rename them with AS.")
    return table
