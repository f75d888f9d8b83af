"""Starts the components in order, restarts what dies, ends all of them: the process behind a running stack.

Run as ``python -m evergreen.stack.supervisor <folder> [<descriptor>]``. With a descriptor (the reading end of a pipe
that the caller holds) it stops as soon as the caller ends, however that happened; without one it stays until SIGTERM.

The gateway comes first, waits for nothing, and goes last. Of the rest nothing is given up: a PostgreSQL that does not
start, a migration that fails, a disk without room are told (``degraded``) and tried again, while the gateway answers.

It watches processes, not answers: a component that hangs but lives is shown as it is and not restarted.
"""

from __future__ import annotations

import contextlib
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

from evergreen.errors import EvergreenError, TransientError, UserError
from evergreen.stack import components as parts_list
from evergreen.stack import disk, environment, health, migrations, passwords, ports, restart
from evergreen.stack.components import GATEWAY, POSTGRES, Component
from evergreen.stack.guard import Guard
from evergreen.stack.instance import Config, Instance, Part, State, write_private
from evergreen.stack.phase import WELL, is_over, phase_of
from evergreen.stack.postgres import EmbeddedPostgres
from evergreen.stack.preparing import Preparation
from evergreen.stack.processes import MARK, Identity, end_groups, has_ended, signal_group, spawn, sweep

log = logging.getLogger("evergreen.stack")

TICK_SECONDS = 0.1
START_TIMEOUT_SECONDS = 300.0
POSTGRES_TIMEOUT_SECONDS = 60.0
STOP_GRACE_SECONDS = 5.0
DISK_CHECK_SECONDS = 5.0
SETTLED_SECONDS = 20.0  # a part that was in trouble and has been well for so long is in trouble no more
RESERVE_BYTES = 65_536  # given back at the end, so that a full disk still takes the reason


