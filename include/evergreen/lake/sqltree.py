"""SQL as DuckDB reads it: the tree of a statement, and which functions of its catalog are stable."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import duckdb

Node = dict[str, Any]
"""An object of a statement's tree, with DuckDB's own keys."""

_CONSTANTS = frozenset({"pi", "list_value", "list_pack", "map"})
"""Take no argument and yet read nothing."""
_RAISES = "error"
"""Is called unstable so that it is not computed ahead."""
_CALLED_STABLE = frozenset({"reservoir_quantile"})
"""Are called stable by DuckDB and are not, besides those that take no argument."""
WORDS = {
    "current_catalog": "current_catalog",
    "current_date": "current_date",
    "current_schema": "current_schema",
    "current_time": "get_current_time",
    "current_timestamp": "get_current_timestamp",
    "localtime": "current_localtime",
    "localtimestamp": "current_localtimestamp",
}
"""Words without brackets that call a function, unless a column has that name."""
_NOWHERE = 2**64 - 1


class Catalog(NamedTuple):
    """What DuckDB's catalog says of the functions and views that it brings."""

    unstable: frozenset[str]
    macros: dict[str, tuple[str, ...]]
    table_functions: frozenset[str]
    views: frozenset[str]


def nodes_of(connection: duckdb.DuckDBPyConnection, sql: str) -> list[Node]:
    """Every object of a statement's tree, the outermost first; built from a flat list, however deep it is nested."""
    query = "select id, parent, key, type, atom from json_tree((select json_serialize_sql($sql)))"
    built: dict[int, Any] = {}
    objects: list[Node] = []
    for number, parent, key, kind, atom in connection.execute(query, {"sql": sql}).fetchall():
        value: Any = {} if kind == "OBJECT" else [] if kind == "ARRAY" else None if atom is None else json.loads(atom)
        built[number] = value
        if kind == "OBJECT":
            objects.append(value)
        if isinstance(above := built.get(parent), dict):
            above[key] = value
        elif isinstance(above, list):
            above.append(value)
    return objects


@cache
def catalog() -> Catalog:
    """What DuckDB brings; read once per process."""
    import duckdb

    with duckdb.connect(":memory:") as connection:
        rows = connection.execute(
            "select lower(function_name), function_type, stability, len(parameters), varargs, macro_definition "
            "from duckdb_functions() where internal"
        ).fetchall()
        views = connection.execute("select lower(view_name) from duckdb_views() where internal").fetchall()
    scalars = [row for row in rows if row[1] == "scalar"]
    takes_something = {name for name, _, _, count, varargs, _ in scalars if count or varargs}
    unstable = {name for name, _, stability, *_ in scalars if stability != "CONSISTENT"} - {_RAISES}
    reads_something = {name for name, *_ in scalars} - takes_something - _CONSTANTS
    macros: dict[str, tuple[str, ...]] = {}
    for name, kind, _, _, _, definition in rows:
        if kind == "macro":
            macros[name] = (*macros.get(name, ()), definition)
    tables = {name for name, kind, *_ in rows if kind in ("table", "table_macro", "pragma")}
    return Catalog(
        frozenset(unstable | reads_something | _CALLED_STABLE),
        macros,
        frozenset(tables),
        frozenset(n for (n,) in views),
    )


@cache
def is_unstable(name: str) -> bool:
    """Whether a function, or what a macro of that name calls, may give another value for the same arguments."""
    known = catalog()
    if name in known.unstable:
        return True
    if name not in known.macros:
        return False
    import duckdb

    with duckdb.connect(":memory:") as connection:
        bodies = [node for body in known.macros[name] for node in nodes_of(connection, f"select {body}")]
    called = {str(node["function_name"]).lower() for node in bodies if "function_name" in node} - {name}
    words = {str(node["column_names"][0]).lower() for node in bodies if node.get("type") == "COLUMN_REF"}
    return any(is_unstable(each) for each in called) or bool(words & WORDS.keys())


def sources_of(sql: str, column: str) -> set[str]:
    """Names of the columns that an item of a statement's lists is made of, wherever one is called like that."""
    import duckdb

    with duckdb.connect(":memory:") as connection:
        nodes = nodes_of(connection, sql)
    lists = [node["select_list"] for node in nodes if isinstance(node.get("select_list"), list)]
    items = [item for each in lists for item in each if str(item.get("alias", "")).lower() == column.lower()]
    return {name for item in items for name in _columns(item)}


def _columns(node: Any) -> set[str]:
    inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    found = {name for each in inside for name in _columns(each)}
    if isinstance(node, dict) and node.get("type") == "COLUMN_REF":
        found.add(str(node["column_names"][-1]))
    return found


def offset_of(node: Node) -> int:
    """Where a node stands in the text, in bytes; -1 where DuckDB does not say."""
    offset = node.get("query_location", _NOWHERE)
    return -1 if offset is None or offset >= _NOWHERE else int(offset)


def line_of(sql: str, offset: Any) -> int:
    """The line of a place that DuckDB counts in bytes."""
    return 1 + sql.encode()[: max(0, int(offset or 0))].count(b"\n")
