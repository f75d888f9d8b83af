"""What a team's SQL may not use, since the same rows would not give the same result again."""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb
import pyarrow as pa
import pytest

from evergreen.errors import DataError
from evergreen.lake.determinism import faults_of
from evergreen.lake.duck import run_sql

NOON = datetime(2013, 3, 10, 12, tzinfo=UTC)
ROWS = pa.table(
    {
        "t": pa.array([NOON, NOON], pa.timestamp("us", tz="UTC")),
        "a": [1, 2],
        "s": ["x", "y"],
        "user": ["me", "you"],
        "current_time": ["early", "late"],
    }
)
PARAMS = {"start": NOON, "end": NOON, "as_of": NOON}


@pytest.mark.parametrize(
    "sql",
    [
        # the clock
        "select now() from rows",
        "select a, NOW() as t from rows",
        'select "now"() from rows',
        "select main.now() from rows",
        "select system.main.today() from rows",
        "select current_date from rows",
        "select CURRENT_DATE - t::date from rows",
        "select current_timestamp from rows",
        "select localtime, localtimestamp from rows",
        "select current_localtimestamp() from rows",
        "select get_current_time() from rows",
        "select transaction_timestamp() from rows",
        "select ago(interval 1 day) from rows",
        "select age(t) from rows",
        "select t.age() from rows",
        "select rows.t.age() from rows",
        "select main.age(t) from rows",
        "select date_trunc('day', now()) from rows",
        "select a from rows where t > now() - interval 1 day",
        "select a from rows group by a having max(t) < now()",
        "select a from rows order by t - now()",
        "select a from rows qualify row_number() over (order by t - now()) = 1",
        "select sum(a) filter (t < now()) from rows",
        "select * replace (now() as t) from rows",
        "select * from range(now() - interval 1 day, now(), interval 1 hour)",
        "from rows, lateral (select now())",
        "select list_transform([a], lambda x: x + epoch(now())) from rows",
        "with x as (select now() as n) select a, n from rows, x",
        "select a from rows union all select epoch(now())",
        "select exists (select now())",
        "select a from rows where t in (select now())",
        "select case when a > 1 then now() end from rows",
        "values (now())",
        "select columns(c -> random() < 0.5) from rows",
        "select {'x': now()} from rows",
        "select a from rows where a > any (select random())",
        'select "current_date" from rows',
        "select current_date from (select a from rows)",
        "select pg_postmaster_start_time()",
        # chance
        "select random() from rows",
        "select uuid() from rows",
        "select gen_random_uuid(), uuidv7() from rows",
        "select setseed(0.5) from rows",
        "select reservoir_quantile(a, 0.5) from rows",
        "select * from rows using sample 1",
        "select * from rows tablesample 50%",
        "select * from rows tablesample reservoir(1 rows) repeatable (7)",
        "select * from (select * from rows using sample 50 percent (bernoulli))",
        # the engine and its session
        "select version() from rows",
        "select current_setting('threads') from rows",
        "select getvariable('x') from rows",
        "select current_schema() from rows",
        "select current_catalog from rows",
        "select current_query() from rows",
        "select txid_current() from rows",
        "select nextval('s') from rows",
        "select pg_sleep(0) from rows",
        # SQL in texts, which nobody can look into
        "select * from query('select now()')",
        "from json_execute_serialized_sql(json_serialize_sql('select now()'))",
        "from query_table('rows')",
        # the catalog
        "from duckdb_functions()",
        "from duckdb_settings()",
        "from pg_catalog.pg_class",
        "from information_schema.tables",
        "from sqlite_master",
        "from duckdb_tables",
        "describe rows",
        "summarize rows",
        "show tables",
        # what stands first, where no order is given
        "select a from rows limit 1",
        "select a from rows limit 50%",
        "select a from rows offset 1",
        "select a from rows fetch first 1 row only",
        "select (select s from rows limit 1) from rows",
        "select distinct on (s) s, a from rows",
        "select first(a) from rows",
        "select s, last(a) from rows group by s",
        "select first(a) over (partition by s) from rows",
        "select row_number() over () from rows",
        "select row_number() over (partition by s) from rows",
        "select lag(a) over (partition by s) from rows",
        "select first_value(a) over () from rows",
        "select ntile(2) over () from rows",
        "select row_number() over w from rows window w as (partition by s)",
        "select first(distinct a) from rows",
        "select sum(a) over (rows between 1 preceding and current row) from rows",
        "select a from rows positional join (select a as b from rows)",
        # what cannot be looked into
        "pivot rows on s using sum(a)",
    ],
)
def test_what_is_no_function_of_the_rows_is_refused(sql: str) -> None:
    with pytest.raises(DataError, match=r"^features/x\.sql must "):
        run_sql(sql, {"rows": ROWS}, PARAMS, place="features/x.sql")


