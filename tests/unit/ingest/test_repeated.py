"""The hour that the clocks show twice: told apart by the file's order, or set aside; never lost."""

import io
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.ingest.repeated import tell_apart

NEW_YORK = ZoneInfo("America/New_York")
DAY = {"start": datetime(2024, 11, 3, 4, tzinfo=UTC), "end": datetime(2024, 11, 4, 5, tzinfo=UTC)}
HOURS = ["2024-11-03 00:00,10", "2024-11-03 01:00,11", "2024-11-03 01:00,12", "2024-11-03 02:00,13"]
LOAD = {
    "columns": {"moment": "timestamp", "mw": "int"}, "event_time": "moment", "entity": (),
    "timezone": "America/New_York",
}  # fmt: skip


@pytest.fixture
def load(dataset, landed, ingest):
    def read(rows, head="moment,mw", name="in/2013-02-01.csv", **fields):
        landed(name, head + "\n" + "".join(f"{row}\n" for row in rows))
        return ingest(dataset(**{**LOAD, **fields}), **DAY)

    return read


def hours(result):
    return dict(zip(result.good["mw"].to_pylist(), [m.hour for m in result.good["moment"].to_pylist()], strict=True))


@pytest.mark.parametrize("rows", [HOURS, HOURS[::-1]])
@pytest.mark.parametrize("columns", [LOAD["columns"], {"moment": "string", "mw": "int"}, None])
def test_the_order_of_the_file_tells_the_two_hours_apart(load, rows, columns):
    result = load(rows, columns=columns)
    assert (hours(result), result.superseded, result.quarantined.num_rows) == ({10: 4, 11: 5, 12: 6, 13: 7}, 0, 0)


