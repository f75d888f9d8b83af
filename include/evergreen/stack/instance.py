"""One instance: a state folder that holds everything a stack keeps, and the lock that says it runs."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evergreen.errors import UserError
from evergreen.stack import sockets
from evergreen.stack.processes import Identity


@dataclass(frozen=True)
class Config:
    """What a stack is started with; kept in the instance, so that a later start brings the same stack back.

    Attributes:
        project: Folder with ``dags/`` and ``plugins/``.
        workspace: Folder with ``datasets/``, ``features/`` and ``models/``.
        calendar_from: First day of the ingestion calendars (ISO).
        gateway: Whether the gateway runs.
        parallelism: How many tasks run at once.
        extra_env: Variables added to the environment of every component.
    """

    project: str
    workspace: str
    calendar_from: str = "2020-01-01"
    gateway: bool = True
    parallelism: int = 8
    extra_env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Instance:
    """The folder of one instance and what stands where in it."""

    folder: Path

    @property
    def name(self) -> str:
        """The last parts of the folder, for messages."""
        return self.folder.name

    @property
    def logs(self) -> Path:
        """One log file per component, and ``tasks/`` of Airflow."""
        return self.folder / "logs"

    @property
    def lake(self) -> Path:
        """The lake's root."""
        return self.folder / "lake"

    @property
    def landing(self) -> Path:
        """Where files of sources are laid."""
        return self.folder / "landing"

    @property
    def artifacts(self) -> Path:
        """MLflow's artifacts."""
        return self.folder / "mlflow"

    @property
    def airflow_home(self) -> Path:
        """AIRFLOW_HOME."""
        return self.folder / "airflow"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's state (as root: where it stands)."""
        return self.folder / "postgres"

    @property
    def passwords(self) -> Path:
        """Generated passwords and keys, mode 600."""
        return self.folder / "passwords.json"

    @property
    def state_file(self) -> Path:
        """Ports, processes and their states, written by the supervisor."""
        return self.folder / "stack.json"

    @property
    def config_file(self) -> Path:
        """The :class:`Config` of the last start."""
        return self.folder / "config.json"

    def make(self) -> None:
        """Makes the folders, private to the user.

        Raises:
            UserError: Another user owns the folder.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        sockets.make_private(self.folder)
        for folder in (self.logs, self.lake, self.landing, self.artifacts, self.airflow_home):
            folder.mkdir(mode=0o700, exist_ok=True)

    def lock(self) -> int:
        """Takes the instance for this process, until the returned descriptor is closed or the process ends.

        Raises:
            UserError: Another supervisor holds it.
        """
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise self.refusal() from None
        return descriptor

    def refusal(self) -> UserError:
        """What to say to somebody who starts (or replaces) an instance that runs."""
        return UserError(str(self.folder), "runs already", remedy="Stop it first: make down.")

    def is_running(self) -> bool:
        """Whether a supervisor holds the lock."""
        try:
            descriptor = os.open(self.folder / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)

    def read_config(self) -> Config | None:
        """The configuration of the last start, ``None`` before the first."""
        document = _read(self.config_file)
        return Config(**document) if document else None

    def write_config(self, config: Config) -> None:
        """Keeps the configuration for this start and later ones; the same again needs no room on the disk."""
        if self.read_config() != config:
            write_private(self.config_file, asdict(config))

    def serves(self) -> bool:
        """Whether the gateway has local copies of something that it served."""
        return (self.folder / "gateway" / "routes.json").exists()

    def read_state(self) -> State | None:
        """What the supervisor wrote last, ``None`` before the first start."""
        document = _read(self.state_file)
        if not document:
            return None
        supervisor = document.pop("supervisor")
        parts = {name: Part(**part) for name, part in document.pop("parts").items()}
        return State(supervisor=Identity(**supervisor) if supervisor else None, parts=parts, **document)

    def write_state(self, state: State) -> None:
        """Replaces the state file at once; on a full disk in the room that it has."""
        text = json.dumps(asdict(state), indent=1)
        try:
            write_text(self.state_file, text)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            with self.state_file.open("r+") as file:
                file.write(text.ljust(self.state_file.stat().st_size))


@dataclass
class Part:
    """One component as the supervisor sees it.

    Attributes:
        state: ``waiting``, ``starting``, ``healthy``, ``backing off``, ``done`` (a migration), ``stopped``.
        pid: Process id while it runs.
        started: Start time of that process, seconds since the epoch.
        restarts: How often it was started again after dying.
        note: Why it died last, or waits.
    """

    state: str = "waiting"
    pid: int | None = None
    started: float | None = None
    restarts: int = 0
    note: str = ""


@dataclass
class State:
    """The stack as the supervisor sees it.

    Attributes:
        phase: ``starting``, ``healthy``, ``degraded`` (a part is in trouble, all are still tried), ``stopping``,
            ``stopped`` or ``failed``.
        mark: Random text that every process of this start carries in its environment.
        supervisor: The supervisor's process.
        ports: Port per server.
        parts: Components by name, in start order.
        error: Why it is degraded, was so when it stopped, or failed; for people.
    """

    phase: str
    mark: str
    supervisor: Identity | None = None
    ports: dict[str, int] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    error: str = ""


def write_private(path: Path, document: Mapping[str, Any]) -> None:
    """Writes JSON with mode 600, all or nothing."""
    write_text(path, json.dumps(document, indent=1))


def write_text(path: Path, text: str) -> None:
    """Writes a file with mode 600, all or nothing."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp: mode 600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise UserError(str(path), f"is not readable as JSON ({error})", remedy="Remove the file.") from error
    return dict(document)
