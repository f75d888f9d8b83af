"""Materialized views: what a transform may give, and what is said when it gives something else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from evergreen.errors import DataError
from evergreen.features.views import run, run_streamed
from evergreen.lake.spill import Spill
from evergreen.spec.feature_view import FeatureView

INSTANT = pa.timestamp("us", tz="UTC")
START, END = datetime(2013, 1, 2, tzinfo=UTC), datetime(2013, 1, 3, tzinfo=UTC)


def hour(number: float) -> datetime:
    return START + timedelta(hours=number)


def rides(*hours: float) -> dict[str, pa.Table]:
    return {
        "rides": pa.table(
            {
                "city": pa.array(["x"] * len(hours), pa.string()),
                "ts": pa.array([hour(h) for h in hours], INSTANT),
                "cnt": pa.array([int(h) for h in hours], pa.int64()),
                "known_at": pa.array([hour(h + 1) for h in hours], INSTANT),
            }
        )
    }


def view_of(tmp_path: Path, transform: str, text: str, **fields: Any) -> FeatureView:
    folder = tmp_path / "features"
    folder.mkdir(exist_ok=True)
    (folder / transform.partition(":")[0]).write_text(text)
    given = {"reads": ["rides"], "entity": ["city"], "timestamp": "ts", "outputs": {"cnt": {"type": "float"}}}
    return FeatureView.model_validate({"name": "demand", "transform": transform, **given, **fields})


def test_sql_gives_declared_columns_in_declared_types(tmp_path):
    view = view_of(tmp_path, "d.sql", "select *, 1 as surplus from rides where ts >= $start;")
    made = run(view, tmp_path, rides(-1, 0, 3), START, END)
    assert made.schema.names == ["city", "ts", "cnt", "known_at"]
    assert [str(kind) for kind in made.schema.types[1:]] == ["timestamp[us, tz=UTC]", "double", "timestamp[us, tz=UTC]"]
    assert made["cnt"].to_pylist() == [0.0, 3.0]
    assert made["known_at"].to_pylist() == [hour(1), hour(4)]
    assert made.schema.metadata == {b"known_at": b"transform"}


def test_a_python_function_gives_the_same_with_the_help_of_a_sibling(tmp_path):
    text = """
import pandas as pd

def demand(tables, start, end):
    from rounding import whole  # also when imported late
    rides = tables["rides"]
    rides = rides[rides["ts"] >= start]
    assert isinstance(pd.date_range(start, end), pd.DatetimeIndex)
    return pd.DataFrame({"city": rides["city"], "ts": rides["ts"], "cnt": whole(rides["cnt"]), "known_at": end})
