"""Types that nobody declared: lossless, or text; a column is never rounded, and an empty one decides nothing."""

import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.errors import DataError

MOMENT = "2013-01-05T10:00:00"


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


@pytest.fixture
def column(dataset, landed, ingest):
    """What becomes of one undeclared CSV column: its Arrow type and its values."""

    def read(*texts, types=None, **fields):
        lines = [f'{number},2013-01-05,"{text}"' for number, text in enumerate(texts)]
        landed("in/2013-02-01.csv", "id,ts,x\n" + "\n".join(lines) + "\n")
        result = ingest(dataset(columns=None, **fields), types=types)
        assert (result.good.num_rows, result.superseded) == (len(texts), 0)
        return str(result.good.schema.field("x").type), result.good["x"].to_pylist()

    return read


@pytest.fixture
def parquet_column(dataset, landed, ingest):
    """What becomes of one undeclared column of one or several Parquet files."""

    def read(*arrays, **fields):
        for number, array in enumerate(arrays):
            ids = pa.array(range(100 * number, 100 * number + len(array)))
            times = pa.array([datetime(2013, 1, 5)] * len(array), pa.timestamp("us"))
            landed(f"in/2013-02-01/{number}.parquet", parquet(pa.table({"id": ids, "ts": times, "x": array})))
        result = ingest(dataset(path="in/{as_of}/*.parquet", columns=None, **fields))
        return str(result.good.schema.field("x").type), result.good["x"].to_pylist()

    return read


def test_ids_that_fit_no_integer_stay_apart(dataset, landed, ingest):
    landed(
        "in/2013-02-01.csv",
        f"moment,barcode,n\n{MOMENT},18446744073709551001,1\n{MOMENT},18446744073709551002,2\n"
        f"{MOMENT},18446744073709551003,3\n",
    )
    result = ingest(dataset(columns=None, event_time="moment", entity=("barcode",)))
    assert result.good["barcode"].to_pylist() == [f"1844674407370955100{digit}" for digit in (1, 2, 3)]
    assert (result.superseded, result.good.schema.field("n").type) == (0, pa.int64())


@pytest.mark.parametrize(
    ("texts", "kind", "values"),
    [
        (["1", "-2", " 3 "], "int64", [1, -2, 3]),
        (["9223372036854775807", "-9223372036854775808"], "int64", [2**63 - 1, -(2**63)]),
        (["9223372036854775808", "1"], "string", None),
        (["007", "7"], "string", None),
        (["02134", "90210"], "string", None),
        (["+4915112345678", "4915112345678"], "string", None),
        (["9007199254740993", "1.5"], "string", None),
        (["9007199254740991", "1.5"], "double", [2.0**53 - 1, 1.5]),
        (["9007199254740992", "1.5"], "string", None),
        (["1.0", "2.0"], "double", [1.0, 2.0]),
        (["0.1", "1e-05", "-3.25E7", ".5", "7."], "double", [0.1, 1e-5, -3.25e7, 0.5, 7.0]),
        (["0.30000000000000004", "1.7976931348623157e308"], "double", [0.1 + 0.2, 1.7976931348623157e308]),
        (["1.000000000000000056e-01", "5e-324"], "double", [0.1, 5e-324]),
        (["0.3333333333333333333333", "0.5"], "string", None),
        (["12345678.123456789012", "0.5"], "string", None),
        (["1e400", "0.5"], "string", None),
        (["1e-400", "0.5"], "string", None),
        (["1.5", "nan"], "double", [1.5, None]),
        (["1.5", "inf"], "string", None),
        (["1_000", "5"], "string", None),
        (["1,5", "2"], "string", None),
        (["0x1f", "5"], "string", None),
        (["0", "1"], "int64", [0, 1]),
        (["true", "FALSE"], "bool", [True, False]),
        (["yes", "no"], "string", None),
        (["t", "f"], "string", None),
        (["2013-01-05", "2013-1-6"], "date32[day]", [date(2013, 1, 5), date(2013, 1, 6)]),
        (["2013-01-05 00:00"], "timestamp[us, tz=UTC]", [datetime(2013, 1, 5, tzinfo=UTC)]),
        (["2013-01-05", "2013-01-05T06:00Z"], "timestamp[us, tz=UTC]", None),
        (["2013-02-30", "2013-01-05"], "string", None),
        (["24-03-01", "24-03-02"], "string", None),
        (["2013-01-05 10:00:00 pm", "2013-01-05 10:00"], "string", None),
        (["2013-01-05 10:00:00.123456789"], "string", None),
        (["epoch", "2013-01-05"], "string", None),
        (["20130105", "20130106"], "int64", [20130105, 20130106]),
        (["12:30", "13:00"], "string", None),
    ],
)
def test_a_column_is_lossless_or_text(column, texts, kind, values):
    found, got = column(*texts)
    assert found == kind
    if kind == "string":
        assert got == texts
    elif values is not None:
        assert got == values


