"""Whether a changed definition of a dataset still fits its table: it may gain columns, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evergreen.spec.definition import Document

_MAKE_ROWS = frozenset({"unnest", "unlist"})


def extends(new: Document, old: Document) -> bool:
    """Whether a dataset's definition only adds columns to another one, so that both share a table.

    ``select`` is compared as DuckDB reads it: the same query with more items in its list, as far as these leave its
    rows as they are.
    """
    alike = ("kind", "entity", "event_time", "known_at", "availability_delay", "timezone")
    if new["kind"] != "dataset" or any(new[key] != old[key] for key in alike):
        return False
    before, after = old["columns"], new["columns"]
    if (before is None) != (after is None):
        return False
    if before is not None and any(after.get(name) != kind for name, kind in before.items()):
        return False
    if new["select"] == old["select"]:
        return bool(before == after) or not _groups_by_star(new["select"])
    return _selects_more(new["select"], old["select"])


def _groups_by_star(sql: str | None) -> bool:
    """Whether a statement tells rows apart by all columns that the source happens to have."""
    nodes = [] if sql is None else list(_nodes(_parsed(sql)))
    kinds = {node.get("type") for node in nodes}
    groups = any(node.get("aggregate_handling", "STANDARD_HANDLING") != "STANDARD_HANDLING" for node in nodes)
    return "STAR" in kinds and (groups or bool(kinds & {"DISTINCT_MODIFIER", "SET_OPERATION_NODE"}))


def _selects_more(new: str | None, old: str | None) -> bool:
    if new is None or old is None:
        return False
    after, before = _tree(new), _tree(old)
    if after is None or before is None:
        return False
    items, had = after.pop("select_list"), before.pop("select_list")
    if after != before or not all(item in items for item in had):
        return False
    added = [item for item in items if item not in had]
    return not added or (_keeps_its_rows(before, added) and not _renames(added, {**before, "select_list": had}))


def _keeps_its_rows(rest: Mapping[str, Any], added: Sequence[Any]) -> bool:
    """Whether a SELECT gives the same rows with more items in its list.

    Not with DISTINCT or GROUP BY ALL, which group by them, nor where places in the list are named (``order by 2``), nor
    where one of them makes several rows of one.
    """
    kinds = {each["type"] for each in rest["modifiers"]}
    ordered = [each["expression"] for modifier in rest["modifiers"] for each in modifier.get("orders", ())]
    by_place = any(each["type"] == "VALUE_CONSTANT" for each in (*rest["group_expressions"], *ordered))
    makes_rows = any(node.get("function_name") in _MAKE_ROWS for node in _nodes(added))
    grouped = "DISTINCT_MODIFIER" in kinds or rest["aggregate_handling"] != "STANDARD_HANDLING"
    return not (grouped or by_place or makes_rows)


def _renames(added: Sequence[Any], before: Mapping[str, Any]) -> bool:
    """Whether a new item takes a name that the statement uses: WHERE, QUALIFY, ORDER BY may then mean the item."""
    used = {str(node["column_names"][-1]).lower() for node in _nodes(before) if "column_names" in node}
    named = {str(item["alias"]).lower() for item in added if item.get("alias")}
    return bool(named & used)


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(tree, dict):
        yield tree
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(each)


def _tree(sql: str) -> dict[str, Any] | None:
    """A plain SELECT as DuckDB parses it, without the places of its words; ``None`` for anything else."""
    statements = _parsed(sql)
    if len(statements) != 1 or statements[0]["node"].get("type") != "SELECT_NODE":
        return None
    return dict(_placeless(statements[0]["node"]))


def _parsed(sql: str) -> list[dict[str, Any]]:
    from evergreen.lake.duck import query

    text = query("SELECT json_serialize_sql($sql) AS tree", {}, {"sql": sql})["tree"][0].as_py()
    return list(json.loads(text).get("statements", []))


def _placeless(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _placeless(value) for key, value in node.items() if key != "query_location"}
    return [_placeless(each) for each in node] if isinstance(node, list) else node
