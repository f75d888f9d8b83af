"""Binds a team's SQL to empty tables of known types: what it would say and give, without a row and without Arrow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from evergreen.lake import determinism, duck
from evergreen.lake.determinism import Fault
from evergreen.spec.base import DType

if TYPE_CHECKING:
    import duckdb

_OF_DTYPE: dict[DType, str] = {
    "int": "BIGINT",
    "float": "DOUBLE",
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
}
_TO_DTYPE: tuple[tuple[str, DType], ...] = (
    (r"(U?(TINY|SMALL|BIG|HUGE)?INT|U?INTEGER|DECIMAL\(\d+,0\))", "int"),
    (r"(FLOAT|DOUBLE|DECIMAL\(\d+,\d+\))", "float"),
    (r"(VARCHAR|ENUM\(.*\))", "string"),
    (r"BOOLEAN", "bool"),
    (r"TIMESTAMP.*", "timestamp"),
    (r"DATE", "date"),
)
_UNFIT = re.compile(r"(.*\[\d*\]|STRUCT\(.*|MAP\(.*|UNION\(.*|INTERVAL|TIME|TIME WITH TIME ZONE|TIME_NS)")
_DAY = datetime(2000, 1, 1, tzinfo=UTC)
_VALUES = {"start": _DAY, "end": _DAY + timedelta(days=1), "as_of": _DAY + timedelta(days=1)}
_READABLE = "must be SQL that DuckDB can run; it says: "


class Bound(NamedTuple):
    """What became of a statement.

    Attributes:
        faults: What is wrong with it, by line.
        columns: Name and type of each column that it gives, in order (``None`` for one that only the data will tell,
            or that a table cannot have); ``None`` when it has faults or its tables are not known.
        unfit: Names of columns that a table cannot have, such as lists.
    """

    faults: list[Fault]
    columns: list[tuple[str, DType | None]] | None = None
    unfit: tuple[str, ...] = ()


class Binder:
    """One locked DuckDB in which statements are bound one after the other."""

    def __init__(self) -> None:
        self._connection = duck.connect({}, threads=1)

    def __enter__(self) -> Binder:
        return self

    def __exit__(self, *exc: object) -> None:
        self._connection.close()

    def bind(
        self,
        sql: str,
        tables: Mapping[str, Mapping[str, DType] | None],
        *,
        params: Iterable[str] = (),
        times: str = "",
    ) -> Bound:
        """Parses a statement, looks for what is no function of the rows, and binds it if its tables are all known.

        Args:
            sql: A team's statement.
            tables: Its tables by name, with their columns; ``None`` where these are not known.
            params: Names of the parameters that it may use.
            times: What to use in place of the clock, for messages; by default the parameters.
        """
        import duckdb

        try:
            statements = self._connection.extract_statements(sql)
        except duckdb.Error as error:
            return Bound([_fault(error, tables)._replace(remedy=self._to_quote(sql, tables))])
        kinds = [str(each.type).rsplit(".", 1)[-1] for each in statements]
        if kinds != ["SELECT"]:
            return Bound([Fault(1, ", ".join(kinds) or "nothing", "must be one SELECT statement")])
        wanted = set(statements[0].named_parameters)
        if missing := sorted(wanted - set(params)):
            given = ", ".join(f"${name}" for name in sorted(params)) or "none"
            line = 1 + sql.partition(f"${missing[0]}")[0].count("\n")
            rule = f"must use only the parameters that it is given ({given})"
            return Bound([Fault(line, f"${missing[0]}", rule)])
        values = {name: _VALUES[name] for name in wanted}
        known = {name: columns for name, columns in tables.items() if columns is not None}
        try:
            for name, columns in known.items():
                self._connection.execute(_table(name, columns))
            times = times or ", ".join(f"${name}" for name in sorted(params))
            faults = determinism.faults_of(
                self._connection, sql, tables=tables, params=values, times=times, unknown_is_column=False
            )
            if faults or len(known) < len(tables):
                return Bound(faults)
            described = self._connection.execute(f"describe {sql}", values or None).fetchall()
        except duckdb.Error as error:
            return Bound([_fault(error, tables)])
        finally:
            for name in known:
                self._connection.execute(f"drop table if exists {_quoted(name)}")
        kinds_of = [(str(name), str(kind)) for name, kind, *_ in described]
        unfit = tuple(name for name, kind in kinds_of if _UNFIT.fullmatch(kind))
        return Bound([], [(name, _dtype(kind)) for name, kind in kinds_of], unfit)

    def _to_quote(self, sql: str, tables: Mapping[str, Mapping[str, DType] | None]) -> str:
        """A remedy for columns that are named like a word of SQL and stand there without quotes."""
        rows = self._connection.execute(
            "select keyword_name from duckdb_keywords() where keyword_category in ('reserved', 'type_function')"
        ).fetchall()
        names = {name for columns in tables.values() for name in columns or ()}
        taken = sorted(name for name in names if name.lower() in {word for (word,) in rows})
        bare = [name for name in taken if re.search(rf'(?<!")\b{re.escape(name)}\b(?!")', sql)]
        quoted = ", ".join(_quoted(name) for name in bare)
        return f"Write {quoted} in double quotes: it is a word of SQL." if bare else ""


def _table(name: str, columns: Mapping[str, DType]) -> str:
    fields = ", ".join(f"{_quoted(column)} {_OF_DTYPE[dtype]}" for column, dtype in columns.items())
    return f"create table {_quoted(name)} ({fields})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _dtype(kind: str) -> DType | None:
    return next((dtype for pattern, dtype in _TO_DTYPE if re.fullmatch(pattern, kind)), None)


def _fault(error: duckdb.Error, tables: Iterable[str]) -> Fault:
    import duckdb

    text = str(error)
    line = re.search(r"^LINE (\d+):", text, re.MULTILINE)
    said = re.split(r"\n\nLINE |\n\tCandidate functions", text)[0]
    said = re.sub(r"^[A-Z][A-Za-z ]* Error: ", "", said)
    rule = _READABLE + " ".join(said.split()).rstrip(".!?")
    is_table = isinstance(error, duckdb.CatalogException) and "Table with name" in text
    remedy = f"Its tables are: {', '.join(sorted(tables))}." if is_table else ""
    return Fault(int(line[1]) if line else 1, None, rule, remedy)