@pytest.mark.parametrize(
    "sql",
    [
        "select arg_max(a, t), max_by(s, a), arg_min(s, t) from rows",
        "select any_value(s), list(a), string_agg(s, ','), mode(a), array_agg(a order by a) from rows",
        "select first(a order by t, a), last(a order by t, a) from rows",
        "select count(*), sum(a), avg(a), median(a), quantile_cont(a, 0.5), approx_count_distinct(a) from rows",
        "select a from rows order by a limit 1",
        "select a from rows order by a offset 1",
        "select a from rows limit 0",
        "select a from rows where exists (select 1 from rows q where q.a > rows.a limit 1)",
        "select distinct on (s) s, a from rows order by s, a",
        "select row_number() over (partition by s order by t), rank() over (), count(*) over () from rows",
        "select lag(a) over (order by t, a), sum(a) over (order by a rows 1 preceding) from rows",
        "select first_value(a order by a) over () from rows",
        "select sum(a) over w from rows window w as (order by t range between interval 1 hour preceding "
        "and current row)",
        "select unnest(range($start, $end, interval 1 hour)) from rows",
        "from range(3)",
        "from generate_series(1, 3)",
        "select unnest([1, 2]), a from rows",
        "from unnest([1, 2])",
        "from json_each('[1, 2]')",
        "select age(t, $start), t.age($end) from rows",
        "select a from rows where hash(s) % 10 < 3",
        "select case when a > 9 then error('no such a') else a end from rows",
        "select pi(), [], {'x': a}, map {'k': a} from rows",
        "select t at time zone 'America/New_York', strftime(t, '%H'), epoch(t), current_date from "
        "(select *, 1 as current_date from rows)",
        "select user, rows.user, current_time from rows",
        "select a as current_date from rows order by current_date",
        "with now as (select 1 as random) select random, now.random from now",
        "with recursive n(x) as (select 1 union all select x + 1 from n where x < 3) select * from n",
        "pivot (select s, a from rows) on s in ('x', 'y') using sum(a)",
        "select * from (pivot (select s, a from rows) on s in ('x') using sum(a))",
        "select r.a from rows r asof join rows q on r.t >= q.t",
        "select nullif(a, 1), list_sum([a]), date_add(t, interval 1 day) from rows",
        "select $as_of::date - t::date as days from rows",
        "select 'now()' as said, a -- random()\nfrom rows",
    ],
)
def test_what_is_a_function_of_the_rows_runs(sql: str) -> None:
    assert run_sql(sql, {"rows": ROWS}, PARAMS).num_columns > 0


def test_a_table_of_the_team_may_have_the_name_of_one_of_the_engine() -> None:
    assert run_sql("select a from duckdb_tables", {"duckdb_tables": ROWS}).num_rows == 2
    assert run_sql("with pg_class as (from rows) select a from pg_class", {"rows": ROWS}).num_rows == 2


