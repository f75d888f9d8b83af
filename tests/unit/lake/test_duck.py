"""The locked door for a team's SQL."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from evergreen.errors import DataError
from evergreen.lake.duck import run_sql

NOON = datetime(2013, 3, 10, 12, tzinfo=UTC)
ROWS = pa.table({"t": pa.array([NOON, None], pa.timestamp("us", tz="UTC")), "a": [1, 2]})


def test_select_with_parameters_and_time_zone() -> None:
    sql = "select a, hour(t) h, t at time zone 'America/New_York' as l, t from rows where t >= $start or t is null"
    result = run_sql(sql, {"rows": ROWS}, {"start": NOON, "end": NOON})
    assert result.column("a").to_pylist() == [1, 2]
    assert result.column("h").to_pylist() == [12, None]
    assert result.column("l").to_pylist()[0] == datetime(2013, 3, 10, 8)
    assert result.schema.field("t").type == pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    "sql",
    [
        "with x as (select a from rows) select * from x;",
        "from rows select a",
        "-- a comment\nselect a from rows -- end",
    ],
)
def test_forms_of_select(sql: str) -> None:
    assert run_sql(sql, {"rows": ROWS}).column_names == ["a"]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_csv('{file}')",
        "select * from read_text('{file}')",
        "select * from '{file}'",
        "select * from glob('{folder}/*')",
        "select * from read_parquet('https://example.com/x.parquet')",
        "select * from 's3://bucket/x.csv'",
        "copy (select 1) to '{folder}/out.csv'",
        "copy rows from '{file}'",
        "attach '{folder}/x.db'",
        "install httpfs",
        "load httpfs",
        "pragma version",
        "set threads = 1",
        "set enable_external_access = true",
        "call pragma_version()",
        "export database '{folder}/all'",
        "create table x as select 1",
        "delete from rows",
        "select 1; select 2",
        "explain analyze select 1",
        "",
        "select * from hidden",
        "select getenv('HOME')",
        "selec 1",
        "select $nothing",
        "select cast('x' as integer)",
        "from sniff_csv('{file}')",
        "select * from read_blob('{file}')",
        "select * from read_json('{file}')",
    ],
)
def test_everything_else_is_refused_with_its_place(tmp_path: Path, sql: str) -> None:
    hidden = pa.table({"secret": [1]})  # DuckDB would find a Python variable of that name
    file = tmp_path / "secret.csv"
    file.write_text("a\n1\n")
    with pytest.raises(DataError, match=r"^features/x\.sql must") as error:
        run_sql(sql.format(file=file, folder=tmp_path), {"rows": ROWS}, {"start": NOON}, place="features/x.sql")
    assert hidden.num_rows == 1
    assert error.value.place == "features/x.sql"
    assert [each.name for each in tmp_path.iterdir()] == ["secret.csv"]


def test_messages_say_what_duckdb_says_and_what_to_do() -> None:
    with pytest.raises(DataError, match=r'"nix" not found in FROM clause'):
        run_sql("select nix from rows", {"rows": ROWS}, place="x.sql")
    with pytest.raises(DataError, match=r"Its tables are: rows\."):
        run_sql("select 1 from other", {"rows": ROWS}, place="x.sql")
    with pytest.raises(DataError, match=r"neither files nor the network, only its tables: rows"):
        run_sql("from 'x.csv'", {"rows": ROWS}, place="x.sql")


def test_query_that_needs_too_much_memory_is_the_users_fault() -> None:
    sql = "select list(a order by h) from (select range a, hash(range) h from range(20_000_000))"
    with pytest.raises(DataError, match="Select fewer"):
        run_sql(sql, {}, memory_limit="64MB")


def test_empty_and_null_tables() -> None:
    empty = pa.table({"n": pa.nulls(0), "s": pa.array([], pa.string())})
    assert run_sql("select n, s, count(*) over () c from rows", {"rows": empty}).num_rows == 0
    assert run_sql("select n from rows", {"rows": pa.table({"n": pa.nulls(2)})}).column("n").null_count == 2
