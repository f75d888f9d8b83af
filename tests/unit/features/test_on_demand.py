"""On-demand views: row for row, in order, the same alone as in a batch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from evergreen.errors import DataError
from evergreen.features.on_demand import OnDemand, compute
from evergreen.spec.feature_view import FeatureView

INSTANT = pa.timestamp("us", tz="UTC")


def view_of(tmp_path: Path, transform: str, text: str, **outputs: str) -> FeatureView:
    folder = tmp_path / "features"
    folder.mkdir(exist_ok=True)
    (folder / transform.partition(":")[0]).write_text(text)
    declared: dict[str, Any] = {name: {"type": kind} for name, kind in (outputs or {"y": "float"}).items()}
    return FeatureView(name="calendar", kind="on_demand", transform=transform, outputs=declared)


def request_of(count: int) -> pa.Table:
    first = datetime(2013, 3, 10, 5, tzinfo=UTC)
    times = [first + timedelta(hours=number) for number in range(count)]
    return pa.table(
        {
            "x": pa.array([None if n % 7 == 3 else n % 5 for n in range(count)], pa.int64()),
            "event_time": pa.array(times, INSTANT),
            "prediction_time": pa.array([t - timedelta(hours=2) for t in times], INSTANT),
        }
    )


SQL = """
with local as (select x, event_time at time zone 'America/New_York' as here from request) -- a comment at the end
select extract(hour from here) as hour, x + 1 as y from local -- and here
"""


def test_sql_sees_the_request_and_local_time_across_the_change_of_daylight_saving_time(tmp_path):
    made = compute(view_of(tmp_path, "c.sql", SQL, hour="int", y="float"), tmp_path, request_of(4))
    assert made.to_pydict() == {"hour": [0, 1, 3, 4], "y": [1.0, 2.0, 3.0, None]}


@pytest.mark.parametrize(
    "text",
    [
        SQL,
        "select x * 2 as y, 0 as hour from request order by x desc",
        "select sum(x) as y, count(*) as hour from request",
        "select max(x) over () as y, row_number() over (order by x) as hour from request;",
        "with recursive t(n) as (select x from request union all select n + 1 from t where n < 9) "
        "select max(n) as y, count(*) as hour from t",
    ],
)
def test_a_row_alone_gives_what_it_gives_in_a_batch_and_in_its_place(tmp_path, text):
    view = view_of(tmp_path, "c.sql", text, hour="int", y="float")
    request = request_of(3_000)
    with OnDemand(view, tmp_path) as ready:
        batch = ready.compute(request)
        for row in (0, 1, 3, 2_048, 2_999):
            assert ready.compute(request.slice(row, 1)).to_pylist() == batch.slice(row, 1).to_pylist()
    assert batch.num_rows == 3_000


def test_no_rows_give_no_rows_in_the_declared_types(tmp_path):
    made = compute(view_of(tmp_path, "c.sql", SQL, hour="int", y="float"), tmp_path, request_of(0))
    assert made.num_rows == 0 and [str(kind) for kind in made.schema.types] == ["int64", "double"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "select x as y from request where x > 2",
            r"one row for each of 5 rows of request, but gave \d, got '0 for row 0'",
        ),
        ("select unnest([1, 2]) as y from request", r"one row for each of 5 rows of request, but gave 10"),
        ("select x as z from request", r"features/c.sql must give the columns y, but lacks y"),
        ("select ('a' || x)::int as y from request", r"Could not convert"),
        ("select nothing as y from request", r'Referenced column "nothing" not found'),
    ],
)
def test_dropped_and_doubled_rows_and_failures_are_refused(tmp_path, text, says):
    with OnDemand(view_of(tmp_path, "c.sql", text), tmp_path) as ready, pytest.raises(DataError, match=says):
        ready.compute(request_of(5))


@pytest.mark.parametrize("text", ["selec x", "select 1; select 2", "create table t (x int)", "set threads = 4"])
def test_what_is_no_single_select_is_refused_when_made_ready(tmp_path, text):
    with pytest.raises(DataError, match=r"features/c\.sql must be"):
        OnDemand(view_of(tmp_path, "c.sql", text), tmp_path)


def test_a_python_function_keeps_rows_by_its_index(tmp_path):
    text = "def f(request):\n    return request.sort_values('x', ascending=False).assign(y=request['x'] * 2)\n"
    made = compute(view_of(tmp_path, "c.py:f", text), tmp_path, request_of(5))
    assert made["y"].to_pylist() == [0.0, 2.0, 4.0, None, 8.0]


def test_a_python_function_that_drops_rows_is_refused(tmp_path):
    text = "def f(request):\n    return request.dropna().assign(y=1.0)\n"
    with pytest.raises(DataError, match="one row for each of 5 rows of request, but gave 4, got '0 for row 3'"):
        compute(view_of(tmp_path, "c.py:f", text), tmp_path, request_of(5))


def test_threads_share_one_view(tmp_path):
    request = request_of(400)
    with OnDemand(view_of(tmp_path, "c.sql", SQL, hour="int", y="float"), tmp_path) as ready:
        expected = ready.compute(request).to_pylist()
        with ThreadPoolExecutor(8) as pool:
            rows = pool.map(lambda row: ready.compute(request.slice(row, 1)).to_pylist()[0], range(400))
            assert list(rows) == expected


@pytest.mark.parametrize("text", ["select now() as y from request", "select random() + x as y from request"])
def test_what_is_no_function_of_the_request_is_refused_when_made_ready(tmp_path, text):
    with pytest.raises(
        DataError, match=r"function of its rows, got '\w+\(\) on line 1'.*event_time and prediction_time"
    ):
        OnDemand(view_of(tmp_path, "c.sql", text), tmp_path)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_word_for_the_clock_is_refused_unless_the_request_has_such_a_column(tmp_path, rows):
    view = view_of(tmp_path, "c.sql", "select epoch(current_date) + x as y from request")
    with OnDemand(view, tmp_path) as ready, pytest.raises(DataError, match=r"function of its rows, got 'current_date"):
        ready.compute(request_of(rows))
    view = view_of(tmp_path, "c.sql", "select current_date + 1 as y from request")
    with OnDemand(view, tmp_path) as ready:
        request = request_of(rows).append_column("current_date", pa.array([1] * rows, pa.int64()))
        assert ready.compute(request)["y"].to_pylist() == [2.0] * rows