"""
    view = view_of(tmp_path, "d.py:demand", text)
    (tmp_path / "features" / "rounding.py").write_text("def whole(x):\n    return x.round()\n")
    made = run(view, tmp_path, rides(-1, 0, 3), START, END)
    assert made["cnt"].to_pylist() == [0.0, 3.0]
    assert made["known_at"].to_pylist() == [END, END]


def test_without_known_at_it_is_timestamp_plus_delay_and_the_end_for_rows_computed_anew(tmp_path):
    view = view_of(tmp_path, "d.sql", "select city, ts, cnt from rides", availability_delay="2h")
    made = run(view, tmp_path, rides(-1, 0, 3, 23, 24), START, END)
    assert made["known_at"].to_pylist() == [END, hour(2), hour(5), END, END]
    assert made.schema.metadata == {b"known_at": b"declared"}


def test_nothing_is_known_later_than_the_run_that_computed_it(tmp_path):
    view = view_of(tmp_path, "d.sql", "select city, ts, cnt, ts + interval 3 days as known_at from rides")
    assert run(view, tmp_path, rides(1), START, END)["known_at"].to_pylist() == [END]


def test_nan_is_null_and_a_time_without_a_zone_is_utc(tmp_path):
    sql = "select city, ts::timestamp as ts, 'nan'::double as cnt from rides"
    made = run(view_of(tmp_path, "d.sql", sql), tmp_path, rides(1), START, END)
    assert made["cnt"].to_pylist() == [None]
    assert made["ts"].to_pylist() == [hour(1)]


def test_without_an_entity_the_timestamp_alone_is_the_identity(tmp_path):
    view = view_of(tmp_path, "d.sql", "select ts, cnt from rides", entity=[])
    assert run(view, tmp_path, rides(1, 2), START, END).num_rows == 2
    with pytest.raises(DataError, match="one row for each ts, but gives several for 1"):
        run(view, tmp_path, rides(1, 1), START, END)


def test_no_rows_are_no_error(tmp_path):
    view = view_of(tmp_path, "d.py:f", "def f(tables, start, end):\n    return tables['rides']\n")
    made = run(view, tmp_path, rides(), START, END)
    assert made.num_rows == 0 and str(made.schema.field("cnt").type) == "double"


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("select city, ts from rides", r"features/d.sql must give the columns city, ts, cnt, but lacks cnt"),
        ("select city, ts, 'many' as cnt from rides", r"column cnt must be castable to float.*many"),
        ("select null as city, ts, cnt from rides", r"column city must not be null, but is in 2 of 2 rows"),
        ("select city, null as ts, cnt from rides", r"column ts must not be null"),
        ("select city, 'soon' as ts, cnt from rides", r"column ts must be a timestamp, got 'string'"),
        ("select 'x' as city, $end as ts, cnt from rides", r"one row for each city, ts, but gives several for 1"),
        ("select city, ts + interval 9 days as ts, cnt from rides", r"must not be after the interval's end 2013-01-03"),
        ("select city, ts, cnt, null::timestamptz as known_at from rides", r"column known_at must not be null"),
        ("select city, ts, cnt from nowhere", r"features/d.sql must be SQL that DuckDB can run"),
        ("select city, ts, cnt from rides; select 1", r"must be one SELECT"),
        ("select * from read_csv('/etc/passwd')", r"neither files nor the network"),
        (
            "select city, ts, epoch(now()) as cnt from rides",
            r"its rows, got 'now\(\) on line 1'.*\$as_of, \$end, \$start",
        ),
        ("select city, ts, random() as cnt from rides", r"its rows, got 'random\(\) on line 1'"),
        ("select city, ts, cnt from rides where ts < current_date", r"its rows, got 'current_date on line 1'"),
        ("select city, ts, cnt from rides limit 1", r"must say by ORDER BY which rows come first, got 'LIMIT"),
        ("  ;", r"must hold a SELECT statement"),
    ],
)
def test_what_breaks_the_declaration_is_refused_with_its_place(tmp_path, sql, says):
    with pytest.raises(DataError, match=says):
        run(view_of(tmp_path, "d.sql", sql), tmp_path, rides(1, 2), START, END)


def test_a_fraction_is_no_int(tmp_path):
    sql = "select city, ts, 1.5 as cnt from rides"
    with pytest.raises(DataError, match="column cnt must be castable to int"):
        run(view_of(tmp_path, "d.sql", sql, outputs={"cnt": {"type": "int"}}), tmp_path, rides(1), START, END)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def f(tables, start, end):\n    return 1 / 0\n", r"features/d.py:f raised ZeroDivisionError at line 2"),
        ("def f(tables, start, end):\n    return 3\n", r"must return a pandas DataFrame, got 'int'"),
        ("def g():\n    pass\n", r"must have a function f"),
        ("def f(:\n", r"must be importable, but raised SyntaxError"),
        ("import no_such_module_at_all\n", r"must be importable, but raised ModuleNotFoundError"),
    ],
)
def test_what_breaks_in_python_is_said_with_file_and_line(tmp_path, text, says):
    with pytest.raises(DataError, match=says):
        run(view_of(tmp_path, "d.py:f", text), tmp_path, rides(1), START, END)


def test_a_transform_that_is_missing_or_elsewhere_is_refused(tmp_path):
    view = view_of(tmp_path, "d.sql", "select 1")
    (tmp_path / "secret.sql").write_text("select 1")
    with pytest.raises(DataError, match=r"features/../secret.sql must stand below features/"):
        run(view.model_copy(update={"transform": "../secret.sql"}), tmp_path, rides(1), START, END)
    with pytest.raises(DataError, match=r"features/gone.sql must be there"):
        run(view.model_copy(update={"transform": "gone.sql"}), tmp_path, rides(1), START, END)


def test_two_workspaces_keep_their_own_siblings(tmp_path):
    made = {}
    for name in ("one", "two"):
        root = tmp_path / name
        root.mkdir()
        text = (
            "import constants\n\ndef f(tables, start, end):\n    return tables['rides'].assign(cnt=constants.VALUE)\n"
        )
        view = view_of(root, "d.py:f", text)
        (root / "features" / "constants.py").write_text(f"VALUE = {len(made) + 1}\n")
        made[name] = run(view, root, rides(1), START, END)["cnt"].to_pylist()
    assert made == {"one": [1.0], "two": [2.0]}


def test_a_changed_file_is_imported_anew(tmp_path):
    for value in (1, 2):
        view = view_of(
            tmp_path, "d.py:f", f"def f(tables, start, end):\n    return tables['rides'].assign(cnt={value})\n"
        )
        assert run(view, tmp_path, rides(1), START, END)["cnt"].to_pylist() == [float(value)]


def streamed(view, tmp_path, tables):
    files = {}
    for name, rows in tables.items():
        spilled = Spill(tmp_path / name)
        spilled.add(rows)
        files[name] = spilled.dataset()
    return pa.concat_tables(run_streamed(view, tmp_path, files, START, END, tmp_path))


@pytest.mark.parametrize("columns", ["*", "city, ts, cnt, known_at", "city, ts, cnt"])
def test_rows_computed_from_files_are_those_computed_in_memory(tmp_path, columns):
    view = view_of(tmp_path, "d.sql", f"select {columns} from rides where ts >= $start - interval 1 hour order by ts")
    tables = rides(*range(-3, 20))
    made = streamed(view, tmp_path, tables)
    expected = run(view, tmp_path, tables, START, END)
    assert made.equals(expected)
    assert made.schema.metadata == expected.schema.metadata


@pytest.mark.parametrize(
    "text",
    [
        "select 'x' as city, ts, 1 as cnt from rides union all select 'x', ts, 2 from rides where cnt = 3",
        "select 'x' as city, ts + interval 2 day as ts, 1 as cnt from rides",
        "select case when cnt <> 2 then 'x' end as city, ts, cnt from rides",
        "select city, ts from rides",
        "select city, ts, 'a lot' as cnt from rides",
    ],
)
def test_what_is_wrong_with_rows_from_files_is_told_as_in_memory(tmp_path, text):
    view, said = view_of(tmp_path, "d.sql", text), []
    for compute in (lambda t: run(view, tmp_path, t, START, END), lambda t: streamed(view, tmp_path, t)):
        with pytest.raises(DataError) as refused:
            compute(rides(0, 1, 2, 3))
        said.append(str(refused.value))
    assert said[0].split(", got")[0] == said[1].split(", got")[0]
