"""What becomes of rows: cast, selected, set aside, superseded, known when."""

import itertools
import json
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from evergreen.errors import DataError
from evergreen.ingest.read import HIDDEN

HEAD = "id,ts,value\n"


def reasons(result):
    return dict(zip(result.quarantined["line"].to_pylist(), result.quarantined["reason"].to_pylist(), strict=True))


def test_a_row_that_cannot_be_cast_is_set_aside_with_reason_place_and_original(dataset, landed, ingest):
    landed("in/2013-02-01.csv", HEAD + "1,2013-01-05,1\nx,2013-01-05,abc\n3,2013-01-05,nan\n")
    result = ingest(dataset())
    [row] = result.quarantined.to_pylist()
    assert row["reason"] == "id must be int, got 'x'; value must be float, got 'abc'"
    assert (row["rule"], row["line"], row["source"]) == ("columns.id", 3, "in/2013-02-01.csv")
    assert (row["stage"], row["as_of"]) == ("read", "2013-02-01")
    assert json.loads(row["row"]) == {"id": "x", "ts": "2013-01-05", "value": "abc"}
    assert result.good["value"].to_pylist() == [1.0, None]


@pytest.mark.parametrize(
    ("kind", "fits", "unfit"),
    [
        ("int", {"7": 7, " 7 ": 7, "-7.0": -7}, ["7.5", "0x1f", "1_000", "99999999999999999999", "seven"]),
        ("float", {"7": 7.0, "1e3": 1000.0}, ["inf", "1_0", "7,5"]),
        ("bool", {"true": True, "0": False}, ["2", "maybe"]),
        ("date", {"2013-01-05": date(2013, 1, 5)}, ["2013-02-30", "2013-01-05 06:00", "05/01/2013"]),
        (
            "timestamp",
            {
                "2013-01-05 06:00": datetime(2013, 1, 5, 6, tzinfo=UTC),
                "2013-01-05T06:00:00-05:00": datetime(2013, 1, 5, 11, tzinfo=UTC),
                "2013-01-05T06:00Z": datetime(2013, 1, 5, 6, tzinfo=UTC),
            },
            ["infinity", "yesterday", "2013-13-01"],
        ),
    ],
)
def test_casts_are_strict(dataset, landed, ingest, kind, fits, unfit):
    lines = [f'{number},"{text}"' for number, text in enumerate([*fits, *unfit])]
    landed("in/a.csv", "id,value\n" + "\n".join(lines) + "\n")
    result = ingest(dataset(path="in/a.csv", columns={"id": "int", "value": kind}, event_time=None))
    assert result.good["value"].to_pylist() == list(fits.values())
    assert result.quarantined.num_rows == len(unfit)


def test_rows_with_too_many_or_too_few_fields_are_set_aside_with_their_line(dataset, landed, ingest):
    text = HEAD + '1,2013-01-05,1\n2,2013-01-05\n"3",2013-01-05,"1\n"\n4,2013-01-05,1,9\n5,2013-01-05,1\n'
    landed("in/2013-02-01.csv", text)
    result = ingest(dataset())
    assert reasons(result) == {
        3: "row must have 3 fields, got 2",
        6: "row must have 3 fields, got 4",
    }
    assert json.loads(result.quarantined["row"][1].as_py()) == {"_raw": "4,2013-01-05,1,9"}
    assert result.good["__line"].to_pylist() == [2, 4, 7]


def test_types_are_inferred_over_all_rows_where_none_are_declared(dataset, landed, ingest):
    rows = "".join(f"{number},2013-01-05 00:00,,{number},x\n" for number in range(3000))
    landed("in/2013-02-01.csv", "id,ts,late,value,name\n" + rows + "3000,2013-01-05 06:00,2.5,7.5,y\n")
    schema = ingest(dataset(columns=None)).good.schema
    assert schema.field("id").type == pa.int64()
    assert schema.field("value").type == pa.float64()
    assert schema.field("late").type == pa.float64()
    assert schema.field("ts").type == pa.timestamp("us", tz="UTC")
    assert schema.field("name").type == pa.string()


def test_select_derives_renames_and_filters_and_figures_still_add_up(dataset, landed, ingest):
    landed("in/2013-02-01.csv", "id,day,hr,value\n1,2013-01-05,6,1\n2,2013-01-05,7,-1\nx,2013-01-05,8,1\n4,,9,1\n")
    sql = "select id, day + to_hours(hr) as ts, value * 2 as double_value from source where value > 0"
    columns = {"id": "int", "day": "date", "hr": "int", "value": "float"}
    result = ingest(dataset(columns=columns, select=sql))
    [good] = result.good.to_pylist()
    assert good["ts"] == datetime(2013, 1, 5, 6, tzinfo=UTC)
    assert good["double_value"] == 2.0
    assert (result.rows_source, result.rows_read) == (4, 3)
    assert reasons(result) == {4: "id must be int, got 'x'", 5: "ts must not be null"}


