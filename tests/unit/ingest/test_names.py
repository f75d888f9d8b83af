"""What stands in files of the world: odd names, odd line ends, words that mean true, words that mean nothing."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from evergreen.errors import DataError
from evergreen.lake.columns import SYSTEM
from evergreen.spec.base import SYSTEM_COLUMNS

ODD = [
    "temp (°C)",
    "a.b",
    "x y",
    'quo"te',
    "semi;colon",
    "comma,ed",
    "it's",
    "%s",
    "{b}",
    "2013",
    "_id",
    "ünï",
    "a\nb",
    "$",
]


def in_quotes(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def test_odd_names_can_be_declared_and_selected(dataset, landed, ingest):
    head = ",".join(map(in_quotes, ["id", "ts", *ODD]))
    landed("in/2013-02-01.csv", f"{head}\n1,2013-01-05," + ",".join(str(n) for n in range(len(ODD))) + "\n")
    columns = {"id": "int", "ts": "timestamp"} | dict.fromkeys(ODD, "int")
    for select in (None, "select * from source"):
        [row] = ingest(dataset(columns=columns, select=select)).good.to_pylist()
        assert [row[name] for name in ODD] == list(range(len(ODD)))
    quoted = ", ".join(f"{in_quotes(name)} as c{n}" for n, name in enumerate(ODD))
    [row] = ingest(dataset(columns=columns, select=f"select id, ts, {quoted} from source")).good.to_pylist()
    assert [row[f"c{n}"] for n in range(len(ODD))] == list(range(len(ODD)))


def test_odd_names_can_be_keys_times_and_subjects_of_expectations(dataset, landed, ingest):
    landed(
        "in/2013-02-01.csv", "station no.,time (local),x y\n7,2013-01-05 10:00,1\n7,2013-01-05 10:00,2\n7,rubbish,3\n"
    )
    odd = dataset(
        columns={"station no.": "int", "time (local)": "timestamp", "x y": "float"},
        event_time="time (local)",
        entity=("station no.",),
        expectations=[{"expect": "column_values_to_be_between", "column": "x y", "args": {"max_value": 5}}],
    )
    result = ingest(odd)
    assert (result.good["x y"].to_pylist(), result.superseded) == ([2.0], 1)
    assert json.loads(result.quarantined["row"][0].as_py())["time (local)"] == "rubbish"


@pytest.mark.parametrize("name", ["", " x", "x ", "__x", "_row_id", "_deleted"])
def test_a_reserved_name_cannot_be_declared(dataset, name):
    with pytest.raises(ValidationError, match=r"must be a column name|reserved"):
        dataset(columns={"id": "int", "ts": "timestamp", name: "int"})


def test_the_reserved_names_are_the_lakes():
    assert frozenset(SYSTEM) == SYSTEM_COLUMNS


@pytest.mark.parametrize("select", [None, 'select moment, "temp (°C)" as temp_c, "a,b" as ab from source'])
def test_special_names_need_no_declaration(dataset, landed, ingest, select):
    landed("in/2013-02-01.csv", 'moment,temp (°C),"a,b"\n2013-01-05T10:00:00,21.5,3\n')
    [row] = ingest(dataset(columns=None, event_time="moment", entity=(), select=select)).good.to_pylist()
    assert [row[name] for name in (("temp_c", "ab") if select else ("temp (°C)", "a,b"))] == [21.5, 3]


def test_a_byte_order_mark_and_mixed_line_ends_change_no_row(dataset, landed, ingest):
    content = (
        b'\xef\xbb\xbfmoment,n,s\r\n2013-01-05T10:00:00,1,"a\r\nb"\n2013-01-05T11:00:00,2,x\r'
        b"2013-01-05T12:00:00,3,y\r\n\r\n2013-01-05T13:00:00,4,z"
    )
    landed("in/2013-02-01.csv", content)
    for columns in ({"moment": "timestamp", "n": "int", "s": "string"}, None):
        result = ingest(dataset(columns=columns, event_time="moment", entity=()))
        assert result.good["n"].to_pylist() == [1, 2, 3, 4]
        assert result.good["s"].to_pylist() == ["a\r\nb", "x", "y", "z"]


def test_ties_in_key_and_time_are_superseded_by_the_row_read_last(dataset, landed, ingest):
    landed("in/2013-02-01.csv", "id,ts,value\n1,2013-01-05,1\n1,2013-01-05,2\n1,2013-01-05,3\n")
    result = ingest(dataset())
    assert (result.good["value"].to_pylist(), result.superseded) == ([3.0], 2)


def test_a_row_that_is_set_aside_keeps_the_texts_of_its_file(dataset, landed, ingest):
    landed(
        "in/2013-02-01.csv",
        "moment,country,via\n2013-01-05T10:00:00,NA,ZA\n2013-01-05T10:00:00,ZA,NA\n2013-02-30,,007 \n",
    )
    columns = {"moment": "timestamp", "country": "string", "via": "string"}
    for declared, select in ((columns, None), (columns, "select * from source"), (None, None)):
        result = ingest(dataset(columns=declared, select=select, event_time="moment", entity=("country",)))
        assert result.good["via"].to_pylist() == [None]
        assert [json.loads(row) for row in result.quarantined["row"].to_pylist()] == sorted(
            [
                {"moment": "2013-01-05T10:00:00", "country": "NA", "via": "ZA"},
                {"moment": "2013-02-30", "country": "", "via": "007 "},
            ],
            key=lambda row: row["via"] if declared else row["moment"],
        )


def test_a_folder_named_na_is_no_null(dataset, landed, ingest):
    landed("in/country=NA/a.csv", "id,ts\n1,2013-01-05\nx,2013-01-05\n")
    columns = {"id": "int", "ts": "timestamp", "country": "string"}
    result = ingest(dataset(path="in", columns=columns, entity=("country", "id")))
    assert result.good["country"].to_pylist() == ["NA"]
    assert json.loads(result.quarantined["row"][0].as_py()) == {"id": "x", "ts": "2013-01-05", "country": "NA"}


WORDS = ["true", "FALSE", "yes", "No", "y", "n", "T", "f", "on", "OFF", "1", "0", "1.0", " true "]
MEANT = [True, False] * 6 + [True, True]


def test_a_declared_bool_reads_what_people_write(dataset, landed, ingest):
    rows = "".join(f"{n},{word}\n" for n, word in enumerate([*WORDS, "NA", "2", "maybe"]))
    landed("in/a.csv", "id,value\n" + rows)
    result = ingest(dataset(path="in/a.csv", columns={"id": "int", "value": "bool"}, event_time=None))
    assert result.good["value"].to_pylist() == [*MEANT, None]
    assert result.quarantined["reason"].to_pylist() == [
        "value must be bool, got '2'",
        "value must be bool, got 'maybe'",
    ]


@pytest.mark.parametrize(
    "array",
    [pa.array([1, 0, None]), pa.array([1.0, 0.0, None]), pa.array([True, False, None]), pa.array(["y", "no", None])],
)
def test_a_declared_bool_of_parquet_reads_the_same(dataset, landed, ingest, array):
    out = io.BytesIO()
    pq.write_table(pa.table({"id": [1, 2, 3], "value": array}), out)
    landed("in/a.parquet", out.getvalue())
    result = ingest(dataset(path="in/a.parquet", columns={"id": "int", "value": "bool"}, event_time=None))
    assert result.good["value"].to_pylist() == [True, False, None]


def test_every_good_row_knows_its_number_where_the_select_keeps_a_trace(dataset, landed, ingest):
    landed("in/a.csv", "id,ts,value\n1,2013-01-05,1\nx,2013-01-05,1\n3,2013-01-05,1\n")
    landed("in/b.csv", "id,ts,value\n4,2013-01-05\n5,2013-01-05,1\n")
    for sql, numbers in {
        None: [0, 2, 4],
        "select id, ts from source order by id desc": [4, 2, 0],
        "select id, ts, count(*) as n from source group by all": [None] * 3,
    }.items():
        good = ingest(dataset(path="in/*.csv", select=sql)).good
        assert good["__row"].type == pa.int64()
        assert good["__row"].to_pylist() == numbers


def test_columns_that_sql_cannot_tell_apart_are_refused(dataset, landed, ingest):
    landed("in/2013-02-01.csv", "id,ts,A,a\n1,2013-01-05,1,2\n")
    for columns in (None, {"id": "int", "ts": "timestamp", "A": "int", "a": "int"}):
        with pytest.raises(DataError, match=r"differ in more than their case, got \['A', 'a'\]"):
            ingest(dataset(columns=columns, select="select id, ts, a as b from source"))
