"""DuckDB, the one SQL engine: our own queries, and the one locked door for a team's SQL.

A connection lives for one call, sees only the tables it is given, and reaches neither files nor the network nor the
variables of the Python code around it; a team's has a database of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from queue import LifoQueue
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError
from evergreen.lake import determinism

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    import pyarrow.dataset as ds

STREAM_MEMORY = "1GB"
"""What a query over files may hold before it writes to disk."""
STREAMED_ROWS = 1 << 16
"""Rows that such a query gives at once."""
_LOCKED = {
    "TimeZone": "UTC",
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_persistent_secrets": False,
    "enable_external_access": False,
    "lock_configuration": True,
}
_ASYNC_THREADS = 1
"""Of a database; DuckDB's default is eight, for waiting on files and networks that none of ours may reach."""


class Sessions:
    """A few connections to one locked database in memory, lent to a thread at a time: for small queries that are many.

    Tables that a borrower registers are seen by its connection alone; it unregisters them before it gives it back.

    Args:
        count: How many threads can borrow at once; others wait.
        threads: Threads of a query.
        memory_limit: Of all queries together, as for :func:`connect`.
    """

    def __init__(self, count: int, threads: int = 1, memory_limit: str = "4GB") -> None:
        self._database = _database(threads, memory_limit)
        self._free: LifoQueue[duckdb.DuckDBPyConnection] = LifoQueue()
        for _ in range(count):
            self._free.put(self._database.cursor())

    @contextmanager
    def lend(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for the time of a ``with``."""
        connection = self._free.get()
        try:
            yield connection
        finally:
            self._free.put(connection)

    def close(self) -> None:
        """Lets go of the database; nothing may be lent any more."""
        self._database.close()


def is_data_exception(error: BaseException) -> bool:
    """Whether a statement ran but not with these values: no number in a text, an overflow, ``error('…')``.

    These are what SQL calls data exceptions (SQLSTATE class 22); DuckDB files some of them under its own word.
    """
    import duckdb

    return isinstance(error, duckdb.DataError | duckdb.InvalidInputException)


def connect(
    tables: Mapping[str, pa.Table | ds.Dataset],
    threads: int = 2,
    memory_limit: str = "4GB",
    folder: Path | None = None,
) -> duckdb.DuckDBPyConnection:
    """A connection in memory that sees these tables and nothing else; its settings cannot be changed any more.

    Args:
        tables: Arrow tables, or datasets, by the name that SQL calls them.
        threads: Threads of a query.
        memory_limit: What a query may hold, in DuckDB's words.
        folder: Takes what a query would hold beyond that; without it the query fails.
    """
    import duckdb

    spill = {} if folder is None else {"temp_directory": str(folder / "duckdb")}
    connection = duckdb.connect(":memory:", config=_config(threads, memory_limit) | spill)
    for name, table in tables.items():
        connection.register(name, table)
    for setting, value in _LOCKED.items():
        connection.execute(f"set {setting} = {_literal(value)}")
    return connection


def query(sql: str, tables: Mapping[str, pa.Table], params: Mapping[str, Any]) -> pa.Table:
    """Runs one of our own queries; a fault in it is a bug and shows as DuckDB's error.

    All of a process share one database: to make one takes four times as long as such a query.
    """
    with _own_database(os.getpid()).cursor() as connection:
        for name, table in tables.items():
            connection.register(name, table)  # seen by this connection alone, and gone with it
        return connection.sql(sql, params=dict(params)).to_arrow_table()


@cache
def _own_database(process: int) -> duckdb.DuckDBPyConnection:
    """The database of a process's own queries; a forked one must not use its parent's, whose threads it lacks."""
    return _database(threads=2, memory_limit="4GB")


def _database(threads: int, memory_limit: str) -> duckdb.DuckDBPyConnection:
    """A locked database in memory, whose cursors are connections of their own."""
    import duckdb

    database = duckdb.connect(":memory:", config=_config(threads, memory_limit))
    for setting, value in _LOCKED.items():
        database.execute(f"set global {setting} = {_literal(value)}")  # else its cursors don't take it over
    return database


def run_sql(
    sql: str,
    tables: Mapping[str, pa.Table],
    params: Mapping[str, Any] | None = None,
    *,
    place: str = "SQL",
    threads: int = 1,
    memory_limit: str = "4GB",
) -> pa.Table:
    """Runs a team's SQL: one SELECT (WITH, FROM, VALUES too) over the given tables, a function of their rows.

    Args:
        sql: The statement; may use the named parameters, such as ``$start``.
        tables: All that it can read.
        params: Values of the named parameters; those that it does not use are left out. Time-aware datetimes are
            ``TIMESTAMP WITH TIME ZONE``.
        place: The file it stands in, for messages.
        threads: Threads of the query. With more than one, floats are added up in another order each time, and the
            last digits of a sum differ from run to run.
        memory_limit: See :func:`connect`.

    Raises:
        DataError: When it is not a single SELECT, uses what is no function of the rows (the clock, chance; see
            :mod:`evergreen.lake.determinism`), or DuckDB refuses or cannot run it.
    """
    # How rows happen to be cut into chunks shows in the last digits of sums, too.
    whole = {name: table.combine_chunks() for name, table in tables.items()}
    with connect(whole, threads, memory_limit) as connection, _told(place, tables):
        return _relation(connection, sql, whole, params or {}, place).to_arrow_table()


def stream_sql(
    sql: str,
    tables: Mapping[str, ds.Dataset],
    params: Mapping[str, Any] | None = None,
    *,
    place: str,
    folder: Path,
) -> Iterator[pa.Table]:
    """:func:`run_sql` of more rows than memory holds: they are read from files, and what a query gathers goes to disk.

    Files whose row groups are of a multiple of 2,048 rows give the same bits as the same rows at once.

    Args:
        sql: As for :func:`run_sql`, like ``params`` and ``place``.
        tables: All that it can read, in files.
        folder: For what does not fit into memory.

    Raises:
        DataError: As :func:`run_sql`.
    """
    import pyarrow as pa

    with connect(tables, 1, STREAM_MEMORY, folder) as connection, _told(place, tables):
        reader = _relation(connection, sql, tables, params or {}, place).to_arrow_reader(STREAMED_ROWS)
        yield reader.schema.empty_table()
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _relation(
    connection: duckdb.DuckDBPyConnection, sql: str, tables: Iterable[str], params: Mapping[str, Any], place: str
) -> duckdb.DuckDBPyRelation:
    """A team's statement, looked at before it runs."""
    import duckdb

    statements = connection.extract_statements(sql)
    kinds = [each.type for each in statements]
    if kinds != [duckdb.StatementType.SELECT]:
        found = ", ".join(str(kind).rsplit(".", 1)[-1] for kind in kinds) or "nothing"
        raise DataError(place, "must be one SELECT statement", value=found)
    wanted = set(statements[0].named_parameters)
    if missing := sorted(wanted - set(params)):
        given = ", ".join(f"${name}" for name in sorted(params)) or "none"
        raise DataError(place, f"must use only the parameters that it is given ({given})", value=missing)
    used = {name: params[name] for name in wanted}
    times = ", ".join(f"${name}" for name in sorted(params))
    determinism.require(connection, sql, place=place, tables=tables, params=used, times=times)
    return connection.sql(statements[0], params=used) if used else connection.sql(statements[0])


@contextmanager
def _told(place: str, tables: Iterable[str]) -> Iterator[None]:
    """Turns what DuckDB says of a team's statement into our error."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise _explained(place, error, tables) from error


def _explained(place: str, error: duckdb.Error, tables: Iterable[str]) -> DataError:
    import duckdb

    message = str(error).strip()
    remedy = ""
    if isinstance(error, duckdb.PermissionException):
        remedy = "SQL here reads neither files nor the network, only its tables: " + ", ".join(sorted(tables)) + "."
    elif isinstance(error, duckdb.OutOfMemoryException):
        remedy = "Select fewer columns or rows, or aggregate earlier."
    elif isinstance(error, duckdb.CatalogException):
        remedy = "Its tables are: " + ", ".join(sorted(tables)) + "."
    return DataError(place, f"must be SQL that DuckDB can run; it says: {message}", remedy=remedy)


def _config(threads: int, memory_limit: str) -> dict[str, str | bool | int | float | list[str]]:
    return {"threads": threads, "async_threads": _ASYNC_THREADS, "memory_limit": memory_limit}


def _literal(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"'{value}'"
