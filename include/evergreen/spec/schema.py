"""JSON schemas of the three kinds, for editors and for the messages about broken fields."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cache
from typing import Any

from evergreen.spec.base import Frozen, Kind, Resource
from evergreen.spec.dataset import Dataset
from evergreen.spec.feature_view import FeatureView
from evergreen.spec.model import Model
from evergreen.spec.timing import format_duration

KINDS: dict[Kind, type[Resource]] = {"dataset": Dataset, "feature_view": FeatureView, "model": Model}
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {6,}.*)*)", re.MULTILINE)


@cache
def json_schema(kind: Kind) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a kind's YAML file; shared, not to be changed.

    What a docstring's ``Attributes`` section says of a field is the field's description.
    """
    schema = KINDS[kind].model_json_schema()
    _describe(schema, KINDS[kind])
    classes = {each.__name__: each for each in Frozen.__subclasses__()}
    for name, each in schema.get("$defs", {}).items():
        _describe(each, classes[name])
    # The name is the file's stem.
    del schema["properties"]["name"]
    schema["required"] = [name for name in schema.get("required", []) if name != "name"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _describe(schema: dict[str, Any], described: type[Frozen]) -> None:
    properties = schema.get("properties", {})
    for name, field in described.model_fields.items():
        if isinstance(field.default, timedelta):
            properties[name]["default"] = format_duration(field.default)
    text, _, attributes = schema.get("description", "").partition("\n\nAttributes:\n")
    if text:
        schema["description"] = " ".join(text.split())
    for name, said in _ATTRIBUTE.findall(attributes):
        if name in properties:
            properties[name]["description"] = " ".join(said.split())