def test_what_is_found_holds_for_the_rows_behind_the_sample(column):
    assert column(*["1"] * 2500, "18446744073709551001")[0] == "string"
    assert column(*["1.5"] * 2500, "0.3333333333333333333333")[0] == "string"
    assert column(*["2013-01-05 10:00"] * 2500, "2013-01-05 10:00 rubbish")[0] == "string"
    assert column(*["2013-01-05"] * 2500, "2013-01-05 10:00")[0] == "timestamp[us, tz=UTC]"
    assert column(*["1"] * 2500, "1.5")[0] == "double"


def test_a_time_that_does_not_exist_takes_no_type_away(dataset, landed, ingest):
    landed("in/2013-02-01.csv", "id,ts,seen\n1,2013-01-05,2012-03-11 02:30\n2,2013-01-05,2012-03-11 03:30\n")
    result = ingest(dataset(columns=None, timezone="America/New_York"))
    assert result.good["seen"].to_pylist() == [datetime(2012, 3, 11, 7, 30, tzinfo=UTC)]
    assert result.quarantined["rule"].to_pylist() == ["columns.seen"]


@pytest.mark.parametrize(
    ("arrays", "kind", "values"),
    [
        ([pa.array([2**63 + 1, 2**63 + 2], pa.uint64())], "string", ["9223372036854775809", "9223372036854775810"]),
        ([pa.array([1, 2], pa.uint64())], "int64", [1, 2]),
        ([pa.array([10**20 + 1, 10**20 + 2], pa.decimal128(38, 0))], "string", [str(10**20 + 1), str(10**20 + 2)]),
        ([pa.array([10**60 + 1, 10**60 + 2], pa.decimal256(70, 0))], "string", [str(10**60 + 1), str(10**60 + 2)]),
        ([pa.array([1, 2], pa.decimal128(38, 0))], "int64", [1, 2]),
        ([pa.array([Decimal("1.50"), Decimal("0.10")])], "double", [1.5, 0.1]),
        (
            [pa.array([Decimal("1.000000000000000001"), Decimal("1.000000000000000002")])],
            "string",
            ["1.000000000000000001", "1.000000000000000002"],
        ),
        ([pa.array([2.0**53, 1.5])], "double", [2.0**53, 1.5]),
        ([pa.array([1.5, 2.5], pa.float16())], "double", [1.5, 2.5]),
        ([pa.array(["007", "8"])], "string", ["007", "8"]),
        ([pa.array(["7", "8"])], "string", ["7", "8"]),
        ([pa.array([1, 2]), pa.array([1.5, None])], "double", [1.0, 2.0, 1.5, None]),
        ([pa.array([2**53 + 1]), pa.array([2.0, None])], "int64", [2**53 + 1, 2, None]),
        ([pa.array([1], pa.int8()), pa.array([2**63 + 1], pa.uint64())], "string", ["1", "9223372036854775809"]),
        ([pa.nulls(1), pa.array(["a"]), pa.nulls(1, pa.float64())], "string", [None, "a", None]),
        ([pa.array([None], pa.string()), pa.array([5])], "int64", [None, 5]),
    ],
)
def test_parquet_columns_are_lossless_too(parquet_column, arrays, kind, values):
    assert parquet_column(*arrays) == (kind, values)


@pytest.mark.parametrize("select", [None, "select id, ts, x from source", "select * from source"])
def test_big_parquet_ids_survive_a_select(parquet_column, select):
    big = [2**63 + 1, 2**63 + 2]
    assert parquet_column(pa.array(big, pa.uint64()), select=select) == ("string", list(map(str, big)))


