"""The files of dags/ as Airflow meets them."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from evergreen.errors import SpecErrors

HEAVY = (
    "pandas", "numpy", "mlflow", "great_expectations", "evidently", "lightgbm", "sklearn", "pyarrow", "deltalake",
    "duckdb", "scipy",
)  # fmt: skip
SCRIPT = """
import json, os, runpy, sys
from pathlib import Path
built = []
for dag_id in (None, "bike_demand.train"):
    if dag_id:
        os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = dag_id
    for file in sorted(Path(sys.argv[1]).glob("*.py")):
        built += [name for name in runpy.run_path(str(file)) if "." in name]
print(json.dumps({"built": built, "loaded": sorted(name for name in json.loads(sys.argv[2]) if name in sys.modules)}))
"""
LIFE = {
    "rides.ingest", "rides.rebuild", "demand.build", "bike_demand.monitor", "bike_demand.train", "bike_demand.deploy",
    "bike_demand.rollback", "evergreen.housekeeping",
    "evergreen.page",
}  # fmt: skip


@pytest.fixture
def parse(workspace: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Executes every file of dags/: tags by DAG, and the errors that Airflow would show."""

    def run(dag_id: str | None = None) -> tuple[dict[str, set[str]], dict[str, str]]:
        built: dict[str, set[str]] = {}
        errors: dict[str, str] = {}
        with monkeypatch.context() as patch:
            if dag_id is not None:
                patch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag_id)
            for file in sorted((project / "dags").glob("*.py")):
                try:
                    made = runpy.run_path(str(file))
                except SpecErrors as error:
                    errors[file.name] = str(error)
                else:
                    built |= {dag.dag_id: set(dag.tags) for dag in made.values() if isinstance(dag, DAG)}
        return built, errors

    return run


def test_parsing_imports_nothing_heavy(workspace: Path, project: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(project / "dags"), json.dumps(HEAVY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert set(seen["built"]) == LIFE and len(seen["built"]) == len(LIFE) + 1
    assert seen["loaded"] == []


def test_every_resource_has_its_stages(parse: Callable[..., Any]) -> None:
    built, errors = parse()
    assert set(built) == LIFE and errors == {}


@pytest.mark.parametrize("dag_id", sorted(LIFE))
def test_a_worker_builds_the_one_dag_that_runs(workspace: Path, parse: Callable[..., Any], dag_id: str) -> None:
    (workspace / "models" / "other.yaml").write_text((workspace / "models" / "bike_demand.yaml").read_text())
    built, errors = parse(dag_id)
    assert set(built) == {dag_id} and errors == {}


def test_a_broken_file_shows_all_its_errors_and_its_dags_live_on(workspace: Path, parse: Callable[..., Any]) -> None:
    parse()
    file = workspace / "models" / "bike_demand.yaml"
    file.write_text(file.read_text().replace("task: regression", "task: guess\ncolour: red"))
    built, errors = parse()
    assert set(built) == LIFE
    assert {dag_id for dag_id, tags in built.items() if "spec-broken" in tags} == {
        dag_id for dag_id in LIFE if dag_id.startswith("bike_demand.")
    }
    assert set(errors) == {"spec_errors.py"}
    message = errors["spec_errors.py"]
    assert "task" in message and "colour" in message
    assert parse("bike_demand.train")[1] == {}


def test_a_file_that_was_never_valid_takes_nothing_else_down(workspace: Path, parse: Callable[..., Any]) -> None:
    (workspace / "models" / "new.yaml").write_text("task: [")
    built, errors = parse()
    assert set(built) == LIFE
    assert "models/new.yaml" in errors["spec_errors.py"]


def test_a_removed_file_takes_its_dags_away(workspace: Path, parse: Callable[..., Any]) -> None:
    parse()
    (workspace / "models" / "bike_demand.yaml").unlink()
    built, errors = parse()
    assert (
        set(built) == {"rides.ingest", "rides.rebuild", "demand.build", "evergreen.housekeeping", "evergreen.page"}
        and errors == {}
    )


def test_airflow_keeps_its_hands_off_the_package_in_the_plugins_folder(project: Path) -> None:
    assert "evergreen_airflow/" in (project / "plugins" / ".airflowignore").read_text().splitlines()


def test_dag_files_hold_wiring_only(project: Path) -> None:
    for file in (project / "dags").glob("*.py"):
        lines = file.read_text().splitlines()
        assert len(lines) <= 12, file.name
        assert "airflow" in file.read_text().lower() and "dag" in file.read_text().lower()  # Airflow's safe mode


def test_tasks_that_load_the_plugin_do_not_pay_for_its_pages() -> None:
    script = (
        "import sys, evergreen_plugin as p; from airflow.plugins_manager import AirflowPlugin; "
        "assert issubclass(p.EvergreenPlugin, AirflowPlugin); "
        "assert 'airflow.api_fastapi.core_api' not in sys.modules; "
        "assert [each['url_prefix'] for each in p.EvergreenPlugin().fastapi_apps] == ['/evergreen']"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
