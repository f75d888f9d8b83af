"""What a team's SQL may not use, since the same rows would not give the same result again.

DuckDB itself says which of its functions are stable, and shows a statement as a tree; nothing is guessed from the text.
Three kinds are refused: what reads a clock, a dice, the session or the catalog; SQL within texts, which nobody can look
into; and what picks by position (LIMIT, ``first``, ``row_number``) where no order is given. What gathers (``list``,
``any_value``, sums of floats) is left: rows come in an order of their own, and :func:`evergreen.lake.duck.run_sql` runs
on one thread, so that it gives the same bits each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import DataError
from evergreen.lake.sqltree import WORDS, Node, catalog, is_unstable, line_of, nodes_of, offset_of

if TYPE_CHECKING:
    import duckdb

_TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"})
_PICKS = frozenset({"first", "last"})
_PICKS_IN_WINDOW = frozenset({"row_number", "ntile", "lag", "lead", "first_value", "last_value", "nth_value", "fill"})

_STABLE = "must be a function of its rows"
_ORDERED = "must say by ORDER BY which rows come first"
_ITS_TABLES = "must read its own tables only"
_SELECT = "must be one SELECT statement"
_READABLE = "must be SQL that DuckDB can run; it says: "


class Fault(NamedTuple):
    """Something that a statement may not use.

    Attributes:
        line: Where it stands in the statement, from 1.
        what: As a person would write it.
        rule: What must hold.
        remedy: What to write instead.
    """

    line: int
    what: str | None
    rule: str
    remedy: str = ""


def require(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    *,
    place: str,
    tables: Iterable[str] = (),
    params: Mapping[str, Any] | None = None,
    times: str = "",
) -> None:
    """Refuses a statement with the first of its faults; see :func:`faults_of`.

    Args:
        connection: Sees the tables, if they are at hand.
        sql: One SELECT.
        place: The file it stands in, for messages.
        tables: Names of its tables.
        params: Values of the named parameters that it uses.
        times: What to use in place of the clock, for messages; by default the parameters.

    Raises:
        DataError: When the statement has a fault.
    """
    for fault in faults_of(connection, sql, tables=tables, params=params or {}, times=times):
        what = None if fault.what is None else f"{fault.what} on line {fault.line}"
        raise DataError(place, fault.rule, value=what, remedy=fault.remedy)


def faults_of(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    *,
    tables: Iterable[str],
    params: Mapping[str, Any],
    times: str = "",
    unknown_is_column: bool = True,
) -> list[Fault]:
    """All that a statement uses and may not, in the order of its lines.

    Args:
        connection: Sees the tables, if they are at hand.
        sql: One SELECT.
        tables: Names of its tables.
        params: Values of the named parameters that it uses.
        times: What to use in place of the clock, for messages.
        unknown_is_column: Whether a word such as ``current_date`` counts as a column where the tables are not at hand,
            so that nobody can tell.
    """
    nodes = nodes_of(connection, sql)
    if nodes[0].get("error"):
        message = str(nodes[0].get("error_message"))
        return [Fault(line_of(sql, nodes[0].get("position")), None, _READABLE + message)]
    names = [*tables]
    own = {name.lower() for name in names} | {str(node["key"]).lower() for node in nodes if "key" in node}
    asked_only = {id(each["subquery"]["node"]) for each in nodes if "EXISTS" in str(each.get("subquery_type"))}
    found: list[tuple[int, str, str]] = []
    for node in nodes:
        found += _faults(node, own)
        if isinstance(node.get("modifiers"), list) and id(node) not in asked_only:
            found += _modifiers(node["modifiers"])
    found += _words(connection, sql, nodes, params, unknown_is_column)
    remedies = {
        _STABLE: f"A run again must give the same: for the time there are {times or _times(params)}, for chance "
        "hash() of a key.",
        _ORDERED: "Add ORDER BY there, or take arg_min or arg_max.",
        _ITS_TABLES: "SQL here reads neither files nor the network nor DuckDB's catalog, only its tables: "
        f"{', '.join(sorted(names))}.",
    }
    ordered = sorted(set(found), key=lambda each: each[0])
    return [Fault(line_of(sql, offset), what, rule, remedies.get(rule, "")) for offset, what, rule in ordered]


def _times(params: Mapping[str, Any]) -> str:
    return (
        ", ".join(f"${name}" for name in sorted(params))
        or "the rows' own columns (a feature view has $start, $end and $as_of)"
    )


def _faults(node: Node, own: set[str]) -> Iterator[tuple[int, str, str]]:
    """What is wrong with one node itself: offset in the text, what it is, the rule."""
    kind, offset = node.get("type"), offset_of(node)
    if isinstance(node.get("sample"), dict):
        yield offset_of(node.get("from_table") or node), "a sample", _STABLE
    if kind == "FUNCTION":
        name = str(node["function_name"]).lower()
        if is_unstable(name) or (name == "age" and _counts_from_today(node)):
            yield offset, f"{name}()", _STABLE
        elif name in _PICKS and not node["order_bys"]["orders"]:
            yield offset, f"{name}()", _ORDERED
    elif node.get("class") == "WINDOW":
        name = str(node["function_name"]).lower()
        by_position = name in _PICKS | _PICKS_IN_WINDOW or _counts_rows(node)
        if is_unstable(name):
            yield offset, f"{name}()", _STABLE
        elif by_position and not node.get("orders") and not node.get("arg_orders"):
            yield offset, f"{name}() over rows without an order", _ORDERED
    elif kind == "TABLE_FUNCTION":
        name = str(node["function"]["function_name"]).lower()
        if name in catalog().table_functions - _TABLE_FUNCTIONS:
            yield offset, f"{name}()", _ITS_TABLES
    elif kind == "BASE_TABLE":
        name = str(node["table_name"]).lower()
        if name in catalog().views and (node.get("schema_name") or name not in own):
            yield offset, ".".join(filter(None, (node.get("schema_name"), node["table_name"]))), _ITS_TABLES
    elif kind == "JOIN" and node.get("ref_type") == "POSITIONAL":
        yield offset, "POSITIONAL JOIN", _ORDERED
    elif kind == "SHOW_REF":
        yield max(offset, 0), str(node.get("show_type")).partition("_")[0], _SELECT


def _modifiers(modifiers: Sequence[Node]) -> Iterator[tuple[int, str, str]]:
    if any(each["type"] == "ORDER_MODIFIER" for each in modifiers):
        return
    for each in modifiers:
        if each["type"].startswith("LIMIT"):
            limit, offset = each.get("limit"), each.get("offset")
            takes_nothing = limit is not None and (limit.get("literal") or {}).get("text") == "0"
            if not takes_nothing:
                yield offset_of(limit or offset or each), "OFFSET" if limit is None else "LIMIT", _ORDERED
        elif each["type"] == "DISTINCT_MODIFIER" and each.get("distinct_on_targets"):
            yield offset_of(each["distinct_on_targets"][0]), "DISTINCT ON", _ORDERED


def _counts_from_today(age: Node) -> bool:
    """Whether ``age`` has one argument; in ``t.age()`` that is what stands before the name."""
    count = len(age["arguments"])
    return count == 0 or (count == 1 and str(age.get("schema") or "main").lower() == "main")


def _counts_rows(window: Node) -> bool:
    return any(str(window.get(side, "")).endswith("_ROWS") for side in ("start", "end"))


def _words(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    nodes: Sequence[Node],
    params: Mapping[str, Any],
    unknown_is_column: bool,
) -> Iterator[tuple[int, str, str]]:
    """Words that call a function. Whether a column has the name, only DuckDB can tell: it binds the statement."""
    import duckdb

    used: dict[str, int] = {}
    for node in nodes:
        if node.get("type") == "COLUMN_REF" and len(node["column_names"]) == 1:
            word = str(node["column_names"][0]).lower()
            if word in WORDS:
                used.setdefault(word, offset_of(node))
    for word, offset in used.items():
        # A macro of the function's name comes before it; one that calls what is gone cannot be bound. It stays there,
        # so that the statement cannot run later, with its tables, either.
        gone = f"__evergreen_{word}"
        connection.execute(f"create or replace macro {gone}() as 1")
        connection.execute(f"create or replace macro {WORDS[word]}() as {gone}()")
        connection.execute(f"drop macro {gone}")
        try:
            connection.execute(f"explain {sql}", dict(params) or None).fetchall()
        except duckdb.Error as error:
            is_the_word = gone in str(error)
            tables_are_missing = isinstance(error, duckdb.CatalogException) and "Table with name" in str(error)
            if is_the_word or (tables_are_missing and not unknown_is_column):
                yield offset, word, _STABLE