def test_a_select_that_aggregates_gives_new_rows_without_a_line(dataset, landed, ingest):
    landed("in/2013-02-01.csv", HEAD + "1,2013-01-05,1\n1,2013-01-05,2\n2,2014-01-05,5\n")
    result = ingest(dataset(select="select id, ts, sum(id) as n, sum(value) as value from source group by all"))
    [good] = result.good.to_pylist()
    assert (good["value"], good["n"], good["__line"]) == (3.0, 2, None)
    assert result.good.schema.field("n").type == pa.int64()
    [bad] = result.quarantined.to_pylist()
    assert json.loads(bad["row"])["value"] == 5.0
    assert (bad["line"], bad["source"]) == (None, "in/2013-02-01.csv")


@pytest.mark.parametrize(
    "sql", ["select distinct id, ts from source", "from source", "select * from source order by id"]
)
def test_select_sees_the_columns_of_the_dataset_and_no_others(dataset, landed, ingest, sql):
    landed("in/2013-02-01.csv", HEAD + "1,2013-01-05,1\n1,2013-01-05,1\n")
    result = ingest(dataset(select=sql))
    assert not [name for name in result.good.column_names[: -len(HIDDEN)] if name.startswith("_")]
    assert result.rows_read == (1 if "distinct" in sql else 2)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("select nothing from source", "dataset things select .*nothing"),
        ("select * from read_csv('/etc/passwd')", "dataset things select"),
        ("select id, value from source", r"dataset things select must give column\(s\) ts"),
        ("select *, 1 as id from source", "once|select"),
        ("select *, 1 as _row_id from source", "reserved"),
        ("select id, 5 as ts from source", "column ts must be a timestamp, a date or ISO text"),
    ],
)
def test_a_wrong_select_is_one_clear_error(dataset, landed, ingest, sql, words):
    landed("in/2013-02-01.csv", HEAD + "1,2013-01-05,1\n")
    with pytest.raises(DataError, match=words):
        ingest(dataset(select=sql))


def test_wall_clock_times_are_read_in_the_datasets_zone(dataset, landed, ingest):
    landed(
        "in/2013-02-01.csv",
        HEAD + "1,2013-03-10 01:30,1\n2,2013-03-10 02:30,1\n3,2013-03-10 03:30,1\n4,2013-11-03 01:30,1\n",
    )
    result = ingest(dataset(timezone="America/New_York"), end=datetime(2014, 1, 1, tzinfo=UTC))
    assert [ts.strftime("%d %H:%M") for ts in result.good["ts"].to_pylist()] == ["10 06:30", "10 07:30", "03 05:30"]
    assert reasons(result) == {3: "ts '2013-03-10 02:30' does not exist in America/New_York: the clocks go forward"}


def test_a_time_derived_in_select_that_does_not_exist_is_set_aside_too(dataset, landed, ingest):
    landed("in/2013-02-01.csv", "id,day,hr\n1,2013-03-10,1\n2,2013-03-10,2\n")
    sql = "select id, day + to_hours(hr) as ts from source"
    result = ingest(
        dataset(columns={"id": "int", "day": "date", "hr": "int"}, select=sql, timezone="America/New_York"),
        end=datetime(2014, 1, 1, tzinfo=UTC),
    )
    assert result.quarantined["rule"].to_pylist() == ["time.nonexistent"]


def test_rows_of_its_own_files_outside_the_interval_are_set_aside(dataset, landed, ingest):
    landed(
        "in/2013-02-01.csv",
        HEAD + "1,2013-02-01,1\n2,2012-12-29,1\n3,2012-12-27,1\n4,2013-01-31 23:59:59.999999,1\n,2013-01-05,1\n6,,1\n",
    )
    late = dataset(late_window="3d")
    result = ingest(late)
    assert result.good["id"].to_pylist() == [2, 4]
    assert result.quarantined["rule"].to_pylist() == [
        "event_time.after_interval", "event_time.too_late", "identity.missing", "event_time.missing",
    ]  # fmt: skip
    assert "lies after the interval" in reasons(result)[2]
    assert ingest(late, first_load=True).good["id"].to_pylist() == [2, 3, 4]


def test_of_a_shared_file_only_the_interval_counts_as_read(dataset, landed, ingest):
    months = [(number, datetime(2012, 11, 15) + timedelta(days=30 * number)) for number in range(5)]
    landed("all.csv", HEAD + "".join(f"{number},{ts},1\n" for number, ts in months))
    assert ingest(dataset(path="all.csv")).good["id"].to_pylist() == [2]
    assert ingest(dataset(path="all.csv", late_window="20d")).good["id"].to_pylist() == [1, 2]
    first = ingest(dataset(path="all.csv"), first_load=True)
    assert (first.good["id"].to_pylist(), first.rows_read, first.rows_source) == ([0, 1, 2], 3, 5)


