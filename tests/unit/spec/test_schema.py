"""The JSON schemas that editors use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evergreen.spec.base import Kind
from evergreen.spec.files import FOLDERS
from evergreen.spec.schema import json_schema
from evergreen.spec.source import parse

EXAMPLES = Path(__file__).parents[3] / "include" / "examples"


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_examples_follow_the_schemas(kind: Kind) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(json.dumps(json_schema(kind)))
    jsonschema.Draft202012Validator.check_schema(schema)
    for path in EXAMPLES.glob(f"*/{FOLDERS[kind]}/*.yaml"):
        jsonschema.validate(parse(path.read_text()).data, schema)


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_schema_has_no_name_and_describes_its_fields(kind: Kind) -> None:
    schema = json_schema(kind)
    assert "name" not in schema["properties"]
    assert "name" not in schema["required"]
    assert "Attributes" not in json.dumps(schema)
    assert '"PT' not in json.dumps(schema)


def test_docstrings_become_descriptions() -> None:
    retraining = json_schema("model")["$defs"]["Retraining"]["properties"]
    assert retraining["min_history"]["description"].startswith("No request before")
    assert retraining["cool_down"]["default"] == "1d"
