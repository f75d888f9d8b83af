"""What a worker parses for one task: of a fleet of a thousand models, against a fleet of one."""

from __future__ import annotations

import json
import os
import runpy
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from parse_fleet import MODEL, PROJECT, fleet


def run(models: int = 1000, samples: int = 41) -> dict[str, Any]:
    """Medians in one process, the two fleets taking turns."""
    kept = {name: os.environ.get(name) for name in ("EVERGREEN_WORKSPACE", "EVERGREEN_HOME")}
    kept["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = None
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("AIRFLOW_HOME", str(Path(folder) / "airflow"))
        fleets = {size: fleet(Path(folder) / str(size), size) for size in (models, 1)}
        taken: dict[int, list[float]] = {size: [] for size in fleets}
        try:
            for _ in range(samples):
                for size, workspace in fleets.items():
                    taken[size].append(_one(workspace))
        finally:
            for name, value in kept.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
    ours, peer = statistics.median(taken[models][1:]), statistics.median(taken[1][1:])
    return {
        "name": "task_build",
        "ours": ours * 1000,
        "peer": peer * 1000,
        "peer_name": "one task of a fleet of one",
        "ratio": ours / peer,
        "unit": "ms",
    }


def _one(workspace: Path) -> float:
    """Seconds to execute the DAG file for one task, as the worker does."""
    os.environ.update(
        EVERGREEN_WORKSPACE=str(workspace),
        EVERGREEN_HOME=str(workspace.parent / "home"),
        _AIRFLOW_PARSING_CONTEXT_DAG_ID=f"{MODEL}.train",
    )
    start = time.perf_counter()
    made = runpy.run_path(str(PROJECT / "dags" / "train.py"))
    seconds = time.perf_counter() - start
    if f"{MODEL}.train" not in made:
        raise RuntimeError("the task's DAG was not built")
    return seconds


if __name__ == "__main__":
    print(json.dumps(run()))
