"""The only door to the store's database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from sqlalchemy import URL, Connection, Engine, NullPool, QueuePool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from evergreen.errors import EvergreenError, TransientError, UserError, shorten
from evergreen.store.documents import dumps

_UNDEFINED_TABLE, _UNDEFINED_COLUMN = "42P01", "42703"


class Store:
    """A PostgreSQL database of Evergreen's own.

    By itself it opens a connection per transaction and keeps none, so that it may be made before a fork and used after
    it, and by any number of threads.

    Args:
        url: SQLAlchemy URL, ``postgresql+psycopg2://…``.
        connections: So many are kept, for a process that asks again and again and does not fork; 0 for none.
        more: So many more may be open at once (``None`` for any number); a transaction that finds none free waits.
        statement_timeout_seconds: A statement that takes longer is cancelled.
        lock_timeout_seconds: A statement that waits longer for a lock is cancelled.

    Raises:
        UserError: When the URL is missing or not of PostgreSQL.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 0,
        more: int | None = 0,
        statement_timeout_seconds: float = 60,
        lock_timeout_seconds: float = 20,
    ) -> None:
        self._url = _checked(url)
        self._connections, self._more = connections, -1 if more is None else more
        self._timeouts = {"statement_timeout": statement_timeout_seconds, "lock_timeout": lock_timeout_seconds}

    def __repr__(self) -> str:
        return f"Store({self._url.render_as_string(hide_password=True)!r})"

    @cached_property
    def _engine(self) -> Engine:
        options = {name: f"{round(seconds * 1000)}ms" for name, seconds in self._timeouts.items()}
        options |= {"timezone": "UTC", "idle_in_transaction_session_timeout": "300s"}
        # A kept connection is tried before use: its server may have been started afresh.
        kept = {"pool_size": self._connections, "max_overflow": self._more, "pool_pre_ping": True}
        return create_engine(
            self._url,
            poolclass=QueuePool if self._connections else NullPool,
            **(kept if self._connections else {}),
            json_serializer=dumps,
            hide_parameters=True,
            connect_args={
                "connect_timeout": 10,
                "application_name": "evergreen",
                "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
            },
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction: committed at the end, rolled back by an exception.

        Raises:
            TransientError: When the database cannot be reached, is busy, or took too long.
            UserError: When its tables are not there.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except PoolTimeoutError as error:
            raise TransientError("The store's connections were all in use for too long.") from error
        except DBAPIError as error:
            translated = _translated(error)
            if translated is None:
                raise
            raise translated from error

    def close(self) -> None:
        """Closes the connections that are kept; used again, it opens new ones."""
        self._engine.dispose()

    def migrate(self) -> None:
        """Brings the database to the newest schema; any number of callers at once do it one after the other.

        Raises:
            TransientError: When the database cannot be reached.
        """
        from evergreen.store.migration import upgrade

        with self.transaction() as connection:
            upgrade(connection)


def _checked(url: str) -> URL:
    remedy = "Set EVERGREEN_STORE_URL to postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE."
    if not url:
        raise UserError("EVERGREEN_STORE_URL", "must name the store's database", remedy=remedy)
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UserError("EVERGREEN_STORE_URL", "must be a database URL", remedy=remedy) from None
    if parsed.get_backend_name() != "postgresql":
        raise UserError("EVERGREEN_STORE_URL", "must be of PostgreSQL", value=parsed.drivername, remedy=remedy)
    return parsed.set(drivername="postgresql+psycopg2")


def _translated(error: DBAPIError) -> EvergreenError | None:
    code = getattr(error.orig, "pgcode", None)
    if code in (_UNDEFINED_TABLE, _UNDEFINED_COLUMN):
        return UserError(
            "store", "must have the newest tables", value=str(error.orig).splitlines()[0], remedy="Migrate it first."
        )
    if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
        return TransientError(f"The store's database did not do it: {shorten(str(error.orig).strip())}")
    return None
