"""What computes a table: the part of a spec of which its rows are a function.

Two specs with the same definition share a table; see docs/explanation/tables.md, rules 9 to 12. Documents are plain
JSON, so that the store can keep them and a person can compare two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from evergreen.spec.dataset import Dataset
from evergreen.spec.feature_view import FeatureView
from evergreen.spec.files import path_of
from evergreen.spec.loading import Workspace
from evergreen.spec.timing import format_duration

Document = Mapping[str, Any]

_SQL = re.compile(
    r"""(?P<kept>'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)|(?P<left>--[^\n]*|/\*.*?\*/|\s+)""",
    re.DOTALL,
)


def dataset_definition(dataset: Dataset) -> dict[str, Any]:
    """Of what a dataset's rows are a function, beside the source's files."""
    delay = dataset.availability_delay
    return {
        "kind": "dataset",
        "entity": list(dataset.entity),
        "event_time": dataset.event_time,
        "known_at": dataset.known_at,
        "availability_delay": None if delay is None else format_duration(delay),
        "timezone": dataset.timezone,
        "select": None if dataset.select is None else plain_sql(dataset.select),
        "columns": None if dataset.columns is None else dict(dataset.columns),
    }


def view_definition(workspace: Workspace, view: FeatureView, tables: Mapping[str, str]) -> dict[str, Any]:
    """Of what a materialized view's rows are a function.

    Args:
        workspace: Holds the view and the texts of its transform.
        tables: The table of each dataset that it reads, by the dataset's name.
    """
    own = path_of("feature_view", view.name)
    texts = {path: text for path, text in workspace.texts["feature_view", view.name].items() if path != own}
    return {
        "kind": "feature_view",
        "entity": list(view.entity),
        "timestamp": view.timestamp,
        "outputs": {name: feature.type for name, feature in view.outputs.items()},
        "lookback": format_duration(view.lookback),
        "availability_delay": format_duration(view.availability_delay),
        "function": view.function,
        "transform": {
            path.rpartition("/")[2] if view.function is None else path: plain_sql(text)
            if view.function is None
            else text
            for path, text in sorted(texts.items())
        },
        "reads": {name: tables[name] for name in view.reads},
    }


def plain_sql(text: str) -> str:
    """SQL without comments, with single blanks outside of quotes, without its closing semicolon."""

    def replaced(match: re.Match[str]) -> str:
        return match["kept"] if match["kept"] is not None else " "

    spaced = _SQL.sub(replaced, text)
    parts = re.split(r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|\$\w*\$.*?\$\w*\$)""", spaced, flags=re.DOTALL)
    parts[::2] = [re.sub(r" +", " ", part) for part in parts[::2]]
    return "".join(parts).strip().rstrip(";").rstrip()


def text_of(document: Document) -> str:
    """Canonical JSON of a definition; what its digest is taken of."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
