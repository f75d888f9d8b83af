"""Starts the components in order, restarts what dies, ends all of them: the process behind a running stack.

Run as ``python -m evergreen.stack.supervisor <folder> [<descriptor>]``. With a descriptor (the reading end of a pipe
that the caller holds) it stops as soon as the caller ends, however that happened; without one it stays until SIGTERM.

It watches processes, not answers: a component that hangs but lives is shown as it is and not restarted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from evergreen.errors import EvergreenError, TransientError
from evergreen.stack import components as parts_list
from evergreen.stack import disk, environment, health, passwords, ports, restart
from evergreen.stack.components import POSTGRES, Component
from evergreen.stack.instance import Instance, Part, State, write_private
from evergreen.stack.postgres import EmbeddedPostgres
from evergreen.stack.processes import MARK, Identity, has_ended, signal_group, spawn, sweep

log = logging.getLogger("evergreen.stack")

TICK_SECONDS = 0.1
START_TIMEOUT_SECONDS = 300.0
STOP_GRACE_SECONDS = 5.0
DISK_CHECK_SECONDS = 5.0
RESERVE_BYTES = 65_536  # given back at the end, so that a full disk still takes the reason
LAST_FREE_MB = 50  # below it the stack stops by itself, while it still can write what happened


class Supervisor:
    """Owns the processes of one instance; single-threaded, because children are told of the end of their thread.

    Args:
        instance: The instance, whose lock this process holds.
        environ: The caller's environment.
        lifeline: Descriptor whose end of file means that the caller is gone.
    """

    def __init__(self, instance: Instance, environ: Mapping[str, str], lifeline: int | None = None) -> None:
        self.instance = instance
        self.environ = environ
        self.lifeline = lifeline
        self.state = State(phase="starting", mark=os.urandom(12).hex(), supervisor=Identity.of(os.getpid()))
        self.postgres = EmbeddedPostgres(instance.postgres, log=instance.logs / "postgres.log")
        self.components: dict[str, Component] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.deaths: dict[str, list[float]] = {}
        self.not_before: dict[str, float] = {}
        self.stopping = False
        self._reserve = instance.folder / ".reserve"
        self._schemas: dict[str, str] = {}
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    def run(self) -> int:
        """Starts everything, watches until told to stop, stops everything; the process's exit code."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        code = 0
        try:
            self._start()
            self._watch()
        except (EvergreenError, OSError) as error:
            code = 1
            self.state.phase = "failed"
            self.state.error = f"{disk.explain(str(error))} {error}".strip()
            log.error("The stack stopped: %s", self.state.error)
        finally:
            self._stop(failed=code != 0)
        return code

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _start(self) -> None:
        self._require_room(disk.LEAST_FREE_MB)
        before = self.instance.read_state()
        if before is not None:
            sweep(before.mark)  # the rest of a stack that was killed a moment ago
        config = self.instance.read_config()
        if config is None:
            raise TransientError(f"{self.instance.config_file} is missing")
        secrets, _ = passwords.load_or_generate(self.instance.passwords)
        self.state.ports = ports.choose(self.environ, before.ports if before else {})
        self.state.parts[POSTGRES] = Part()
        self._reserve.touch(mode=0o600)
        self._reserve.write_bytes(bytes(RESERVE_BYTES))
        self._guard()
        self._save()
        began = time.monotonic()
        self.postgres.prepare()
        self._start_postgres()
        self.postgres.wait_ready()
        relaxed = {"synchronous_commit": "off"}  # Airflow's own bookkeeping may lose the last moment in a power cut
        urls = {
            name: self.postgres.create_database(name, secret, settings=relaxed if name == "airflow" else None)
            for name, secret in secrets.databases.items()
        }
        self.state.parts[POSTGRES].state = "healthy"
        log.info("PostgreSQL answered after %.1f s", time.monotonic() - began)
        write_private(self.instance.airflow_home / "simple_auth_passwords.json", {environment.ADMIN: secrets.airflow})
        self._schemas = parts_list.schemas()
        listed = parts_list.plan(self.instance, config, secrets, self.state.ports, urls, self.environ, self._migrated())
        self.components = {component.name: component for component in listed}
        self.state.parts.update({component.name: Part() for component in listed})
        self._save()

    def _watch(self) -> None:
        began, checked_disk = time.monotonic(), time.monotonic()
        while not self.stopping:
            changed = self._look_for_deaths() | self._start_what_may() | self._look_for_health()
            waited = time.monotonic() - began
            if self.state.phase == "starting":
                if all(part.state in ("healthy", "done") for part in self.state.parts.values()):
                    self.state.phase, changed = "healthy", True
                    self._note_migrated()
                    log.info("The stack was healthy after %.1f s", waited)
                elif waited > START_TIMEOUT_SECONDS:
                    late = [name for name, part in self.state.parts.items() if part.state not in ("healthy", "done")]
                    raise TransientError(
                        f"{', '.join(late)} not healthy after {waited:.0f} s; see {self.instance.logs}"
                    )
            if time.monotonic() - checked_disk > DISK_CHECK_SECONDS:
                checked_disk = time.monotonic()
                self._require_room(LAST_FREE_MB)
            if changed:
                self._save()
            self._pause()

    def _require_room(self, least_free_mb: int) -> None:
        for folder in (self.instance.folder, self.postgres.data):  # as root the data may stand on another disk
            disk.require_room(folder, least_free_mb)

    def _pause(self) -> None:
        watched = [] if self.lifeline is None else [self.lifeline]
        with contextlib.suppress(InterruptedError):
            ready, _, _ = select.select(watched, [], [], TICK_SECONDS)
            if ready and not os.read(ready[0], 1):
                self.stopping = True

    def _start_what_may(self) -> bool:
        changed = False
        for name, component in self.components.items():
            part = self.state.parts[name]
            if part.state == "backing off" and time.monotonic() < self.not_before[name]:
                continue
            if part.state not in ("waiting", "backing off"):
                continue
            if any(self.state.parts[other].state not in ("healthy", "done") for other in component.after):
                continue
            process = spawn(
                component.command,
                env={**component.env, MARK: self._mark_of(name)},
                log=self.instance.logs / f"{name}.log",
                cwd=self.instance.folder,
            )
            self._note_start(name, process)
            changed = True
        if self.state.parts[POSTGRES].state == "backing off" and time.monotonic() >= self.not_before[POSTGRES]:
            self.postgres.prepare()
            self._start_postgres()
            changed = True
        return changed

    def _start_postgres(self) -> None:
        self._note_start(POSTGRES, self.postgres.spawn({MARK: self._mark_of(POSTGRES)}))

    def _note_start(self, name: str, process: subprocess.Popen[bytes]) -> None:
        identity = Identity.of(process.pid)
        part = self.state.parts[name]
        if part.state == "backing off":
            part.restarts += 1
        part.state, part.pid, part.started = "starting", process.pid, identity.started if identity else time.time()
        self.processes[name] = process
        log.info("Started %s as process %s", name, process.pid)

    def _look_for_deaths(self) -> bool:
        changed = False
        for name, process in list(self.processes.items()):
            if not has_ended(process):
                continue
            signal_group(process.pid, signal.SIGKILL)  # children that it left
            code = process.wait()
            sweep(self._mark_of(name), grace_seconds=0, sessions=[process.pid])  # and those that left its group
            changed = True
            del self.processes[name]
            part = self.state.parts[name]
            part.pid = part.started = None
            component = self.components.get(name)
            if component is not None and component.once and code == 0:
                part.state = "done"
                if component.opens is not None:
                    component.opens.touch()
                continue
            self._after_death(name, code, once=component is not None and component.once)
        if self._watchdog is not None and self._watchdog.poll() is not None:
            log.warning("The watchdog died and was started again")
            self._guard()
        return changed

    def _after_death(self, name: str, code: int, *, once: bool) -> None:
        part = self.state.parts[name]
        path = self.instance.logs / f"{name}.log"
        last = disk.tail(path)
        reason = f"{name} ended with code {code}. {disk.explain(last)}".strip()
        self.deaths.setdefault(name, []).append(time.monotonic())
        wait = restart.delay(self.deaths[name], time.monotonic())
        part.note = reason
        if self.state.phase == "starting" and (once or len(self.deaths[name]) > 2):
            raise TransientError(f"{reason} Its log {path} ends with:\n{last}")
        if wait is None:
            part.state, self.state.phase = "failed", "degraded"
            log.error("%s It died too often and was given up; see %s", reason, path)
            return
        part.state = "backing off"
        self.not_before[name] = time.monotonic() + wait
        log.warning("%s It starts again in %.1f s", reason, wait)

    def _look_for_health(self) -> bool:
        waiting = [name for name, part in self.state.parts.items() if part.state == "starting"]
        report: dict[str, object] | None = None
        changed = False
        for name in waiting:
            part = self.state.parts[name]
            if name == POSTGRES:
                with contextlib.suppress(TransientError):
                    self.postgres.wait_ready(timeout_seconds=0)
                    part.state, changed = "healthy", True
                continue
            if self.components[name].once:
                continue
            if report is None:
                report = health.airflow_report(environment.url(self.state.ports["airflow"]))
            if self.components[name].probe(report, part.started or 0.0):
                part.state, changed = "healthy", True
                log.info("%s is healthy", name)
        return changed

    def _guard(self) -> None:
        if self._pipe < 0:
            self._reader, self._pipe = os.pipe()
        self._watchdog = subprocess.Popen(
            [sys.executable, "-m", "evergreen.stack.watchdog", str(self._reader), self.state.mark],
            pass_fds=[self._reader],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def _migrated(self) -> frozenset[str]:
        path = self.instance.folder / "schemas.json"
        done = json.loads(path.read_text()) if path.exists() else {}
        names = {name for name, version in self._schemas.items() if done.get(name) == version}
        if not self.postgres.has_tables("mlflow"):
            names.add("mlflow")  # its server makes the tables of an empty database itself
        return frozenset(names)

    def _note_migrated(self) -> None:
        write_private(self.instance.folder / "schemas.json", self._schemas)

    def _stop(self, *, failed: bool) -> None:
        self._reserve.unlink(missing_ok=True)
        if not failed:
            self.state.phase = "stopping"
        self._save_if_possible()
        others = {name: process for name, process in self.processes.items() if name != POSTGRES}
        sessions = [process.pid for process in others.values()]
        for process in others.values():
            signal_group(process.pid, signal.SIGTERM)
        began = time.monotonic()
        while others:
            patience_ended = time.monotonic() - began > STOP_GRACE_SECONDS
            for name, process in list(others.items()):
                if has_ended(process) or patience_ended:
                    signal_group(process.pid, signal.SIGKILL)  # it, or what it left
                    process.wait()
                    del others[name]
                    log.info(
                        "%s %s after %.1f s", name, "killed" if patience_ended else "ended", time.monotonic() - began
                    )
            time.sleep(0.02)
        self.postgres.stop()
        sweep(self.state.mark, sessions=sessions)  # what left its group: Airflow's tasks lead groups of their own
        for part in self.state.parts.values():
            part.state, part.pid, part.started = "stopped", None, None
        if not failed:
            self.state.phase = "stopped"
        self._save_if_possible()
        if self._watchdog is not None:
            os.close(self._pipe)
            self._watchdog.wait()
        log.info("The stack stopped")

    def _mark_of(self, name: str) -> str:
        return f"{self.state.mark}:{name}"

    def _save_if_possible(self) -> None:
        with contextlib.suppress(OSError):  # a full disk must not keep processes running
            self._save()

    def _save(self) -> None:
        self.instance.write_state(self.state)


def main() -> None:
    """Entry point of the supervisor's process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    instance = Instance(Path(sys.argv[1]))
    lifeline = int(sys.argv[2]) if len(sys.argv) > 2 else None
    try:
        lock = instance.lock()
    except EvergreenError as error:
        log.error("%s", error)
        sys.exit(3)
    code = Supervisor(instance, os.environ, lifeline).run()
    os.close(lock)
    sys.exit(code)


if __name__ == "__main__":
    main()
