"""Whether a changed definition of a dataset still fits its table: it may gain columns, and nothing else."""

from __future__ import annotations

import json
from typing import Any

from evergreen.spec.definition import Document


def extends(new: Document, old: Document) -> bool:
    """Whether a dataset's definition only adds columns to another one, so that both share a table.

    ``select`` is compared as DuckDB reads it: the same query with more items in its list.
    """
    alike = ("kind", "entity", "event_time", "known_at", "availability_delay", "timezone")
    if new["kind"] != "dataset" or any(new[key] != old[key] for key in alike):
        return False
    before, after = old["columns"], new["columns"]
    if (before is None) != (after is None):
        return False
    if before is not None and any(after.get(name) != kind for name, kind in before.items()):
        return False
    return bool(new["select"] == old["select"]) or _selects_more(new["select"], old["select"])


def _selects_more(new: str | None, old: str | None) -> bool:
    if new is None or old is None:
        return False
    after, before = _tree(new), _tree(old)
    if after is None or before is None:
        return False
    items, had = after.pop("select_list"), before.pop("select_list")
    return after == before and all(item in items for item in had)


def _tree(sql: str) -> dict[str, Any] | None:
    """A plain SELECT as DuckDB parses it, without the places of its words; ``None`` for anything else."""
    from evergreen.lake.duck import query

    text = query("SELECT json_serialize_sql($sql) AS tree", {}, {"sql": sql})["tree"][0].as_py()
    statements = json.loads(text).get("statements", [])
    if len(statements) != 1 or statements[0]["node"].get("type") != "SELECT_NODE":
        return None
    return dict(_placeless(statements[0]["node"]))


def _placeless(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _placeless(value) for key, value in node.items() if key != "query_location"}
    return [_placeless(each) for each in node] if isinstance(node, list) else node