def test_messages_say_what_where_and_what_instead() -> None:
    sql = "select 'ä€',\n  a,\n  random() as r\nfrom rows"
    with pytest.raises(DataError) as error:
        run_sql(sql, {"rows": ROWS}, PARAMS, place="features/x.sql")
    assert str(error.value) == (
        "features/x.sql must be a function of its rows, got 'random() on line 3'. A run again must give the same: for "
        "the time there are $as_of, $end, $start, for chance hash() of a key."
    )
    with pytest.raises(
        DataError,
        match=r"there are the rows' own columns \(a feature view has \$start, \$end and \$as_of\), for chance",
    ):
        run_sql("select now() from rows", {"rows": ROWS})
    with pytest.raises(DataError, match=r"must say by ORDER BY which rows come first, got 'LIMIT on line 2'"):
        run_sql("select a from rows\nlimit 3", {"rows": ROWS})
    with pytest.raises(DataError, match=r"neither files nor the network.*only its tables: rows"):
        run_sql("from query('select 1')", {"rows": ROWS})


def test_nesting_of_any_depth_is_looked_into() -> None:
    sums = " + ".join(["a"] * 800)
    assert run_sql(f"select {sums} as x from rows", {"rows": ROWS})["x"].to_pylist() == [800, 1600]
    with pytest.raises(DataError, match=r"function of its rows, got 'random\(\)"):
        run_sql(f"select {sums} + random() as x from rows", {"rows": ROWS})


def test_of_every_function_that_the_engine_has_the_unstable_ones_are_known() -> None:
    """Whatever takes no argument at all reads a clock, a dice or the session, unless it is named here as a constant."""
    with duckdb.connect() as connection:
        every = connection.sql(
            "select distinct function_name from duckdb_functions() where function_type in ('scalar', 'macro') "
            "and len(parameters) = 0 and varargs is null and regexp_matches(function_name, '^[a-z_0-9]+$')"
        ).fetchall()
        allowed = {
            name for (name,) in every if not faults_of(connection, f"select {name}() as x", tables=(), params={})
        }
    constants = {"pi", "list_value", "list_pack", "map"}
    of_postgres = {"current_role", "current_user", "session_user", "user", "pg_my_temp_schema"}  # macros of a literal
    nothing = {"inet_client_addr", "inet_client_port", "inet_server_addr", "inet_server_port"}  # macros of null
    assert allowed == constants | of_postgres | nothing


def test_of_every_word_that_stands_for_a_function_the_unstable_ones_are_known() -> None:
    with duckdb.connect() as connection:
        words = connection.sql(
            "select keyword_name from duckdb_keywords() union select function_name from duckdb_functions()"
        ).fetchall()
        of_the_standard = ("current_time", "current_timestamp", "localtime", "localtimestamp", "system_user", "sysdate")
        bare = set()
        for word in (*(word for (word,) in words), *of_the_standard):
            try:
                connection.sql(f"select {word}").fetchall()
            except duckdb.Error:
                continue
            bare.add(word)
        allowed = {word for word in bare if not faults_of(connection, f"select {word}", tables=(), params={})}
    assert {"current_date", "current_timestamp", "localtime"} <= bare
    assert allowed == {"current_role", "current_user", "session_user", "user", "true", "false", "null"} & bare


def test_a_query_gives_the_same_bits_whatever_the_chunks() -> None:
    """Two threads would add up floats in another order each time: five results in six runs."""
    import numpy as np

    dice = np.random.default_rng(1)
    rows = pa.table({"g": dice.integers(0, 5, 600_000), "x": dice.random(600_000) * 1e6})
    parts = pa.concat_tables([rows.slice(start, 7_001) for start in range(0, 600_000, 7_001)])
    sql = "select g, sum(x) as total, avg(x) as mean, any_value(x) as one, list(x)[:3] as some from rows group by g"
    made = [run_sql(sql, {"rows": table}).to_pylist() for table in (rows, rows, parts, rows, parts)]
    assert all(each == made[0] for each in made)