@pytest.mark.parametrize("sql", [None, "select id, ts, value from source"])
def test_a_broken_row_of_a_shared_file_counts_once_over_all_runs(dataset, landed, ingest, sql):
    landed(
        "all.csv",
        HEAD + "1,2013-01-05,1\n2,2013-01-06,abc\n3,2013-02-05,1\n4,2013-02-06\n5,nonsense,1\n6,2013-03-06,x\n7,,1\n",
    )
    shared = dataset(path="all.csv", select=sql)
    bounds = [datetime(2013, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4)]
    runs = [ingest(shared, start=start, end=end) for start, end in itertools.pairwise(bounds)]
    assert [run.quarantined["line"].to_pylist() for run in runs] == [[3], [5, 6], [7, 8]]
    assert sum(run.rows_read for run in runs) == 7


@pytest.mark.parametrize(
    ("dedupe", "known_at", "good", "superseded", "quarantined"),
    [
        ("latest", None, [3.0, 9.0], 2, 0),
        ("first", None, [1.0, 9.0], 2, 0),
        ("reject", None, [9.0], 0, 3),
        ("latest", "seen", [2.0, 9.0], 2, 0),
        ("first", "seen", [1.0, 9.0], 2, 0),
    ],
)
def test_doubles_of_an_identity(dataset, landed, ingest, dedupe, known_at, good, superseded, quarantined):
    landed(
        "in/2013-02-01.csv",
        "id,ts,value,seen\n"
        "1,2013-01-05,1,2013-01-06\n1,2013-01-05,2,2013-01-09\n1,2013-01-05,3,2013-01-08\n2,2013-01-05,9,2013-01-06\n",
    )
    columns = {"id": "int", "ts": "timestamp", "value": "float", "seen": "timestamp"}
    result = ingest(dataset(columns=columns, dedupe=dedupe, known_at=known_at))
    assert result.good["value"].to_pylist() == good
    assert (result.superseded, result.quarantined.num_rows) == (superseded, quarantined)


def test_exactly_equal_doubles_are_superseded(dataset, landed, ingest):
    landed("in/2013-02-01.csv", HEAD + "1,2013-01-05,1\n" * 3)
    assert ingest(dataset()).superseded == 2


def known(result):
    return [ts.strftime("%Y-%m-%d %H") for ts in result.good["__known_at"].to_pylist()]


def test_known_at_is_event_time_plus_delay_in_the_own_interval_or_a_first_load(dataset, landed, ingest):
    landed("in/2013-02-01.csv", HEAD + "1,2012-12-31,1\n2,2013-01-05,1\n3,2013-01-31 20:00,1\n")
    delayed = dataset(availability_delay="6h", late_window="7d")
    assert known(ingest(delayed)) == ["2013-02-01 00", "2013-01-05 06", "2013-02-01 00"]
    assert known(ingest(delayed, first_load=True)) == ["2012-12-31 06", "2013-01-05 06", "2013-02-01 00"]


def test_known_at_is_the_sources_own_column_whatever_the_interval(dataset, landed, ingest):
    text = "id,ts,seen\n1,2013-01-05,2013-01-06 07:00\n2,2013-01-05,2013-03-01\n3,2013-01-05,\n"
    landed("in/2013-02-01.csv", text)
    columns = {"id": "int", "ts": "timestamp", "seen": "timestamp"}
    own = dataset(columns=columns, known_at="seen")
    assert known(ingest(own)) == ["2013-01-06 07", "2013-03-01 00", "2013-02-01 00"]


def test_known_at_is_the_end_where_nothing_is_declared(dataset, landed, ingest):
    landed("in/2013-02-01.csv", HEAD + "1,2013-01-05,1\n")
    assert known(ingest(dataset())) == ["2013-02-01 00"]


def test_snapshots_are_identified_by_their_keys_and_known_at_the_end(dataset, landed, ingest):
    landed("planes.csv", "id,value\n1,1\n2,2\n1,3\n")
    result = ingest(dataset(path="planes.csv", columns={"id": "int", "value": "float"}, event_time=None))
    assert result.good["value"].to_pylist() == [2.0, 3.0]
    assert set(known(result)) == {"2013-02-01 00"}
    assert result.superseded == 1


def test_parquet_values_are_cast_and_told_apart_like_text(dataset, landed, ingest, tmp_path):
    import pyarrow.parquet as pq

    (tmp_path / "in").mkdir()
    table = pa.table(
        {
            "id": pa.array([1.0, 2.5, 3.0, None]),
            "ts": pa.array([datetime(2013, 1, 5, 6)] * 4, pa.timestamp("ns")),
            "value": pa.array(["1", "2", "x", "4"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "in/2013-02-01.parquet")
    result = ingest(dataset(path="in/{as_of}.parquet", timezone="America/New_York"))
    assert result.good["ts"].to_pylist() == [datetime(2013, 1, 5, 11, tzinfo=UTC)]
    assert result.quarantined["reason"].to_pylist() == [
        "id must be int, got 2.5", "value must be float, got 'x'", "id must not be null",
    ]  # fmt: skip
    assert result.quarantined["line"].to_pylist() == [None] * 3
