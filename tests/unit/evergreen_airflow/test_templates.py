"""No text of YAML or REST is ever rendered as a template."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import yaml

BAIT = "{{ conn.x.password }}{{ 7 * 7 }}{% for a in b %}"


class Explosive:
    """A context whose connections must not be asked for."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a template asked for conn.{name}")


def poison(value: Any, path: str = "") -> Any:
    """Every free text of a file with the bait behind it; identifiers, expressions and enums stay valid."""
    free = ("description", "owner", "team", "null_values", "value_set")
    if isinstance(value, dict):
        return {key: poison(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [poison(each, path) for each in value]
    if path == "select":
        return f"{value} -- {BAIT}"
    return f"{value} {BAIT}" if path in free and isinstance(value, str) else value


def test_text_of_every_yaml_file_stays_text(workspace: Path, project: Path) -> None:
    for file in workspace.rglob("*.yaml"):
        document = poison(yaml.safe_load(file.read_text()))
        document.setdefault("owner", BAIT)
        document["description"] = f"{document.get('description', '')} {BAIT}"
        file.write_text(yaml.safe_dump(document))
    dags = [
        dag
        for name in ("ingest", "build", "monitor", "train", "deploy", "rollback")
        for key, dag in runpy.run_path(str(project / "dags" / f"{name}.py")).items()
        if key.endswith(f".{name}")
    ]
    assert len(dags) == 6 and all(BAIT in dag.description for dag in dags)
    for dag in dags:
        assert not dag.user_defined_macros and not dag.user_defined_filters
        for task in dag.tasks:
            assert BAIT in task.owner
            assert not task.template_fields and not task.template_ext and task.map_index_template is None
            before = dict(vars(task))
            task.render_template_fields({"conn": Explosive(), "dag_run": None}, dag.get_template_env())
            assert vars(task) == before
            assert BAIT not in str([getattr(task, name) for name in ("task_id", "step", "kind", "resource", "takes")])
