"""What fresh eyes found in portions of a few rows: each reads as it does in one piece."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.errors import DataError
from evergreen.ingest.typed import Wider

ROWS = "".join(f"{number},2013-01-{number % 28 + 1:02d},{number}\n" for number in range(12))
BY_ID = "row_number() over (order by id) as n"


def parquet(column: pa.Array) -> bytes:
    stream, count = io.BytesIO(), len(column)
    table = pa.table({"id": range(count), "ts": ["2013-01-05"] * count, "value": column})
    pq.write_table(table, stream, row_group_size=3)
    return stream.getvalue()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_text_without_a_byte_order_mark_has_the_machine_s(dataset, landed, ingest, encoding):
    landed("in/2013-02-01.csv", ("id,ts,value\n" + ROWS).encode(encoding)[len("".encode(encoding)) :])
    assert ingest(dataset(source={"encoding": encoding})).good["id"].to_pylist() == list(range(12))


def test_an_encoding_of_no_text_is_refused(dataset, landed, ingest):
    landed("in/2013-02-01.csv", "616263")
    with pytest.raises(DataError, match="must be an encoding that Python knows, got 'hex'"):
        ingest(dataset(source={"encoding": "hex"}))


@pytest.mark.parametrize(
    ("columns", "words"),
    [("value, value AS value", "every column once"), ("value, value AS __known_at", "reserved column names")],
)
def test_names_are_refused_in_one_way(dataset, landed, ingest, small_portions, columns, words):
    landed("in/2013-02-01.csv", "id,ts,value\n" + ROWS)
    for portion in (None, small_portions()):
        with pytest.raises(DataError, match=words):
            ingest(dataset(select=f"SELECT id, ts, {columns}, {BY_ID} FROM source"), portion=portion)


def test_names_that_differ_in_case_stay_what_they_are(dataset, landed, ingest):
    landed("in/2013-02-01.csv", "id,ts,value\n" + ROWS)
    good = ingest(dataset(select=f"SELECT id, ts, value, value AS VALUE, {BY_ID} FROM source")).good
    assert good.column_names[2:4] == ["value", "VALUE"]


@pytest.mark.parametrize("types", [{}, {"value": "float"}])
def test_a_portion_of_nothing_but_nan_keeps_them(dataset, landed, ingest, types):
    landed("in/2013-02-01.parquet", parquet(pa.array([float("nan")] * 6 + [1.5] * 6)))
    good = ingest(dataset(path="in/{as_of}.parquet", columns=None), types=types).good
    assert [str(value) for value in good["value"].to_pylist()] == ["nan"] * 6 + ["1.5"] * 6


def test_a_portion_of_nothing_has_the_table_s_type(dataset, landed, ingest):
    landed("in/2013-02-01.parquet", parquet(pa.array([None] * 6 + [1] * 6, pa.int64())))
    good = ingest(dataset(path="in/{as_of}.parquet", columns=None), types={"value": "float"}).good
    assert good["value"].to_pylist() == [None] * 6 + [1.0] * 6


def test_broken_rows_before_the_first_time_go_with_it(dataset, landed, ingest):
    broken = "".join(f"{number},x,1\n" for number in range(20, 25))
    landed("in/all.csv", "id,ts,value\n" + broken + "9,2014-01-01,1\n" + ROWS + "30,x,1\n")
    result = ingest(dataset(path="in/all.csv"))
    assert (result.rows_read, result.quarantined.num_rows) == (13, 1)


def test_what_turned_out_to_be_text_is_named():
    assert Wider(name for name in "ba").names == {"a", "b"}
