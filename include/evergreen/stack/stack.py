"""The door to the embedded stack: start one, find one that runs, stop it.

    with Stack(Path(".evergreen/demo/flights"), workspace=Path("examples/flights")) as stack:
        print(stack.airflow_url, stack.airflow_password)

The processes belong to a supervisor process of the instance (:mod:`evergreen.stack.supervisor`), never to the caller.
Within ``with`` it lives as long as the caller does; after ``start(detached=True)`` until somebody stops it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from evergreen.errors import TransientError, UserError
from evergreen.stack import disk, environment, instances, passwords, ports, restart
from evergreen.stack.components import GATEWAY
from evergreen.stack.instance import Config, Instance, Part, State
from evergreen.stack.passwords import Passwords
from evergreen.stack.postgres import EmbeddedPostgres
from evergreen.stack.processes import sweep


class Stack:
    """One instance of the embedded stack.

    Args:
        folder: The instance's state folder; made at the first start.
        workspace: Folder of the team's specs; that of the last start, else ``include/workspace`` of the clone.
        extra_env: Variables for every component; kept for later starts, where the same names replace them.
        calendar_from: First day of the ingestion calendars (ISO); that of the last start, else 2020-01-01.
        gateway: Whether the gateway runs; that of the last start, else yes.
        project: Folder with ``dags/`` and ``plugins/``; the clone by default.
        on_progress: Told in words what has happened during a start.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workspace: Path | None = None,
        extra_env: Mapping[str, str] | None = None,
        calendar_from: str | None = None,
        gateway: bool | None = None,
        project: Path | None = None,
        on_progress: Callable[[str], None] | None = None,
    ) -> None:
        self.instance = Instance(folder.absolute())
        self.workspace, self.extra_env, self.calendar_from = workspace, extra_env, calendar_from
        self.gateway, self.project = gateway, project
        self.on_progress = on_progress or (lambda text: None)
        self.new_passwords = False
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._lifeline = -1

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        state = self.instance.read_state()
        if isinstance(error, Exception) and state is not None and state.error:
            raise TransientError(state.error) from error  # why the servers were gone, rather than that they were

    def start(self, *, detached: bool = False, accept_degraded: bool = False, timeout_seconds: float = 330.0) -> Self:
        """Starts everything and returns once it is healthy.

        Args:
            detached: The stack outlives this process.
            accept_degraded: Returns too, with everything left as it is, when only the gateway has come up and has
                copies to serve from: the rest is tried on, and ``state.error`` says what keeps it.
            timeout_seconds: How long to wait for health.

        Returns:
            This stack.

        Raises:
            UserError: The instance runs already, a port that was wished for is taken, the disk is full.
            TransientError: A component did not start; the message shows the end of its log.
        """
        self.instance.make()
        if self.instance.is_running():
            raise self.instance.refusal()
        alone = accept_degraded and self.instance.serves() and self._config().gateway
        if not alone:
            disk.require_room(self.instance.folder)
            disk.require_room(EmbeddedPostgres(self.instance.postgres).data)
        last = self.instance.read_state()
        ports.choose(os.environ, last.ports if last else {})  # says what is wrong before anything was started
        self.instance.write_config(self._config())
        _, self.new_passwords = passwords.load_or_generate(self.instance.passwords)
        with contextlib.suppress(OSError) if alone else contextlib.nullcontext():
            instances.remember(self.instance.folder)
        self._spawn(detached)
        try:
            self._wait(timeout_seconds, alone=alone)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends every process of the instance and returns when none is left; nothing happens if none runs."""
        supervisor = self._supervisor
        state = self.instance.read_state() if self.instance.folder.is_dir() else None
        if supervisor is not None:
            supervisor.send_signal(signal.SIGTERM)
            self._close_lifeline()
            with contextlib.suppress(subprocess.TimeoutExpired):
                supervisor.wait(60)
            self._supervisor = None
        elif state is not None and state.supervisor is not None and self.instance.is_running():
            if state.supervisor.is_alive():
                os.kill(state.supervisor.pid, signal.SIGTERM)
            deadline = time.monotonic() + 60
            while self.instance.is_running() and time.monotonic() < deadline:
                time.sleep(0.05)
        if state is not None and not self.instance.is_running():
            sweep(state.mark)
        if self.instance.is_running():
            raise TransientError(f"{self.instance.folder} does not stop; see {self.instance.logs / 'supervisor.log'}")

    def remove(self) -> None:
        """Deletes the instance with all that it keeps.

        Raises:
            UserError: It runs.
        """
        import shutil

        if not self.instance.folder.exists():
            return
        if self.instance.is_running():
            raise self.instance.refusal()
        self.stop()  # the rest of a stack whose supervisor was killed
        EmbeddedPostgres(self.instance.postgres).remove()
        shutil.rmtree(self.instance.folder)

    def is_running(self) -> bool:
        """Whether a supervisor runs for this instance, here or elsewhere."""
        return self.instance.is_running()

    @property
    def state(self) -> State:
        """Ports, processes and their states as the supervisor wrote them last."""
        state = self.instance.read_state()
        if state is None:
            raise UserError(str(self.instance.folder), "was never started", remedy="Start it: make up.")
        if not self.instance.is_running():
            state.phase = "failed" if state.phase == "failed" else "stopped"
            state.parts = {name: Part(state="stopped", note=part.note) for name, part in state.parts.items()}
        return state

    @property
    def passwords(self) -> Passwords:
        """The instance's secrets."""
        return passwords.load_or_generate(self.instance.passwords)[0]

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's UI and REST API."""
        return environment.url(self.state.ports["airflow"])

    @property
    def airflow_user(self) -> str:
        """Airflow's user."""
        return environment.ADMIN

    @property
    def airflow_password(self) -> str:
        """The password of Airflow's user."""
        return self.passwords.airflow

    @property
    def mlflow_url(self) -> str:
        """Address of MLflow's UI and API."""
        return environment.url(self.state.ports["mlflow"])

    @property
    def gateway_url(self) -> str:
        """Address of the gateway."""
        return environment.url(self.state.ports["gateway"])

    @property
    def gateway_key(self) -> str:
        """The gateway's API key."""
        return self.passwords.gateway

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the store's database (a secret)."""
        return EmbeddedPostgres(self.instance.postgres).url("evergreen", self.passwords.databases["evergreen"])

    @property
    def env(self) -> dict[str, str]:
        """The whole environment for calls of the library beside the stack (``Settings.from_env(stack.env)``)."""
        config = self.instance.read_config() or self._config()
        library = environment.library(self.instance, config, self.passwords, self.state.ports, self.store_url)
        return {**environment.base(os.environ), **library}

    @property
    def airflow_env(self) -> dict[str, str]:
        """:attr:`env` and what the ``airflow`` program needs to work on this instance."""
        config = self.instance.read_config() or self._config()
        database = EmbeddedPostgres(self.instance.postgres).url("airflow", self.passwords.databases["airflow"])
        return {
            **self.env,
            **environment.airflow(self.instance, config, self.passwords, self.state.ports, database),
        }

    def welcome(self) -> str:
        """Where everything is and how to log in, for people; shows the password only at the very first start."""
        secret = self.airflow_password if self.new_passwords else f"see {_shown(self.instance.passwords)}"
        lines = [
            f"Airflow   {self.airflow_url}   user {environment.ADMIN}, password: {secret}",
            f"MLflow    {self.mlflow_url}",
        ]
        if GATEWAY in self.state.parts:
            lines.append(f"Gateway   {self.gateway_url}   API key: see {_shown(self.instance.passwords)}")
        lines.append(f"State     {_shown(self.instance.folder)}   logs in {_shown(self.instance.logs)}")
        return "\n".join(lines)

    def _config(self) -> Config:
        last = self.instance.read_config()
        project = self.project or (Path(last.project) if last else instances.project())
        if last and not project.is_dir():
            project = instances.project()  # the clone was moved
        workspace = self.workspace or (Path(last.workspace) if last else project / "include" / "workspace")
        return Config(
            project=str(project.absolute()),
            workspace=str(workspace.absolute()),
            calendar_from=self.calendar_from or (last.calendar_from if last else Config.calendar_from),
            gateway=self.gateway if self.gateway is not None else (last.gateway if last else True),
            extra_env={**(last.extra_env if last else {}), **(self.extra_env or {})},
        )

    def _spawn(self, detached: bool) -> None:
        reader = -1
        arguments = [sys.executable, "-m", "evergreen.stack.supervisor", str(self.instance.folder)]
        if not detached:
            reader, self._lifeline = os.pipe()
            arguments.append(str(reader))
        log = os.open(self.instance.logs / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._supervisor = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[] if detached else [reader],
                cwd=self.instance.folder,
                start_new_session=True,  # Ctrl-C in a terminal reaches the caller alone, who then stops the stack
            )
        finally:
            os.close(log)
            if reader >= 0:
                os.close(reader)

    def _wait(self, timeout_seconds: float, *, alone: bool) -> None:
        assert self._supervisor is not None
        began, told = time.monotonic(), set[str]()
        while True:
            code = self._supervisor.poll()
            state = self.instance.read_state()
            fresh = state is not None and state.supervisor is not None and state.supervisor.pid == self._supervisor.pid
            if code is not None:
                self._raise_failure(code, state if fresh else None)
            if state is not None and fresh:
                for name, part in state.parts.items():
                    if part.state in ("healthy", "done") and name not in told:
                        told.add(name)
                        self.on_progress(f"{name} {part.state} after {time.monotonic() - began:.0f} s")
                if state.phase == "healthy" or (alone and _only_serves(state)):
                    return
                if state.phase == "degraded" and not (alone and _may_serve_yet(state)):
                    raise TransientError(state.error)
            if time.monotonic() - began > timeout_seconds:
                raise TransientError(f"not healthy after {timeout_seconds:.0f} s; see {self.instance.logs}")
            time.sleep(0.05)

    def _raise_failure(self, code: int, state: State | None) -> None:
        if code == 3:
            raise self.instance.refusal()
        log = self.instance.logs / "supervisor.log"
        raise TransientError(state.error if state and state.error else f"{log} ends with:\n{disk.tail(log)}")

    def _close_lifeline(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1


def _only_serves(state: State) -> bool:
    """Whether the gateway is well and something else is in trouble."""
    return state.phase == "degraded" and state.parts[GATEWAY].state == "healthy"


def _may_serve_yet(state: State) -> bool:
    """Whether it is not the gateway itself that dies again and again."""
    return state.parts[GATEWAY].restarts < restart.MOST_DEATHS


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
