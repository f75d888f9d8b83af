"""The gateway starts first, stops last, and goes on alone: drilled on a whole stack."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evergreen.errors import TransientError
from evergreen.lake.lake import Lake
from evergreen.serving.routes import Route, Routes
from evergreen.stack import disk, health
from evergreen.stack.postgres import EmbeddedPostgres
from evergreen.stack.processes import marked
from evergreen.stack.stack import Stack

pytestmark = pytest.mark.timeout(900)

_spec = importlib.util.spec_from_file_location(
    "serving_parts", Path(__file__).parents[2] / "unit" / "serving" / "conftest.py"
)
assert _spec is not None and _spec.loader is not None
parts = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(parts)

_FREE_AS_TOLD = """
import sys
from pathlib import Path
from evergreen.stack import disk, supervisor
told = Path(sys.argv.pop())
disk.free_mb = lambda folder: int(told.read_text())
supervisor.main()
"""
"""A supervisor that believes a file about the room on its disk."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An instance that has never run, whose gateway has a local copy of a model that it served."""
    base = tmp_path_factory.mktemp("alone")
    project = base / "project"
    for name in ("dags", "plugins"):
        (project / name).mkdir(parents=True)
    stack = Stack(base / "instance", project=project, workspace=project)
    stack.instance.make()
    stack.instance.write_config(stack._config())
    bundle = parts.save_bundle(base / "bundle", 1)
    lake = Lake(str(stack.instance.lake))
    routes = Routes(stack.instance.folder / "gateway")
    routes.apply(Route("toy", 1, 1, parts.freeze_bundle(lake, bundle)), lake)
    yield stack
    stack.stop()
    stack.remove()


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"no {what} after {seconds:.0f} s"
        time.sleep(0.05)
    return found