class Supervisor:
    """Owns the processes of one instance; starts them from one thread, because children are told of the end of theirs.

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
        self.troubles: dict[str, str] = {}
        self.shortage = ""
        self.stopping = False
        self._config: Config | None = None
        self._secrets: passwords.Passwords | None = None
        self._preparation: Preparation | None = None
        self._schemas: dict[str, str] = {}
        self._reserve = instance.folder / ".reserve"
        self._guard = Guard(self.state.mark)
        self._began = self._checked_disk = time.monotonic()

    def run(self) -> int:
        """Starts everything, watches until told to stop, stops everything; the process's exit code."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        code = 0
        try:
            self._begin()
            while not self.stopping:
                self._tick()
                self._pause()
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

    def _begin(self) -> None:
        """What must be there for anything; the gateway is the first to start after it."""
        before = self.instance.read_state()
        if before is not None:
            sweep(before.mark)  # the rest of a stack that was killed a moment ago
        config = self._config = self.instance.read_config()
        if config is None:
            raise TransientError(f"{self.instance.config_file} is missing")
        secrets = self._secrets = passwords.load_or_generate(self.instance.passwords)[0]
        self.state.ports = ports.choose(self.environ, before.ports if before else {})
        if not self.postgres.is_placed:
            self.postgres.settle()  # never done before, so that the gateway has nothing to serve without it
        self._guard.look()
        if config.gateway:
            store_url = self.postgres.url("evergreen", secrets.databases["evergreen"])
            arguments = (self.instance, config, secrets, self.state.ports, store_url, self.environ)
            self._add(parts_list.gateway(*arguments))
            self._start_what_may()
        with contextlib.suppress(OSError):
            self._reserve.touch(mode=0o600)
            self._reserve.write_bytes(bytes(RESERVE_BYTES))
        self.state.parts[POSTGRES] = Part()
        self._look_at_room(disk.LEAST_FREE_MB)
        self._judge()
        self._save()

    def _tick(self) -> None:
        """One look at everything. Whatever fails here is told and tried again: the gateway must not end by it."""
        try:
            changed = self._look_for_deaths()
            if time.monotonic() - self._checked_disk > DISK_CHECK_SECONDS:
                changed |= self._look_at_room(disk.LEAST_FREE_MB if self.shortage else disk.LAST_FREE_MB)
            if not self.shortage:
                changed |= self._look_after_postgres()
            changed |= self._start_what_may() | self._look_for_health()
            self.troubles.pop("the supervisor", None)
        except (EvergreenError, OSError) as error:
            if "the supervisor" not in self.troubles:
                log.exception("The supervisor failed and goes on")
            self.troubles["the supervisor"] = f"the supervisor failed: {error}"
            changed = True
        if self._judge() or changed:
            self._save()

    def _judge(self) -> bool:
        """Brings the phase up to date; gives whether it or its reasons have changed."""
        state, waited = self.state, time.monotonic() - self._began
        for name, part in state.parts.items():
            if is_over(part, time.time(), settled_seconds=SETTLED_SECONDS):
                self.troubles.pop(name, None)
        if state.phase == "starting" and waited > START_TIMEOUT_SECONDS:
            for name, part in state.parts.items():
                if part.state not in WELL:
                    text = f"{name} is not healthy after {waited:.0f} s; see {self.instance.logs}"
                    self.troubles.setdefault(name, text)
        told = [text for text in (self.shortage, *self.troubles.values()) if text]
        before = (state.phase, state.error)
        state.phase, state.error = phase_of(state.parts, told, state.phase), "\n".join(told)
        if state.phase != before[0]:
            log.info("The stack is %s after %.1f s", state.phase, waited)
            if state.phase == "healthy":
                with contextlib.suppress(OSError):  # else the next start migrates again, which finds nothing to do
                    migrations.note(self.instance, self._schemas)
        if state.error not in ("", before[1]):
            log.error("In trouble: %s", state.error)
        return (state.phase, state.error) != before

    def _look_at_room(self, least_free_mb: int) -> bool:
        """Stops all but the gateway when the disk is about to be full, and lets it start again when there is room."""
        self._checked_disk = time.monotonic()
        shortage = ""
        try:
            for folder in (self.instance.folder, self.postgres.data):  # as root the data may stand on another disk
                disk.require_room(folder, least_free_mb)
        except UserError as error:
            shortage = f"All but the gateway waits for room: {error}"
        if bool(shortage) == bool(self.shortage):
            return False
        self.shortage = shortage
        if shortage:
            log.error("%s", shortage)
            self._end_rest()
        else:
            log.info("There is room on the disk again")
            self._began = time.monotonic()
        for name, part in self.state.parts.items():
            if name != GATEWAY and part.state != "done":
                part.state, part.note = "waiting", "no room on the disk" if shortage else ""
        return True

    def _pause(self) -> None:
        watched = [] if self.lifeline is None else [self.lifeline]
        with contextlib.suppress(InterruptedError):
            ready, _, _ = select.select(watched, [], [], TICK_SECONDS)
            if ready and not os.read(ready[0], 1):
                self.stopping = True

    def _add(self, component: Component) -> None:
        self.components[component.name] = component
        self.state.parts.setdefault(component.name, Part())

    def _may_start(self, name: str) -> bool:
        part = self.state.parts[name]
        if part.state == "backing off":
            return time.monotonic() >= self.not_before[name]
        return part.state == "waiting"

    def _start_what_may(self) -> bool:
        changed = False
        for name, component in self.components.items():
            if not self._may_start(name) or (self.shortage and name != GATEWAY):
                continue
            if any(self.state.parts[other].state not in WELL for other in component.after):
                continue
            changed = True
            try:
                process = spawn(
                    component.command,
                    env={**component.env, MARK: self._mark_of(name)},
                    log=self.instance.logs / f"{name}.log",
                    cwd=self.instance.folder,
                )
            except OSError as error:
                self._after_failure(name, f"{name} could not be started: {error}", once=component.once)
                continue
            self._note_start(name, process)
        return changed

    def _look_after_postgres(self) -> bool:
        """Prepares it beside this loop, then starts it; ends a start that does not get ready."""
        part = self.state.parts[POSTGRES]
        if self._preparation is not None:
            if self._preparation.is_alive():
                return False
            error, self._preparation = self._preparation.error, None
            if error:
                self._after_failure(POSTGRES, f"PostgreSQL cannot be started: {error}")
            else:
                self._note_start(POSTGRES, self.postgres.spawn({MARK: self._mark_of(POSTGRES)}))
            return True
        if self._may_start(POSTGRES):
            self._preparation = Preparation(self.postgres)
            part.state = "starting"
            return True
        since = time.time() - (part.started or time.time())
        if part.state == "starting" and since > POSTGRES_TIMEOUT_SECONDS:
            self._end_postgres(f"PostgreSQL does not answer after {since:.0f} s.")
            return True
        return False

    def _open_databases(self) -> None:
        """Once PostgreSQL answers: its databases, and the first time the list of what is to run on them."""
        assert self._config is not None and self._secrets is not None
        relaxed = {"synchronous_commit": "off"}  # Airflow's own bookkeeping may lose the last moment in a power cut
        urls = {
            name: self.postgres.create_database(name, secret, settings=relaxed if name == "airflow" else None)
            for name, secret in self._secrets.databases.items()
        }
        if self._schemas:
            return
        write_private(
            self.instance.airflow_home / "simple_auth_passwords.json", {environment.ADMIN: self._secrets.airflow}
        )
        schemas = parts_list.schemas()
        migrated = set(migrations.done(self.instance, schemas))
        if not self.postgres.has_tables("mlflow"):
            migrated.add("mlflow")  # its server makes the tables of an empty database itself
        where = (self.instance, self._config, self._secrets, self.state.ports)
        arguments = (*where, urls, self.environ, frozenset(migrated))
        for component in parts_list.plan(*arguments):
            self._add(component)
        self._schemas = schemas

    def _note_start(self, name: str, process: subprocess.Popen[bytes]) -> None:
        identity = Identity.of(process.pid)
        part = self.state.parts[name]
        if self.deaths.get(name):
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
            component = self.components.get(name)
            if component is not None and component.once and code == 0:
                part = self.state.parts[name]
                part.state, part.pid, part.started = "done", None, None
                if component.opens is not None:
                    component.opens.touch()
                continue
            reason = f"{name} ended with code {code}. {disk.explain(self._tail(name))}".strip()
            self._after_failure(name, reason, once=component is not None and component.once)
        self._guard.look()
        return changed

    def _after_failure(self, name: str, reason: str, *, once: bool = False) -> None:
        """Plans the next start; one that failed again and again, or a migration, is a trouble that people are told."""
        part, now = self.state.parts[name], time.monotonic()
        deaths = self.deaths.setdefault(name, [])
        deaths.append(now)
        wait = restart.delay(deaths, now)
        part.state, part.pid, part.started, part.note = "backing off", None, None, reason
        self.not_before[name] = now + wait
        log.warning("%s It starts again in %.1f s", reason, wait)
        if once or restart.recent(deaths, now) > restart.MOST_DEATHS:
            path = self.instance.logs / f"{name}.log"
            self.troubles[name] = f"{reason} It is tried again. Its log {path} ends with:\n{self._tail(name)}"

    def _look_for_health(self) -> bool:
        report: dict[str, object] | None = None
        changed = False
        for name, part in list(self.state.parts.items()):
            if part.state != "starting" or name not in self.processes:
                continue
            if name == POSTGRES:
                changed |= self._is_postgres_ready()
                continue
            if self.components[name].once:
                continue
            if report is None:
                report = health.airflow_report(environment.url(self.state.ports["airflow"]))
            if self.components[name].probe(report, part.started or 0.0):
                part.state, changed = "healthy", True
                log.info("%s is healthy", name)
        return changed

    def _is_postgres_ready(self) -> bool:
        try:
            self.postgres.wait_ready(timeout_seconds=0)
        except TransientError:
            return False
        try:
            self._open_databases()
        except Exception as error:  # psycopg2's among them; whatever it is, it is tried again
            self._end_postgres(f"PostgreSQL answers, but its databases cannot be made ready: {error}")
        else:
            self.state.parts[POSTGRES].state = "healthy"
            log.info("PostgreSQL is healthy")
        return True

    def _end_postgres(self, reason: str) -> None:
        del self.processes[POSTGRES]
        self.postgres.stop()
        self._after_failure(POSTGRES, reason)

    def _stop(self, *, failed: bool) -> None:
        self._reserve.unlink(missing_ok=True)
        if not failed:
            self.state.phase = "stopping"
        self._save()
        self._end_rest()
        end_groups(self.processes, STOP_GRACE_SECONDS)  # only the gateway is left
        sweep(self.state.mark)
        for part in self.state.parts.values():
            part.state, part.pid, part.started = "stopped", None, None
        if not failed:
            self.state.phase = "stopped"
        self._save()
        self._guard.end()
        log.info("The stack stopped")

    def _end_rest(self) -> None:
        """Ends all but the gateway, PostgreSQL last, and forgets what they died of."""
        rest = {name: process for name, process in self.processes.items() if name not in (GATEWAY, POSTGRES)}
        sessions = [process.pid for process in rest.values()]
        end_groups(rest, STOP_GRACE_SECONDS)
        if self._preparation is not None:
            self._preparation.join(POSTGRES_TIMEOUT_SECONDS)
            self._preparation = None
        self.postgres.stop()
        # What left its group: Airflow's tasks lead groups of their own.
        sweep(self.state.mark, sessions=sessions, spare=self._mark_of(GATEWAY))
        log.info("All but the gateway has ended")
        for name, part in self.state.parts.items():
            if name != GATEWAY:
                self.processes.pop(name, None)
                self.deaths.pop(name, None)
                self.troubles.pop(name, None)
                part.pid = part.started = None

    def _tail(self, name: str) -> str:
        return disk.tail(self.instance.logs / f"{name}.log")

    def _mark_of(self, name: str) -> str:
        return f"{self.state.mark}:{name}"

    def _save(self) -> None:
        with contextlib.suppress(OSError):  # a full disk must not keep processes running, nor end them
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
