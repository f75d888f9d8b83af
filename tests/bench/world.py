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
        from evergreen.steps.contract import RunRef, StepInput, run_step
        from evergreen.steps.run import open_run

        kind: Any = STAGES.get(stage, "model")
        ref = RunRef(
            dag_id=f"{resource}.{stage}", run_id=f"{run_type}__{key}__{next(self._numbers)}", run_type=run_type
        )
        run = open_run(self.settings, kind=kind, resource=resource, run=ref, partition_key=key)
        outputs: dict[str, Any] = {}
        for step in steps:
            inp = StepInput(
                step=step, kind=kind, resource=resource, as_of=run.as_of, workspace=run.workspace, run=ref,
                inputs=dict(outputs),
            )  # fmt: skip
            result = run_step(inp, self.settings)
            if result.skip is not None:
                break
            outputs[step] = result.output
        return outputs


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