def answered(stack: Stack) -> int | None:
    """The version that answers a request now; ``None`` when nobody does."""
    request = urllib.request.Request(
        f"{stack.gateway_url}/models/toy/invocations",
        data=json.dumps({"rows": [parts.ROW]}).encode(),
        headers={"Content-Type": "application/json", "X-API-Key": stack.gateway_key},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(json.loads(answer.read())["version"])
    except (urllib.error.URLError, ConnectionError):
        return None


def phase(stack: Stack) -> str:
    state = stack.instance.read_state()
    return "" if state is None else state.phase


def evergreen(stack: Stack, command: str, *, before: str = "") -> subprocess.CompletedProcess[str]:
    """Runs ``evergreen up`` or another command on the instance; ``before`` is Python that is run in its process."""
    program = f"{before}\nfrom evergreen.cli import main\nmain()"
    arguments = [sys.executable, "-c", program, command, "--instance", str(stack.instance.folder)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def data_of(stack: Stack) -> Path:
    """PostgreSQL's data folder."""
    return EmbeddedPostgres(stack.instance.postgres).data


def test_everything_starts_and_the_gateway_first(stack: Stack) -> None:
    result = evergreen(stack, "up")
    assert result.returncode == 0, result.stderr
    started = {name: part.started for name, part in stack.state.parts.items() if part.started is not None}
    assert min(started, key=lambda name: started[name]) == "gateway"
    assert answered(stack) == 1


def test_it_stops_last(stack: Stack) -> None:
    state = stack.state
    stack.stop()
    lines = [
        line.split(" INFO ")[1]
        for line in (stack.instance.logs / "supervisor.log").read_text().splitlines()
        if " ended" in line or " killed" in line
    ]
    assert lines[-2] == "All but the gateway has ended", "PostgreSQL too"
    assert lines[-1].startswith("gateway ended after") and any(line.startswith("scheduler ") for line in lines)
    assert not marked(state.mark)


def test_it_answers_while_postgresql_does_not_start_and_the_rest_heals(stack: Stack) -> None:
    control = data_of(stack) / "global" / "pg_control"
    whole = control.read_bytes()
    control.write_bytes(bytes(len(whole)))
    result = evergreen(stack, "up")
    assert result.returncode == 1
    assert "postgres ended with code" in result.stderr and "tried again" in result.stderr
    assert stack.is_running() and phase(stack) == "degraded"
    assert answered(stack) == 1
    for _ in range(3):
        time.sleep(2)
        assert answered(stack) == 1
    status = evergreen(stack, "status")
    assert status.returncode == 1 and "degraded" in status.stdout
    gateway = stack.state.parts["gateway"].pid
    control.write_bytes(whole)
    until(lambda: phase(stack) == "healthy", 300, "healing")
    assert stack.state.error == ""
    assert stack.state.parts["gateway"].pid == gateway, "it was never restarted"
    assert health.fetch(f"{stack.mlflow_url}/health") == b"OK"
    assert answered(stack) == 1


def test_it_answers_while_postgresql_breaks_under_a_running_stack(stack: Stack) -> None:
    control = data_of(stack) / "global" / "pg_control"
    gateway = stack.state.parts["gateway"].pid
    pid = stack.state.parts["postgres"].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    whole = control.read_bytes()
    control.write_bytes(bytes(len(whole)))
    os.kill(pid, signal.SIGKILL)
    until(lambda: phase(stack) == "degraded", 120, "sign of the trouble")
    assert answered(stack) == 1
    control.write_bytes(whole)
    until(lambda: phase(stack) == "healthy", 300, "healing")
    assert stack.state.parts["gateway"].pid == gateway
    assert answered(stack) == 1


@pytest.mark.long
def test_who_needs_everything_is_told_and_left_with_nothing(stack: Stack) -> None:
    stack.stop()
    version = data_of(stack) / "PG_VERSION"
    version.rename(version.with_name("hidden"))
    try:
        with pytest.raises(TransientError, match="must have a file PG_VERSION"):
            stack.start()
        assert not stack.is_running()
    finally:
        version.with_name("hidden").rename(version)


@pytest.mark.long
def test_a_disk_without_room_stops_all_but_it_until_there_is_room(stack: Stack, tmp_path: Path) -> None:
    told = tmp_path / "free_mb"
    told.write_text(str(disk.LAST_FREE_MB - 1))
    command = [sys.executable, "-c", _FREE_AS_TOLD, str(stack.instance.folder), str(told)]
    with (tmp_path / "supervisor.log").open("w") as log:
        supervisor = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ, start_new_session=True)
    try:
        until(lambda: phase(stack) == "degraded" and answered(stack) == 1, 60, "answer on a full disk")
        state = stack.state
        assert "must have 500 MB free" in state.error
        assert {name for name, part in state.parts.items() if part.pid is not None} == {"gateway"}
        told.write_text(str(disk.LEAST_FREE_MB - 1))
        time.sleep(7)
        assert set(stack.state.parts) == {"gateway", "postgres"}, "a start wants more than what a stack goes on with"
        told.write_text(str(disk.LEAST_FREE_MB))
        until(lambda: phase(stack) == "healthy", 300, "healing")
        gateway = stack.state.parts["gateway"].pid
        told.write_text(str(disk.LEAST_FREE_MB - 1))
        time.sleep(7)
        assert phase(stack) == "healthy", "what runs goes on"
        told.write_text(str(disk.LAST_FREE_MB - 1))
        until(lambda: phase(stack) == "degraded", 30, "stop of the rest")
        until(
            lambda: {n for n, p in stack.state.parts.items() if p.pid is not None} == {"gateway"}, 60, "end of the rest"
        )
        assert answered(stack) == 1
        left = {process.name() for process in marked(state.mark)}
        assert not any("postgres" in name or "airflow" in name for name in left)
        told.write_text(str(10 * disk.LEAST_FREE_MB))
        until(lambda: phase(stack) == "healthy", 300, "healing again")
        assert stack.state.parts["gateway"].pid == gateway
    finally:
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(90) == 0
    assert not marked(state.mark)


@pytest.mark.long
def test_on_a_full_disk_up_asks_for_no_room_where_there_is_something_to_serve(stack: Stack) -> None:
    no_room = "from evergreen.stack import disk; disk.free_mb = lambda folder: 0"
    result = evergreen(stack, "up", before=no_room)
    assert result.returncode == 0, result.stderr
    assert answered(stack) == 1
    stack.stop()
    shutil.move(stack.instance.folder / "gateway" / "routes.json", stack.instance.folder / "routes.json")
    refused = evergreen(stack, "up", before=no_room)
    assert refused.returncode == 2 and "must have 500 MB free" in refused.stderr
    assert not stack.is_running()