def test_what_a_select_computes_is_not_rounded_either(dataset, landed, ingest):
    landed("in/2013-02-01.csv", "id,ts,x\n1,2013-01-05,9223372036854775807\n2,2013-01-05,1\n")
    sql = "select id, ts, x::hugeint + 1 as more, x::decimal(38,2) + 0.01 as cents, (x % 10) * 0.1 as tenth from source"
    good = ingest(dataset(columns=None, select=sql)).good
    assert good["more"].to_pylist() == ["9223372036854775808", "2"]
    assert good["cents"].to_pylist() == ["9223372036854775807.01", "1.01"]
    assert good["tenth"].to_pylist() == [0.7, 0.1]


def test_parquet_files_that_cannot_agree_are_told_by_name_and_what_to_declare(parquet_column):
    with pytest.raises(DataError, match=r"1.parquet .*0.parquet .*x.* int64 .*string.*Declare .*x: string"):
        parquet_column(pa.array([1]), pa.array(["a"]))
    with pytest.raises(DataError, match=r"must have the same type.*Declare"):
        parquet_column(pa.array([2**53 + 1]), pa.array([1.5]))


@pytest.mark.parametrize("columns", [None, {"id": "int", "ts": "timestamp"}])
def test_naive_and_zoned_times_of_two_parquet_files_are_read_each_by_itself(dataset, landed, ingest, columns):
    local = pa.array([datetime(2013, 1, 5, 6)], pa.timestamp("ns"))
    zoned = pa.array([datetime(2013, 1, 5, 6, tzinfo=UTC)], pa.timestamp("ms", tz="Europe/Berlin"))
    for name, times in (("a", local), ("b", zoned), ("c", local)):
        landed(f"in/{name}.parquet", parquet(pa.table({"id": [ord(name)], "ts": times})))
    result = ingest(dataset(path="in/*.parquet", columns=columns, timezone="America/New_York"))
    eleven, six = datetime(2013, 1, 5, 11, tzinfo=UTC), datetime(2013, 1, 5, 6, tzinfo=UTC)
    assert result.good["ts"].to_pylist() == [eleven, six, eleven]
    assert result.good["__source"].to_pylist() == ["in/a.parquet", "in/b.parquet", "in/c.parquet"]


def test_dates_and_times_of_two_parquet_files_agree(dataset, landed, ingest):
    for name, times in (("a", pa.array([date(2013, 1, 5)])), ("b", pa.array([datetime(2013, 1, 5, 6)]))):
        landed(f"in/{name}.parquet", parquet(pa.table({"id": [ord(name)], "ts": times, "seen": times})))
    result = ingest(dataset(path="in/*.parquet", columns=None, timezone="America/New_York"))
    assert [each.hour for each in result.good["seen"].to_pylist()] == [5, 11]


@pytest.mark.parametrize(
    ("array", "kind", "fits", "unfit"),
    [
        (pa.array([2.0**53 - 1, 2.0**53, 1.5, None]), "int", [2**53 - 1, None], 2),
        (pa.array([2**63 + 1, 5], pa.uint64()), "int", [5], 1),
        (pa.array([2**63 + 1, 5], pa.uint64()), "string", ["9223372036854775809", "5"], 0),
        (pa.array([101.0, 1.5, None]), "string", ["101", "1.5", None], 0),
        (pa.array([10**60], pa.decimal256(70, 0)), "string", [str(10**60)], 0),
        (pa.array([1.5], pa.float16()), "float", [1.5], 0),
        (pa.array([datetime(2013, 1, 5)], pa.timestamp("s")), "date", [date(2013, 1, 5)], 0),
        (pa.array([1, 10**3 + 1], pa.timestamp("ns")), "timestamp", [], 2),
        (pa.array([10**3], pa.timestamp("ns")), "timestamp", [datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)], 0),
        (pa.array([2**60], pa.timestamp("ms")), "timestamp", [], 1),
    ],
)
def test_declared_types_of_parquet_columns_do_not_round(dataset, landed, ingest, array, kind, fits, unfit):
    landed("in/a.parquet", parquet(pa.table({"id": range(len(array)), "x": array})))
    result = ingest(dataset(path="in/a.parquet", columns={"id": "int", "x": kind}, event_time=None))
    assert (result.good["x"].to_pylist(), result.quarantined.num_rows) == (fits, unfit)