def test_finer_rows_begin_the_hour_again(load):
    walls = ["00:30", "01:00", "01:15", "01:30", "01:45", "01:00", "01:15", "01:30", "01:45", "02:00"]
    result = load([f"2024-11-03 {wall},{number}" for number, wall in enumerate(walls)])
    first = datetime(2024, 11, 3, 4, 30, tzinfo=UTC)
    minutes = [(moment - first) // timedelta(minutes=1) for moment in result.good["moment"].to_pylist()]
    assert minutes == [0, 30, 45, 60, 75, 90, 105, 120, 135, 150]


def test_each_entity_of_a_file_has_an_order_of_its_own(load):
    fields = {"columns": {"moment": "timestamp", "zone": "string", "mw": "int"}, "entity": ("zone",)}
    by_time = [f"{row.split(',')[0]},{zone},{row.split(',')[1]}{n}" for row in HOURS for n, zone in enumerate("ab")]
    for rows in (by_time, sorted(by_time, key=lambda row: row.split(",")[1])):
        result = load(rows, head="moment,zone,mw", **fields)
        assert hours(result) == {100: 4, 101: 4, 110: 5, 111: 5, 120: 6, 121: 6, 130: 7, 131: 7}


@pytest.mark.parametrize(
    ("walls", "good", "aside"),
    [
        (["02:00", "01:00", "00:00", "01:00"], {0: 7, 2: 4}, [1, 3]),
        (["00:00", "01:00", "01:00", "01:00", "02:00"], {0: 4, 4: 7}, [1, 2, 3]),
        (["01:00", "01:00"], {}, [0, 1]),
        (["00:00", "01:00", "02:00"], {0: 4, 1: 5, 2: 7}, []),
        (["00:00", "01:40", "01:20", "02:00"], {0: 4, 1: 5, 2: 6, 3: 7}, []),
        (["02:00", "01:30", "00:00", "01:00"], {0: 7, 1: 5, 2: 4, 3: 5}, []),
        (["01:00-04:00", "01:00-05:00", "01:00"], {0: 5, 1: 6}, [2]),
    ],
)
def test_where_the_order_tells_nothing_both_are_set_aside(load, walls, good, aside):
    result = load([f"2024-11-03 {wall},{number}" for number, wall in enumerate(walls)], max_quarantined=1)
    assert hours(result) == good
    assert [line - 2 for line in result.quarantined["line"].to_pylist()] == aside
    assert (result.superseded, set(result.quarantined["rule"].to_pylist())) == (0, {"time.twice"} if aside else set())
    for reason in result.quarantined["reason"].to_pylist():
        assert "occurs twice in America/New_York, and the order of the rows does not tell which" in reason


def test_the_order_of_one_file_says_nothing_of_another(load, landed):
    landed("in/2013-02-01/a.csv", "moment,mw\n2024-11-03 00:00,10\n2024-11-03 01:00,11\n")
    result = load(["2024-11-03 01:00,12", "2024-11-03 02:00,13"], name="in/2013-02-01/b.csv", path="in/{as_of}/*.csv")
    assert (hours(result), result.quarantined.num_rows, result.superseded) == ({10: 4, 13: 7}, 2, 0)


def test_two_files_that_both_tell_are_doubles_of_each_other(load, landed):
    landed("in/2013-02-01/a.csv", "moment,mw\n" + "\n".join(HOURS) + "\n")
    again = [row.replace(",1", ",2") for row in HOURS]
    result = load(again, name="in/2013-02-01/b.csv", path="in/{as_of}/*.csv")
    assert (hours(result), result.superseded, result.quarantined.num_rows) == ({20: 4, 21: 5, 22: 6, 23: 7}, 4, 0)


def test_late_rows_at_the_end_of_a_long_file_take_nothing_from_other_days(load):
    late = ["2024-11-01 05:00,1", "2024-11-04 05:00,2"]
    assert hours(load([*HOURS, *late], path="in/*.csv")) == {10: 4, 11: 5, 12: 6, 13: 7}


@pytest.mark.parametrize(
    "sql",
    [
        "select moment, mw from source",
        "select moment as moment, mw from source order by mw desc",
        "select moment + interval 0 hour as moment, mw from source where mw > 0",
        "select moment, sum(mw)::bigint as mw from source group by moment",
        "select moment, max(mw) as mw from (from source) group by all",
    ],
)
def test_a_select_sees_the_hours_apart(load, sql):
    result = load(HOURS, select=sql)
    assert (hours(result), result.superseded, result.quarantined.num_rows) == ({10: 4, 11: 5, 12: 6, 13: 7}, 0, 0)


@pytest.mark.parametrize("rest", ["", " order by mw desc"])
def test_a_wall_clock_time_that_a_select_derives_is_told_apart_too(load, rest):
    rows = ["2024-11-03,0,10", "2024-11-03,1,11", "2024-11-03,1,12", "2024-11-03,2,13"]
    columns = {"day": "date", "hr": "int", "mw": "int"}
    sql = "select day + to_hours(hr) as moment, mw from source" + rest
    assert hours(load(rows, head="day,hr,mw", columns=columns, select=sql)) == {10: 4, 11: 5, 12: 6, 13: 7}


def test_an_entity_that_only_the_select_makes_counts_too(load):
    rows = [f"{row.split(',')[0]},{zone},{row.split(',')[1]}{n}" for row in HOURS for n, zone in enumerate("ab")]
    columns = {"local": "timestamp", "zone": "string", "mw": "int"}
    sql = "select local as moment, upper(zone) as area, mw from source"
    result = load(rows, head="local,zone,mw", columns=columns, select=sql, entity=("area",))
    assert hours(result) == {100: 4, 101: 4, 110: 5, 111: 5, 120: 6, 121: 6, 130: 7, 131: 7}


def test_an_aggregate_never_mixes_hours_that_nothing_tells_apart(load):
    rows = ["2024-11-03 02:00,13", "2024-11-03 01:00,11", "2024-11-03 00:00,10", "2024-11-03 01:00,12"]
    result = load(rows, select="select moment, sum(mw)::bigint as mw from source group by moment")
    assert (hours(result), result.quarantined["line"].to_pylist()) == ({13: 7, 10: 4}, [3, 5])


def test_the_hour_that_does_not_exist_is_set_aside_as_before(load, ingest, dataset):
    rows = ["2024-03-10 01:30,10", "2024-03-10 02:30,11", "2024-03-10 03:30,13"]
    load(rows)
    spring = ingest(
        dataset(**LOAD), start=datetime(2024, 3, 10, 5, tzinfo=UTC), end=datetime(2024, 3, 11, 4, tzinfo=UTC)
    )
    assert (hours(spring), spring.quarantined["line"].to_pylist()) == ({10: 6, 13: 7}, [3])


def test_parquet_times_without_a_zone_are_told_apart_too(dataset, landed, ingest):
    walls = [datetime(2024, 11, 3, hour) for hour in (0, 1, 1, 2)]
    out = io.BytesIO()
    pq.write_table(pa.table({"moment": pa.array(walls, pa.timestamp("ns")), "mw": [10, 11, 12, 13]}), out)
    landed("in/a.parquet", out.getvalue())
    for columns in (None, LOAD["columns"]):
        result = ingest(dataset(**{**LOAD, "columns": columns}, path="in/a.parquet"), **DAY)
        assert hours(result) == {10: 4, 11: 5, 12: 6, 13: 7}


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(["America/New_York", "Australia/Lord_Howe", "Europe/Berlin", "America/Sao_Paulo"]),
    minutes=st.sampled_from([5, 15, 30, 60]),
    dropped=st.sets(st.integers(0, 400)),
    backwards=st.booleans(),
)
def test_a_file_in_the_order_of_time_is_never_misread(zone, minutes, dropped, backwards):
    """Whatever rows are missing: what is told is right, and where rows of one time are there, it is told."""
    from evergreen.ingest.zone import to_utc

    autumn = {"Australia/Lord_Howe": datetime(2017, 4, 1), "America/Sao_Paulo": datetime(2017, 2, 18)}
    day = autumn.get(zone, datetime(2017, 10, 28) if zone == "Europe/Berlin" else datetime(2017, 11, 4))
    first = day.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    instants = [first + timedelta(minutes=minutes * step) for step in range(48 * 60 // minutes)]
    instants = [each for index, each in enumerate(instants) if index not in dropped]
    if backwards:
        instants.reverse()
    walls = [each.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for each in instants]
    read = to_utc(pa.array(walls, pa.timestamp("us")), zone)
    local = pa.array(walls, pa.timestamp("us")).cast(pa.int64()).to_numpy()
    second, still = tell_apart(local, read.later, pa.table({"file": pa.array([0] * len(walls))}))
    ticks = np.array([each.timestamp() * 1e6 for each in instants], dtype="int64")
    truth = read.utc.cast(pa.int64()).to_numpy() != ticks
    settled = (read.later != 0) & ~still
    assert (second[settled] == truth[settled]).all()
    alike = [index for index, wall in enumerate(walls) if walls.count(wall) > 1]
    neighbours = any(later == 0 for later in read.later.tolist())
    if len(walls) > 2 and neighbours:
        assert not still[alike].any()
