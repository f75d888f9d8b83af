"""The reference page of the YAML keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evergreen.spec.base import Kind
from evergreen.spec.files import FOLDERS
from evergreen.spec.reference import markdown
from evergreen.spec.schema import json_schema

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "spec.md"


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_page_is_up_to_date(kind: Kind) -> None:
    assert markdown(kind) in PAGE.read_text(encoding="utf-8"), f"paste `evergreen schema {kind} --markdown` into it"


@pytest.mark.parametrize("kind", FOLDERS)
def test_every_key_says_what_it_means(kind: Kind) -> None:
    schema = json_schema(kind)
    silent = [path for path, key in _keys(schema) if not key.get("description") and "$ref" not in key]
    assert silent == []


def test_keys_of_a_union_say_to_which_kind_they_belong() -> None:
    text = markdown("model")
    assert "`trainer.rounds` · of kind `lightgbm` · whole number from 1 · default `300`" in text
    assert "`trainer.estimator` · of kind `sklearn` · text · required" in text


def test_lines_fit_the_page() -> None:
    assert max(map(len, "".join(map(markdown, FOLDERS)).splitlines())) <= 120


def _keys(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, key in schema["properties"].items():
        yield name, key
    for name, each in schema.get("$defs", {}).items():
        for key, given in each["properties"].items():
            yield f"{name}.{key}", given
