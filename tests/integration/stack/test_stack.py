"""The whole stack for real: what it opens, what it survives, what it leaves behind (nothing)."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from evergreen.errors import UserError
from evergreen.settings import Settings
from evergreen.stack import health
from evergreen.stack.processes import marked
from evergreen.stack.stack import Stack

pytestmark = pytest.mark.timeout(400)

_FOREGROUND = """
import sys, time
from pathlib import Path
from typing import Any
from evergreen.stack.stack import Stack
with Stack(Path(sys.argv[1])):
    print("healthy", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack without DAGs and gateway, in a folder whose path holds a space."""
    base = tmp_path_factory.mktemp("the stack")
    project = base / "a project"
    for name in ("dags", "plugins"):
        (project / name).mkdir(parents=True)
    stack = Stack(base / "instance", project=project, workspace=project, gateway=False, extra_env={"GREETING": "hello"})
    stack.start()
    yield stack
    stack.stop()
    stack.remove()


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def _log_in(stack: Stack, password: str) -> int:
    body = json.dumps({"username": stack.airflow_user, "password": password}).encode()
    request = urllib.request.Request(
        f"{stack.airflow_url}/auth/token", data=body, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_every_component_is_healthy(stack: Stack) -> None:
    assert {part.state for part in stack.state.parts.values()} == {"healthy", "done"}
    report = health.airflow_report(stack.airflow_url)
    for component in ("metadatabase", "scheduler", "triggerer", "dag_processor"):
        assert report[component]["status"] == "healthy"
    assert health.fetch(f"{stack.mlflow_url}/health") == b"OK"
    assert health.fetch(f"{stack.airflow_url}/") is not None


def test_only_the_generated_password_opens_airflow(stack: Stack) -> None:
    assert _log_in(stack, stack.airflow_password) == 201
    assert _log_in(stack, "admin") == 401
    assert stack.airflow_password in stack.welcome(), "the first start shows it once"


def test_the_environment_serves_the_library(stack: Stack) -> None:
    settings = Settings.from_env(stack.env)
    with sa.create_engine(settings.store_url, poolclass=sa.pool.NullPool).connect() as connection:
        assert connection.execute(sa.text("select current_user")).scalar() == "evergreen"
    assert settings.mlflow_uri == stack.mlflow_url
    assert settings.lake == str(stack.instance.lake)
    assert stack.env["GREETING"] == "hello"


def connections(process: psutil.Process) -> list[Any]:
    """What a process listens on; PostgreSQL, into which root may not look, is asked itself elsewhere."""
    try:
        return process.net_connections(kind="inet")
    except psutil.AccessDenied:
        assert process.username() != "root", process
        return []


def test_nothing_listens_but_on_the_loopback(stack: Stack) -> None:
    state = stack.state
    listening = {
        connection.laddr
        for process in marked(state.mark)
        for connection in connections(process)
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert {address.port for address in listening} == {state.ports["airflow"], state.ports["mlflow"]}


def test_secrets_are_private_and_in_no_command_or_log(stack: Stack) -> None:
    assert stat.S_IMODE(stack.instance.folder.stat().st_mode) == 0o700
    for path in stack.instance.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    secrets = [stack.airflow_password, stack.gateway_key, *stack.passwords.databases.values()]
    for process in marked(stack.state.mark):
        assert not any(secret in " ".join(process.cmdline()) for secret in secrets), process
    for log in stack.instance.logs.glob("*.log"):
        text = log.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), log
        assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_second_start_is_refused(stack: Stack) -> None:
    with pytest.raises(UserError, match="runs already"):
        Stack(stack.instance.folder).start()
    with pytest.raises(UserError, match="runs already"):
        Stack(stack.instance.folder).remove()
    assert stack.state.phase == "healthy"


@pytest.mark.parametrize("name", ["triggerer", "postgres"])
def test_what_dies_is_started_again(stack: Stack, name: str) -> None:
    before = stack.state.parts[name]
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    assert _until(lambda: stack.state.parts[name].restarts == before.restarts + 1, 20)
    assert _until(lambda: {part.state for part in stack.state.parts.values()} == {"healthy", "done"}, 90)
    assert stack.state.parts[name].pid != before.pid


def test_a_killed_supervisor_leaves_no_process_and_a_killed_caller_neither(stack: Stack) -> None:
    state, password = stack.state, stack.airflow_password
    assert state.supervisor is not None
    assert len(marked(state.mark)) > 5
    os.kill(state.supervisor.pid, signal.SIGKILL)
    assert _until(lambda: not marked(state.mark), 30), marked(state.mark)
    assert not stack.is_running()
    assert stack.state.phase == "stopped"

    # The same instance again, this time below a caller of its own, with its ports, data and passwords.
    command = [sys.executable, "-c", _FOREGROUND, str(stack.instance.folder)]
    caller = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "healthy\n"
        again = Stack(stack.instance.folder)
        assert again.state.ports == state.ports
        assert again.state.mark != state.mark
        assert again.airflow_password == password
        assert password not in again.welcome()
        assert _log_in(again, password) == 201
        assert "migrate-airflow" not in again.state.parts, "done by the first start"
    finally:
        caller.kill()
        caller.communicate()
    assert _until(lambda: not again.is_running(), 40)
    assert not marked(again.state.mark)
    assert again.state.phase == "stopped"
