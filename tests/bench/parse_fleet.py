"""Seconds to build all DAGs of a thousand models, against as many bare DAGs with as many tasks."""

from __future__ import annotations

import importlib
import json
import os
import runpy
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLE, MODEL = PROJECT / "include/examples/bikes", "bike_demand"
FILES = ("ingest", "rebuild", "build", "monitor", "train", "deploy", "rollback", "spec_errors")


def run(models: int = 1000, samples: int = 5) -> dict[str, Any]:
    """Medians over fresh processes, ours and the peer's taking turns.

    Imports are not timed, and the seconds are the processor's, so that other work on the machine does not count.
    """
    with tempfile.TemporaryDirectory() as folder:
        workspace = fleet(Path(folder), models)
        # The first process also writes what is kept of valid files, as the first parse of an installation does.
        (workspace.parent / "shape.json").write_text(json.dumps(sample("shape", workspace)))
        taken = {"ours": [], "peer": []}  # type: dict[str, list[float]]
        for _ in range(samples):
            for side, seconds in taken.items():
                seconds.append(sample(side, workspace))
    ours, peer = statistics.median(taken["ours"]), statistics.median(taken["peer"])
    return {
        "name": "parse_fleet",
        "ours": ours,
        "peer": peer,
        "peer_name": f"bare DAGs, {models} models' worth",
        "ratio": ours / peer,
        "unit": "s",
    }


def fleet(folder: Path, models: int) -> Path:
    """A workspace with so many copies of the bikes model beside one dataset and its views."""
    workspace = folder / "workspace"
    shutil.copytree(EXAMPLE, workspace)
    text = (workspace / "models" / f"{MODEL}.yaml").read_text()
    for number in range(1, models):
        (workspace / "models" / f"{MODEL}_{number:04d}.yaml").write_text(text)
    return workspace


def sample(side: str, workspace: Path) -> Any:
    """What one side gives in a process of its own: seconds, or the shape of the fleet."""
    environ = {
        **os.environ,
        "AIRFLOW_HOME": str(workspace.parent / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "EVERGREEN_HOME": str(workspace.parent / "home"),
        "EVERGREEN_WORKSPACE": str(workspace),
    }
    command = [sys.executable, str(Path(__file__).resolve()), side]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, cwd=workspace.parent)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def _shape() -> list[tuple[str, int]]:
    """Id and number of tasks of every DAG of ours."""
    dags = [each for name in FILES for each in _built(name).values()]
    return [(dag.dag_id, len(dag.tasks)) for dag in dags]


def _built(name: str) -> dict[str, Any]:
    from airflow.sdk import DAG

    made = runpy.run_path(str(PROJECT / "dags" / f"{name}.py"))
    return {key: value for key, value in made.items() if isinstance(value, DAG)}


def _ours() -> float:
    for stage in ("build", "deploy", "ingest", "monitor", "rebuild", "rollback", "train"):
        importlib.import_module(f"evergreen_airflow.stages.{stage}")
    importlib.import_module("evergreen_airflow.fleet")

    start = time.process_time()
    kept = [_built(name) for name in FILES]
    seconds = time.process_time() - start
    if not kept:
        raise RuntimeError("nothing was built")
    return seconds


def _peer() -> float:
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, chain

    shape = json.loads(Path("shape.json").read_text())
    start = time.process_time()
    kept = []
    for dag_id, tasks in shape:
        with DAG(dag_id, schedule=None) as dag:
            chain(*[EmptyOperator(task_id=f"task_{number}") for number in range(tasks)])
        kept.append(dag)
    return time.process_time() - start


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps({"ours": _ours, "peer": _peer, "shape": _shape}[sys.argv[1]]()))
    else:
        print(json.dumps(run()))
