"""Real small processes: marks, sweeps, deaths of parents."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from evergreen.stack.processes import MARK, Identity, has_ended, marked, spawn, sweep

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)
# A child that leaves the group of its parent, as a task of Airflow does.
RUNAWAY = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
print("ready", flush=True)
"""


def _wait_for(log: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in (log.read_text() if log.exists() else ""):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_sweep_ends_what_ignores_signals_and_left_its_group(tmp_path: Path) -> None:
    mark = os.urandom(8).hex()
    env = {**os.environ, MARK: f"{mark}:part"}
    process = spawn([sys.executable, "-c", RUNAWAY], env=env, log=tmp_path / "log", cwd=tmp_path)
    _wait_for(tmp_path / "log", "ready")
    assert process.wait(20) == 0
    assert len(marked(mark)) == 1, "the runaway is found although its parent is gone"
    assert marked(f"{mark}:other") == []
    assert sweep(mark, grace_seconds=0.2) == 1
    assert marked(mark) == []


def test_a_sweep_spares_one_component(tmp_path: Path) -> None:
    mark = os.urandom(8).hex()
    sleeper = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
    children = {}
    for name in ("kept", "ended"):
        log = tmp_path / name
        children[name] = spawn(sleeper, env={**os.environ, MARK: f"{mark}:{name}"}, log=log, cwd=tmp_path)
        _wait_for(log, "ready")
    assert sweep(mark, spare=f"{mark}:kept") == 1
    assert children["ended"].wait(20) != 0 and children["kept"].poll() is None
    assert sweep(mark) == 1
    assert children["kept"].wait(20) != 0


def test_an_end_is_seen_before_the_id_is_given_up(tmp_path: Path) -> None:
    process = spawn([sys.executable, "-c", "pass"], env=os.environ, log=tmp_path / "log", cwd=tmp_path)
    deadline = time.monotonic() + 20
    while not has_ended(process):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert psutil.pid_exists(process.pid)
    assert process.wait() == 0
    assert Identity.of(process.pid) is None


def test_a_reused_id_is_another_process() -> None:
    me = Identity.of(os.getpid())
    assert me is not None
    assert me.is_alive()
    assert not Identity(me.pid, me.started - 100).is_alive()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel of Linux alone tells of a parent's death")
def test_a_child_ends_with_its_killed_parent(tmp_path: Path) -> None:
    script = """
import os, sys, time
from pathlib import Path
from evergreen.stack.processes import spawn
child = spawn([sys.executable, "-c", "import time; time.sleep(60)"], env=os.environ, log=Path("log"), cwd=Path("."))
print(child.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as parent:
        assert parent.stdout is not None
        child = Identity.of(int(parent.stdout.readline()))
        assert child is not None
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while child.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_log_is_private(tmp_path: Path) -> None:
    spawn([sys.executable, "-c", "print(1)"], env=os.environ, log=tmp_path / "log", cwd=tmp_path).wait()
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0