def test_times_of_parquet_that_no_table_can_hold_are_set_aside(dataset, landed, ingest):
    for name, times in {
        "ns": pa.array([1_357_344_000_000_000_001, 1_357_344_000_000_001_000], pa.timestamp("ns")),
        "zoned": pa.array([1_357_344_000_000_000_001, 1_357_344_000_000_001_000], pa.timestamp("ns", tz="UTC")),
        "far": pa.array([2**60, 1_357_344_000_000], pa.timestamp("ms")),
        "far zoned": pa.array([2**60, 1_357_344_000_000], pa.timestamp("ms", tz="UTC")),
    }.items():
        landed("in/a.parquet", parquet(pa.table({"id": [1, 2], "ts": times})))
        result = ingest(dataset(path="in/a.parquet", columns=None), first_load=True)
        assert (result.good["id"].to_pylist(), result.quarantined.num_rows) == ([2], 1), name


@pytest.mark.parametrize("content", ["id,ts,x\n1,2013-01-05,\n2,2013-01-05,NA\n", "id,ts,x\n"])
def test_a_column_without_values_has_no_type(dataset, landed, ingest, content):
    landed("in/2013-02-01.csv", content)
    schema = ingest(dataset(columns=None)).good.schema
    assert schema.field("x").type == pa.null()
    assert schema.field("ts").type == pa.timestamp("us", tz="UTC")
    columns = {"id": "int", "ts": "timestamp", "x": "float"}
    assert ingest(dataset(columns=columns)).good.schema.field("x").type == pa.float64()


def test_a_column_whose_only_values_are_set_aside_has_no_type(dataset, landed, ingest):
    landed("in/2013-02-01.csv", "id,ts,x\n1,2013-01-05,\n2,2014-01-05,abc\n")
    result = ingest(dataset(columns=None))
    assert (result.good.schema.field("x").type, result.quarantined.num_rows) == (pa.null(), 1)


def test_a_select_on_a_column_without_values_decides_nothing(dataset, landed, ingest):
    landed("in/2013-02-01.csv", "id,ts,x\n1,2013-01-05,\n")
    schema = ingest(dataset(columns=None, select="select id, ts, x as y, x * 2 as z from source")).good.schema
    assert [schema.field(name).type for name in "yz"] == [pa.null(), pa.null()]


@pytest.mark.parametrize(
    ("known", "texts", "kind", "values"),
    [
        ("float", ["5", "7"], "double", [5.0, 7.0]),
        ("string", ["007", "8"], "string", ["007", "8"]),
        ("string", ["1.50", "true"], "string", ["1.50", "true"]),
        ("timestamp", ["2013-01-05"], "timestamp[us, tz=UTC]", [datetime(2013, 1, 5, tzinfo=UTC)]),
        ("int", ["1.0", "2.0"], "int64", [1, 2]),
        ("int", ["", ""], "null", [None, None]),
    ],
)
def test_a_later_file_is_read_in_the_types_of_the_table_where_it_fits_them(column, known, texts, kind, values):
    assert column(*texts, types={"x": known}) == (kind, values)
    assert column(*texts, types={"x": known}, select="select id, ts, x from source")[0] in (kind, "string")


@pytest.mark.parametrize("select", [None, "select id, ts, x from source"])
@pytest.mark.parametrize(
    ("known", "texts", "words"),
    [
        ("int", ["5", "abc"], r"column x must be int as in the table.*got 'abc'.*3.*Declare .*x: string.*columns"),
        ("int", ["5", "7.5"], r"column x must be int as in the table.*got '7.5'.*Declare .*x: float"),
        ("float", ["18446744073709551001"], r"column x must be float as in the table.*Declare .*x: string"),
        ("bool", ["true", "5"], r"column x must be bool as in the table.*Declare .*x: string"),
        ("date", ["2013-01-05 06:00"], r"column x must be date as in the table.*Declare .*x: timestamp"),
    ],
)
def test_a_later_file_of_another_type_is_told_what_to_declare(column, known, texts, words, select):
    with pytest.raises(DataError, match=words):
        column(*texts, types={"x": known}, select=select)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(2)])
def test_text_that_a_parquet_file_holds_as_bytes_is_text(parquet_column, kind):
    assert parquet_column(pa.array(["é".encode(), None], kind)) == ("string", ["é", None])


def test_bytes_that_are_no_text_are_refused(dataset, landed, ingest):
    times = pa.array([datetime(2013, 1, 5)], pa.timestamp("us"))
    landed("in/2013-02-01.parquet", parquet(pa.table({"id": [1], "ts": times, "x": pa.array([b"\xff\xfe"])})))
    with pytest.raises(DataError, match="column x must hold text in UTF-8"):
        ingest(dataset(path="in/{as_of}.parquet", columns=None))
