"""PostgreSQL without an installation: programs from a wheel, scram passwords, a private socket, no TCP port."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from evergreen.errors import TransientError, UserError
from evergreen.stack import programs, sockets
from evergreen.stack.processes import Identity, spawn

_SUPERUSER = "postgres"
_HBA = "# Only the socket, only with a password.\nlocal all all scram-sha-256\n"
# Tests only: a power cut may destroy such a database.
_VOLATILE_KIND = "volatile"
_VOLATILE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class EmbeddedPostgres:
    """One PostgreSQL server whose state stands below ``folder``.

    As root, data and socket stand below ``/var/lib/evergreen`` instead (the server runs as ``nobody``) and ``folder``
    holds a file ``place`` that says where. It starts, stops and makes databases; it does not restart what dies (the
    supervisor does) and does not guard against two starts at once (whoever owns ``folder`` does).

    Args:
        folder: State folder, made with mode 700.
        durable: ``False`` gives up safety against power cuts for speed (tests).
        log: Log file; ``postgres.log`` in ``folder`` by default.
    """

    def __init__(self, folder: Path, *, durable: bool = True, log: Path | None = None) -> None:
        self.folder = folder.absolute()
        self.durable = durable
        self.log = log or self.folder / "postgres.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._socket: Path | None = None

    @property
    def place(self) -> Path:
        """The folder that holds ``data``: ``folder`` itself, or root's place below ``/var/lib/evergreen``."""
        note = self.folder / "place"
        return Path(note.read_text().strip()) if note.exists() else self.folder

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return self.place / "data"

    @property
    def socket_folder(self) -> Path:
        """The folder of the socket, mode 700."""
        if self._socket is None:
            self._socket = sockets.choose(self.place, os.environ, os.geteuid())
        return self._socket

    @property
    def is_placed(self) -> bool:
        """Whether :meth:`settle` has run once, so that addresses are known and stay."""
        return programs.server_account() is None or (self.folder / "place").exists()

    def start(self, timeout_seconds: float = 60.0) -> None:
        """Makes the data if there is none, starts the server and waits until it answers."""
        self.prepare()
        self.spawn()
        self.wait_ready(timeout_seconds)

    def settle(self) -> None:
        """Makes the folders, and as root chooses, once, where the data stands.

        Raises:
            UserError: The folder belongs to another user, or what it says is elsewhere is gone.
        """
        sockets.make_private(self.folder)
        account = programs.server_account()
        if account is not None and not self.is_placed:
            if (self.folder / "data").exists():
                raise UserError(str(self.folder), "was made by another user than root", remedy="Remove it or be them.")
            programs.open_folder(programs.SHARED)
            _remove_abandoned(programs.SHARED)
            kind = "server" if self.durable else _VOLATILE_KIND
            place = programs.SHARED / f"{kind}-{secrets.token_hex(6)}"
            place.mkdir(mode=0o700)
            os.chown(place, account.uid, account.gid)
            (self.folder / "place").write_text(f"{place}\n")
        if account is not None and not self.place.is_dir():
            raise UserError(str(self.place), "holds the data of this instance but is gone", remedy="Start a new one.")
        self.socket_folder.mkdir(mode=0o700, exist_ok=True)
        self.socket_folder.chmod(0o700)
        if account is not None:
            os.chown(self.socket_folder, account.uid, account.gid)

    def prepare(self) -> None:
        """Everything before the server's start: :meth:`settle`, initdb at the first time, an old server's remains.

        Raises:
            UserError: The folder belongs to another user, the data to a version that is not there, or data that was
                made is gone or damaged: it is never made anew by itself.
        """
        self.settle()
        made = self.folder / "made"
        if (self.data / "PG_VERSION").exists():
            if not made.exists():
                made.touch(mode=0o600)
        elif made.exists():
            raise UserError(
                f"the data of PostgreSQL in {self.data}",
                "must have a file PG_VERSION, but it is damaged or gone",
                remedy="Restore it from a copy; a new instance would begin with an empty database.",
            )
        else:
            self._initialise()
            made.touch(mode=0o600)
        self._end_predecessor()

    def spawn(self, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts the server process without waiting for it; ``env`` is added to its environment."""
        major = (self.data / "PG_VERSION").read_text().strip()
        options = [
            "listen_addresses=",
            f"unix_socket_directories={self.socket_folder}",
            "unix_socket_permissions=0700",
            "max_connections=200",
            "timezone=UTC",
            "log_timezone=UTC",
            *(() if self.durable else _VOLATILE),
        ]
        arguments = [part for option in options for part in ("-c", option)]
        self.process = spawn(
            [programs.bin_folder(major) / "postgres", "-D", self.data, *arguments],
            env={**self._environment(), **(env or {})},
            log=self.log,
            cwd=self.place if programs.server_account() is None else Path("/"),
            account=programs.server_account(),
            death_signal=signal.SIGINT,
        )
        return self.process

    def wait_ready(self, timeout_seconds: float = 60.0) -> None:
        """Waits until the server takes connections.

        Raises:
            TransientError: It ended or did not answer in time; the message shows the end of its log.
        """
        import psycopg2

        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                self.connect().close()
                return
            except psycopg2.OperationalError as error:
                ended = self.process is not None and self.process.poll() is not None
                if ended or time.monotonic() > deadline:
                    last = self.log.read_text(errors="replace")[-1500:] if self.log.exists() else str(error)
                    raise TransientError(f"PostgreSQL did not start; {self.log} ends with:\n{last}") from error
            time.sleep(0.02)

    def stop(self, timeout_seconds: float = 20.0) -> None:
        """Ends the server at once but cleanly (SIGINT: PostgreSQL's fast shutdown)."""
        if self.process is None:
            return
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
            try:
                self.process.wait(timeout_seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        self.process = None

    def remove(self) -> None:
        """Deletes the data, the socket folder and ``folder``; the server must have been stopped."""
        if self.folder.exists():
            shutil.rmtree(self.socket_folder, ignore_errors=True)
            shutil.rmtree(self.place, ignore_errors=True)
            shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, database: str = "postgres") -> Any:
        """A psycopg2 connection as the server's administrator."""
        import psycopg2

        return psycopg2.connect(
            host=str(self.socket_folder),
            user=_SUPERUSER,
            password=(self.folder / "superuser").read_text().strip(),
            dbname=database,
            connect_timeout=5,
        )

    def create_database(self, name: str, password: str | None = None, *, settings: dict[str, str] | None = None) -> str:
        """Makes a database that a role of the same name owns and nobody else may enter; makes an existing one so.

        Args:
            name: Name of database and role.
            password: The role's password; a new one is generated if omitted.
            settings: Parameters for every session in it, such as ``synchronous_commit``.

        Returns:
            Its SQLAlchemy URL (a secret: it holds the password).
        """
        from psycopg2 import sql
        from psycopg2.extensions import encrypt_password

        password = password or secrets.token_urlsafe(24)
        connection = self.connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                ident = sql.Identifier(name)
                cursor.execute("select 1 from pg_roles where rolname = %s", [name])
                verb = "ALTER" if cursor.fetchone() else "CREATE"
                # The verifier, not the password, travels, so that no log can hold the password.
                verifier = sql.Literal(encrypt_password(password, name, connection, "scram-sha-256"))
                cursor.execute(sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}").format(ident, verifier))
                cursor.execute("select 1 from pg_database where datname = %s", [name])
                if not cursor.fetchone():
                    cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(ident, ident))
                    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(ident))
                for key, value in (settings or {}).items():
                    statement = sql.SQL("ALTER DATABASE {} SET {} TO {}")
                    cursor.execute(statement.format(ident, sql.Identifier(key), sql.Literal(value)))
        finally:
            connection.close()
        return self.url(name, password)

    def has_tables(self, name: str) -> bool:
        """Whether a database holds any table of a user."""
        connection = self.connect(name)
        try:
            with connection.cursor() as cursor:
                cursor.execute("select exists (select from pg_tables where schemaname = 'public')")
                return bool(cursor.fetchone()[0])
        finally:
            connection.close()

    def drop_database(self, name: str) -> None:
        """Deletes a database and its role, ending its sessions."""
        from psycopg2 import sql

        connection = self.connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
                cursor.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))
        finally:
            connection.close()

    def url(self, name: str, password: str) -> str:
        """The SQLAlchemy URL of a database."""
        user, secret, host = quote(name, safe=""), quote(password, safe=""), quote(str(self.socket_folder), safe="/")
        return f"postgresql+psycopg2://{user}:{secret}@/{user}?host={host}"

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.place), "LC_ALL": "C", "TZ": "UTC"}

    def _initialise(self) -> None:
        account = programs.server_account()
        shutil.rmtree(self.data, ignore_errors=True)  # what an interrupted initdb left
        password = secrets.token_urlsafe(32)
        note = self.folder / "superuser"
        for path in (note, self.place / ".password"):
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{password}\n")
        if account is not None:
            os.chown(self.place / ".password", account.uid, account.gid)
        command = [
            *(programs.bin_folder() / "initdb", "-D", self.data, "-U", _SUPERUSER, "-A", "scram-sha-256"),
            *(f"--pwfile={self.place / '.password'}", "-E", "UTF8", "--locale=C", "--locale-provider=builtin"),
            *("--builtin-locale=C.UTF-8", "--no-instructions", *(() if self.durable else ("--no-sync",))),
        ]
        cwd = self.place if account is None else Path("/")
        try:
            process = spawn(command, env=self._environment(), log=self.log, cwd=cwd, account=account)
            code = process.wait(120)
        finally:
            (self.place / ".password").unlink(missing_ok=True)
        if code != 0:
            last = self.log.read_text(errors="replace")[-1500:]
            shutil.rmtree(self.data, ignore_errors=True)
            raise TransientError(f"initdb failed with code {code}; {self.log} ends with:\n{last}")
        hba = self.data / "pg_hba.conf"
        hba.write_text(_HBA)

    def _end_predecessor(self) -> None:
        # Our folder's owner holds its lock, so a live server is the rest of a supervisor that was killed a moment ago.
        note = self.data / "postmaster.pid"
        try:
            pid = int(note.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        identity = Identity.of(pid)
        if identity is not None and _serves(pid, self.data):
            for number, patience in ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0)):
                os.kill(pid, number)
                deadline = time.monotonic() + patience
                while identity.is_alive() and time.monotonic() < deadline:
                    time.sleep(0.05)
            if identity.is_alive():
                raise TransientError(f"PostgreSQL of {self.data} (process {pid}) does not end")
        note.unlink(missing_ok=True)  # else an id that was given to another process would keep the server from starting


def _remove_abandoned(shared: Path) -> None:
    # Servers of test runs that were killed; durable ones are never touched, whatever became of their folders.
    for place in shared.glob(f"{_VOLATILE_KIND}-*"):
        with contextlib.suppress(OSError, ValueError):
            old = time.time() - place.stat().st_mtime > 86_400
            note = place / "data" / "postmaster.pid"
            pid = int(note.read_text().split("\n", 1)[0]) if note.exists() else None
            if old and (pid is None or not _serves(pid, place / "data")):
                shutil.rmtree(place, ignore_errors=True)


def _serves(pid: int, data: Path) -> bool:
    import psutil

    try:
        command = psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
    return bool(command) and Path(command[0]).name == "postgres" and str(data) in command
