"""A world to measure steps in, without Airflow: an embedded PostgreSQL, MLflow, a lake, a workspace, runs of steps."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

STAGES = {"ingest": "dataset", "build": "feature_view"}
_START_SECONDS = 120
HABITS = {
    "reads": ["trips"],
    "entity": ["customer"],
    "timestamp": "until",
    "transform": "habits.sql",
    "outputs": {"trips_of": {"type": "int"}, "mean_load": {"type": "float"}},
}
HABITS_SQL = """
select customer, $end::timestamptz as until, count(*) as trips_of, avg(load) as mean_load
from trips where moment >= $start and moment < $end group by customer
"""


class World:
    """Settings of its own below a folder; resources are declared by the benchmark."""

    def __init__(self, folder: Path, store_url: str, mlflow_uri: str) -> None:
        from evergreen.lake.lake import Lake
        from evergreen.settings import Settings
        from evergreen.store.store import Store

        self.settings = Settings(
            home=folder / "home", workspace=folder / "workspace", landing=str(folder / "landing"),
            lake=str(folder / "lake"), store_url=store_url, mlflow_uri=mlflow_uri,
        )  # fmt: skip
        self.store, self.lake = Store(store_url), Lake(self.settings.lake)
        self.store.migrate()
        self._numbers = itertools.count(1)

    def write(self, path: str, content: Mapping[str, Any] | str) -> None:
        """A file of the workspace."""
        file = self.settings.workspace / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(dict(content), sort_keys=False))

    def run(
        self, resource: str, stage: str, key: str, *steps: str, run_type: str = "asset_triggered"
    ) -> dict[str, Any]:
        """Calls steps one after the other, each with the outputs of those before; ends with one that is skipped."""
        run = self.start(resource, stage, key, run_type=run_type)
        for step in steps:
            if run.step(step) is None:
                break
        return run.outputs

    def start(self, resource: str, stage: str, key: str, *, run_type: str = "asset_triggered") -> Run:
        """A run whose steps are called one by one."""
        return Run(self, resource, stage, f"{run_type}__{key}__{next(self._numbers)}", key, run_type)


class Run:
    """A run of one stage of a resource."""

    def __init__(self, world: World, resource: str, stage: str, run_id: str, key: str, run_type: str) -> None:
        from evergreen.steps.contract import RunRef
        from evergreen.steps.run import open_run

        self._world, self._resource = world, resource
        self._kind: Any = STAGES.get(stage, "model")
        self._ref = RunRef(dag_id=f"{resource}.{stage}", run_id=run_id, run_type=run_type)
        self._run = open_run(world.settings, kind=self._kind, resource=resource, run=self._ref, partition_key=key)
        self.outputs: dict[str, Any] = {}

    def step(self, name: str) -> dict[str, Any] | None:
        """Calls a step with the outputs of those before it; gives its own, ``None`` where it was skipped."""
        from evergreen.steps.contract import StepInput, run_step

        inp = StepInput(
            step=name, kind=self._kind, resource=self._resource, as_of=self._run.as_of, workspace=self._run.workspace,
            run=self._ref, inputs=dict(self.outputs),
        )  # fmt: skip
        result = run_step(inp, self._world.settings)
        if result.skip is not None:
            return None
        self.outputs[name] = result.output
        return result.output


@contextmanager
def servers(folder: Path) -> Iterator[tuple[Any, str]]:
    """An embedded PostgreSQL and the address of an MLflow server, both ended with the block."""
    from evergreen.stack.postgres import EmbeddedPostgres

    postgres = EmbeddedPostgres(folder / "postgres", durable=False)
    postgres.start()
    try:
        with _mlflow(folder / "mlflow", postgres.create_database("mlflow")) as address:
            yield postgres, address
    finally:
        postgres.stop()
        postgres.remove()


@contextmanager
def _mlflow(folder: Path, database: str) -> Iterator[str]:
    folder.mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(address, server, folder / "server.log")
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"MLflow did not start:\n{log.read_text()}")
