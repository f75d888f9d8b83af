"""What pydantic found wrong, in our words: which field, which rule, which value, what to do.

The rule is read from the kind's JSON schema, so that a field says the same whatever it was given.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from evergreen.spec.base import At, Kind
from evergreen.spec.source import Field, Problem

if TYPE_CHECKING:
    from pydantic import ValidationError

_Schema = Mapping[str, Any]
_SHOWN = (str, int, float, bool, type(None))


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """A remedy that names the closest of the known words, or all of them when none is close."""
    words = sorted(known)
    close = difflib.get_close_matches(str(word), words, n=1)
    if close:
        return f"Did you mean {close[0]}?"
    return f"There is: {', '.join(words)}." if words else "There is none."


def problems_of(error: ValidationError, data: Mapping[str, Any], kind: Kind) -> list[Problem]:
    """Every problem of a resource's values, one for each field.

    Args:
        data: The file's values as they were validated.
    """
    found: dict[Field, Problem] = {}
    for each in error.errors(include_url=False):
        problem = _problem(each, data, kind)
        found.setdefault(problem.field, problem)
    return list(found.values())


def _problem(error: Any, data: Mapping[str, Any], kind: Kind) -> Problem:
    said = error["type"]
    field = _walked(error["loc"], data, keep_last=said in ("missing", "extra_forbidden"))
    if said == "value_error":
        raised = error["ctx"]["error"]
        value = error["input"] if isinstance(error["input"], _SHOWN) else None
        if isinstance(raised, At):
            return Problem((*field, *raised.field), str(raised), raised.value, raised.remedy)
        return Problem(field, str(raised), value)
    if said == "extra_forbidden":
        keys = {key for schema in _at(kind, field[:-1], data) for key in schema.get("properties", {})}
        return Problem(field, f"is not a key of {_owner(kind, field)}", remedy=did_you_mean(field[-1], keys))
    if said == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in error["ctx"]["expected_tags"].split(",")]
        tag = error["ctx"]["tag"]
        return Problem((*field, "kind"), f"must be one of {', '.join(tags)}", tag, _close(tag, tags))
    if error["loc"][-1] == "[key]":
        schemas = [each["propertyNames"] for each in _at(kind, field[:-1], data) if "propertyNames" in each]
        return Problem(field, _rule(schemas), error["input"], _remedy(error["input"], schemas))
    schemas = _at(kind, field, data)
    rule = _rule(schemas)
    if said == "missing":
        what = next((each["description"] for each in schemas if "description" in each), "")
        return Problem(field, f"must be given; it {rule}", remedy=_first_sentence(what))
    value = error["input"]
    return Problem(field, rule, "null" if value is None else value, _remedy(value, schemas))


def _close(word: str, known: list[str]) -> str:
    remedy = did_you_mean(word, known)
    return remedy if remedy.startswith("Did") else ""


def _owner(kind: Kind, field: Field) -> str:
    where = [str(part) for part in field[:-1] if isinstance(part, str)]
    return where[-1] if where else f"a {kind.replace('_', ' ')}"


def _first_sentence(text: str) -> str:
    head = text.partition(". ")[0].rstrip(".")
    return f"{head[0].upper()}{head[1:]}." if head else ""


def _walked(loc: Iterable[str | int], data: Any, *, keep_last: bool) -> Field:
    """The path within the file; pydantic's marks of union members and of keys are left out."""
    path: list[str | int] = []
    parts = tuple(loc)
    for index, part in enumerate(parts):
        is_key = isinstance(data, Mapping) and part in data
        is_index = isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        if is_key or is_index:
            data = data[part]
        elif not (keep_last and index == len(parts) - 1):
            continue
        path.append(part)
    return tuple(path)


def _at(kind: Kind, field: Field, data: Any) -> list[_Schema]:
    """The schemas that a value at this path may follow, unions unfolded."""
    from evergreen.spec.schema import json_schema

    root = json_schema(kind)
    found: list[_Schema] = _unfolded(root, root, data)
    for part in field:
        data = _child(data, part)
        below: list[_Schema] = []
        for schema in found:
            if isinstance(part, int):
                items = schema.get("prefixItems")
                child = items[part] if items and part < len(items) else schema.get("items")
            else:
                child = schema.get("properties", {}).get(part) or schema.get("additionalProperties")
            if isinstance(child, Mapping):
                below += _unfolded(child, root, data)
        found = below
    return found


def _child(data: Any, part: str | int) -> Any:
    if isinstance(data, Mapping):
        return data.get(str(part))
    return data[part] if isinstance(data, list) and isinstance(part, int) and part < len(data) else None


def _unfolded(schema: _Schema, root: _Schema, data: Any) -> list[_Schema]:
    if "$ref" in schema:
        said = {key: value for key, value in schema.items() if key == "description"}
        return _unfolded({**root["$defs"][schema["$ref"].rpartition("/")[2]], **said}, root, data)
    members = schema.get("anyOf") or schema.get("oneOf")
    if not members:
        return [] if schema.get("type") == "null" else [schema]
    unfolded = [each for member in members for each in _unfolded(member, root, data)]
    if isinstance(data, Mapping):
        kind = data.get("kind")
        chosen = [each for each in unfolded if each.get("properties", {}).get("kind", {}).get("const") == kind]
        return chosen or unfolded
    return [{**each, **{k: v for k, v in schema.items() if k == "description"}} for each in unfolded]


def _rule(schemas: list[_Schema]) -> str:
    rules = dict.fromkeys(_rule_of(schema) for schema in schemas)
    return "must be " + " or ".join(rule.removeprefix("must be ") for rule in rules) if rules else "must be valid"


def _rule_of(schema: _Schema) -> str:
    if "enum" in schema:
        return f"must be one of {', '.join(map(str, schema['enum']))}"
    if "const" in schema:
        return f"must be {schema['const']}"
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return f"must be {'a whole number' if kind == 'integer' else 'a number'}{_range(schema)}"
    if kind == "string":
        examples = schema.get("examples")
        return f"must be text such as {' or '.join(examples)}" if examples else "must be text"
    if kind == "array":
        sizes = {schema.get("minItems"), schema.get("maxItems")}
        size = f" of {sizes.pop()}" if len(sizes) == 1 and None not in sizes else ""
        return f"must be a list{size}"
    if kind == "boolean":
        return "must be true or false"
    if kind == "object":
        return "must be a mapping" + (" that is not empty" if schema.get("minProperties") else "")
    return "must be valid"


def _range(schema: _Schema) -> str:
    low, high, above = schema.get("minimum"), schema.get("maximum"), schema.get("exclusiveMinimum")
    if low is not None and high is not None:
        return f" in [{low:g}, {high:g}]"
    if low is not None:
        return f" of at least {low:g}"
    return "" if above is None else f" greater than {above:g}"


def _remedy(value: object, schemas: list[_Schema]) -> str:
    words = [str(word) for schema in schemas for word in schema.get("enum", [])]
    if isinstance(value, str) and words:
        return _close(value, words)
    if value is None:
        return "Give it a value, or delete the key."
    if isinstance(value, str | int | float) and any(schema.get("type") == "array" for schema in schemas):
        return f"Write [{value}]."
    shares = any(schema.get("maximum") == 1 for schema in schemas)
    if shares and isinstance(value, int | float) and 1 < value <= 100:
        return f"Write {value / 100:g}."
    return ""
