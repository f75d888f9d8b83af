"""Starting and ending processes so that none is left behind and none of somebody else's is hit.

Three nets, from the finest to the coarsest:

1. Every child leads a process group of its own and is stopped by that group's id.
2. On Linux the kernel signals a child when its parent dies (``PR_SET_PDEATHSIG``), even by SIGKILL.
3. Every descendant inherits ``EVERGREEN_STACK_MARK`` with a random value; a sweep ends whatever still carries it, also
   what left the group or was orphaned. The watchdog (:mod:`evergreen.stack.watchdog`) sweeps when the supervisor died.

A process is identified by its id *and* its start time, so that an id that was given away again is never signalled.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger("evergreen.stack")

MARK = "EVERGREEN_STACK_MARK"
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


@dataclass(frozen=True)
class Account:
    """The user as whom a process runs: numeric ids, no supplementary groups."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Identity:
    """One process for certain: its id and when it started (seconds since the epoch, as psutil gives it)."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The identity of a live process, ``None`` if there is none (a zombie counts as none)."""
        import psutil

        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return cls(pid, process.create_time())
        except psutil.NoSuchProcess:
            return None

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        now = Identity.of(self.pid)
        return now is not None and abs(now.started - self.started) < 0.5


def spawn(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    log: Path,
    cwd: Path,
    account: Account | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Starts a child in a group of its own that is told when its parent thread ends; output is appended to ``log``.

    Call it from a thread that lives as long as the child should: Linux counts the end of that *thread* as the parent's.

    Args:
        command: Program and arguments.
        env: The whole environment of the child.
        log: File for standard output and error, created with mode 600.
        cwd: Working folder.
        account: User to become, when running as root.
        death_signal: What the kernel sends the child when its parent dies.
        pass_fds: File descriptors that stay open in the child.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    identity: dict[str, Any] = {}
    if account is not None:
        identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
    try:
        return subprocess.Popen(
            [os.fspath(part) for part in command],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,
            pass_fds=pass_fds,
            preexec_fn=_die_with_parent(death_signal),
            **identity,
        )
    finally:
        os.close(descriptor)


def _die_with_parent(death_signal: signal.Signals) -> Any:
    # Runs in the child between fork and exec, after the change of user (which would clear the setting).
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # it died before the setting took effect
            os._exit(1)

    return arrange


def signal_group(pid: int, number: int) -> None:
    """Signals the group that the child ``pid`` leads; nothing happens if it is empty."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def end_groups(processes: Mapping[str, subprocess.Popen[bytes]], grace_seconds: float) -> None:
    """Ends children, by name, with their groups: politely, then by force."""
    for process in processes.values():
        signal_group(process.pid, signal.SIGTERM)
    left, began = dict(processes), time.monotonic()
    while left:
        patience_ended = time.monotonic() - began > grace_seconds
        for name, process in list(left.items()):
            if has_ended(process) or patience_ended:
                signal_group(process.pid, signal.SIGKILL)  # it, or what it left
                process.wait()
                del left[name]
                how = "killed" if patience_ended else "ended"
                log.info("%s %s after %.1f s", name, how, time.monotonic() - began)
        time.sleep(0.02)


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a child has ended, leaving it unreaped: until ``poll`` its id is given to no other process or group."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def marked(mark: str, sessions: set[int] | None = None, *, spare: str | None = None) -> list[Any]:
    """All live processes (``psutil.Process``) that carry this mark in their environment, without the caller itself.

    Airflow's workers and tasks make themselves non-dumpable, so that only root can read their environment. Of those
    that hide it, the ones in a session that a marked component leads count as marked.

    Args:
        mark: ``a`` stands for ``a`` and for every ``a:…`` (one component of the stack ``a``).
        sessions: Sessions known to be of this mark; those that are met are added.
        spare: A mark whose processes do not count.
    """
    import psutil

    sessions = set() if sessions is None else sessions
    found, hidden = [], []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            try:
                value = process.environ().get(MARK, "")
            except psutil.AccessDenied:
                if process.uids().real == os.getuid():
                    hidden.append(process)
                continue
            if _carries(value, mark) and not (spare is not None and _carries(value, spare)):
                found.append(process)
                if os.getsid(process.pid) == process.pid:
                    sessions.add(process.pid)
    for process in hidden:
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) in sessions:
                found.append(process)
    return found


def _carries(value: str, mark: str) -> bool:
    return value == mark or value.startswith(f"{mark}:")


def sweep(mark: str, *, grace_seconds: float = 5.0, sessions: Iterable[int] = (), spare: str | None = None) -> int:
    """Ends every process that carries ``mark``: politely first, by SIGKILL after ``grace_seconds``.

    Args:
        sessions: Of components that have ended already, whose children may hide their environment.
        spare: A mark whose processes are left alone.

    Returns:
        How many processes were found.
    """
    import psutil

    known = set(sessions)
    found = marked(mark, known, spare=spare)
    for process in found:
        with contextlib.suppress(psutil.Error):
            # PostgreSQL: SIGINT ends at once, SIGTERM waits for every client.
            process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline:
        if not marked(mark, known, spare=spare):
            break
        time.sleep(0.1)
    for _ in range(20):  # what is forked while we kill is met in the next round
        rest = marked(mark, known, spare=spare)
        if not rest:
            break
        for process in rest:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.05)
    return len(found)
