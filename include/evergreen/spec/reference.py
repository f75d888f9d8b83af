"""The reference of a kind's YAML keys as Markdown, read from its JSON schema: the page cannot say what is not so."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from evergreen.spec.base import Kind
from evergreen.spec.files import path_of
from evergreen.spec.schema import json_schema

_Schema = Mapping[str, Any]
_WIDTH = 120
_WRITTEN = {
    ("2h", "14d"): "duration",
    ("28d", "5000 rows"): "duration or rows",
    ("14d", "500 rows", "20%"): "duration, rows or share",
}
"""What a text is that has a form of its own, by the examples of its schema."""
_PLAIN = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}


def markdown(kind: Kind) -> str:
    """A heading, what the kind is, and one entry for each key: its path, type, default and meaning."""
    root = json_schema(kind)
    title = f"{kind.replace('_', ' ').capitalize()}: `{path_of(kind, 'NAME')}`"
    entries = "\n".join(_entries(root, root, ""))
    return f"## {title}\n\n{_wrapped(_said(root), '')}\n\n{entries}\n"


def _entries(schema: _Schema, root: _Schema, prefix: str, where: str = "") -> Iterator[str]:
    """The keys of an object, and below each those of the objects that it holds.

    Args:
        prefix: Path of the object.
        where: When the keys are there at all, of one kind among several.
    """
    required = schema.get("required", ())
    for name, given in schema["properties"].items():
        path = f"{prefix}{name}"
        members = _members(given, root)
        default = "required" if name in required else _default(given)
        said = given.get("description") or " ".join(filter(None, map(_said, members)))
        head = " · ".join(filter(None, (f"`{path}`", where, _type(given, root), default)))
        yield f"- {_wrapped(head, '  ').lstrip()}" + (f"\\\n{_wrapped(said, '  ')}" if said else "")
        for member in members:
            kind = member["properties"].get("kind", {}).get("const")
            below = f"of kind `{kind}`" if len(members) > 1 else ""
            yield from _entries(member, root, f"{path}{_step(given)}", below)


def _members(schema: _Schema, root: _Schema) -> list[_Schema]:
    """The objects that a key holds: itself, the entries of its list or mapping, or one for each kind of a union."""
    if "$ref" in schema:
        return [root["$defs"][schema["$ref"].rpartition("/")[2]]]
    below = schema.get("anyOf") or schema.get("oneOf") or []
    inner = [each for each in (schema.get("items"), schema.get("additionalProperties")) if isinstance(each, Mapping)]
    return [found for each in (*below, *inner) for found in _members(each, root)]


def _step(schema: _Schema) -> str:
    if "items" in schema:
        return "[]."
    return ".NAME." if isinstance(schema.get("additionalProperties"), Mapping) else "."


def _type(schema: _Schema, root: _Schema) -> str:
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if "$ref" in schema:
        return "mapping"
    union = schema.get("anyOf") or schema.get("oneOf")
    if union:
        types = dict.fromkeys(_type(each, root) for each in union if each.get("type") != "null")
        return " or ".join(types)
    if schema.get("type") == "array":
        parts = schema.get("prefixItems") or [schema["items"]]
        count = f" of {len(parts)}" if "prefixItems" in schema else " of"
        return f"list{count} {_several(parts[0], root)}"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"mapping of names to {_several(values, root)}" if isinstance(values, Mapping) else "mapping"
    written = _WRITTEN.get(tuple(schema.get("examples", ())))
    return written or f"{_PLAIN[schema['type']]}{_range(schema)}"


def _several(schema: _Schema, root: _Schema) -> str:
    one = _type(schema, root)
    return {"mapping": "mappings", "whole number": "whole numbers"}.get(one, one)


def _range(schema: _Schema) -> str:
    low, high, above = schema.get("minimum"), schema.get("maximum"), schema.get("exclusiveMinimum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if low is not None:
        return f" from {low:g}"
    return "" if above is None else f" above {above:g}"


def _default(schema: _Schema) -> str:
    value = schema.get("default")
    if value is None or isinstance(value, Mapping):
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return f"default `{text}`" if text not in ("", "[]") else ""


def _said(schema: _Schema) -> str:
    return str(schema.get("description", ""))


def _wrapped(text: str, indent: str) -> str:
    lines = textwrap.wrap(text.replace("``", "`"), _WIDTH - len(indent), break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"{indent}{line}" for line in lines)
