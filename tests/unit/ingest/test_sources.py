"""Which files a run reads, and what it says of files that cannot be read."""

import gzip
import io
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.errors import DataError, NotReady
from evergreen.ingest.files import Skipped, fingerprint, locate

HEAD = "id,ts,value\n"
ROWS = HEAD + "1,2013-01-05 00:00,1.5\n2,2013-01-06 00:00,2.5\n"


def zipped(**members: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return out.getvalue()


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def test_reads_the_file_of_its_key(dataset, landed, ingest):
    landed("in/2013-02-01.csv", ROWS)
    landed("in/2013-03-01.csv", ROWS + "3,2013-02-05 00:00,1\n")
    result = ingest(dataset())
    assert result.files == ("in/2013-02-01.csv",)
    assert result.good["value"].to_pylist() == [1.5, 2.5]
    assert result.good["__line"].to_pylist() == [2, 3]


TWO = {"a.csv": HEAD + "1,2013-01-05,1.5\n", "__MACOSX/x": "?", "sub/b.csv": HEAD + "2,2013-01-06,2.5\n"}
WIDE = pa.table({"id": [1, 2], "ts": ["2013-01-05", "2013-01-06"], "value": [1.5, 2.5], "other": [0, 0]})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in/2013-02-01.csv.gz", gzip.compress(ROWS.encode())),
        ("in/2013-02-01.csv.zip", zipped(**{"a.csv": ROWS})),
        ("in/2013-02-01.zip", zipped(**TWO)),
        ("in/2013-02-01.parquet", parquet(WIDE)),
    ],
    ids=["gzip", "zip", "zip of two", "parquet"],
)  # fmt: skip
def test_unpacks(dataset, landed, ingest, name, content):
    landed(name, content)
    result = ingest(dataset(path=name.replace("2013-02-01", "{as_of}")))
    assert sorted(result.good["value"].to_pylist()) == [1.5, 2.5]
    assert result.good.column_names[:3] == ["id", "ts", "value"]


def test_globs_match_files_and_pass_over_hidden_ones(dataset, landed, ingest):
    for name in ("in/2013-02-01/a.csv", "in/2013-02-01/b.csv", "in/2013-02-01/.c.csv", "in/2013-02-01/_d.csv"):
        landed(name, HEAD + f"{ord(name[-5])},2013-01-05 00:00,1\n")
    assert ingest(dataset(path="in/{as_of}/?.csv")).files == ("in/2013-02-01/a.csv", "in/2013-02-01/b.csv")
    assert ingest(dataset(path="**/*.csv")).rows_read == 2


def test_a_folder_has_its_partitions_as_columns(dataset, landed, ingest):
    for day in (5, 6):
        table = pa.table({"id": [day], "value": [1.0]})
        landed(f"in/kind=a%20b/ts=2013-01-0{day}/part.parquet", parquet(table))
    columns = {"id": "int", "ts": "date", "value": "float", "kind": "string"}
    result = ingest(dataset(path="in", columns=columns))
    assert [str(ts)[:10] for ts in result.good["ts"].to_pylist()] == ["2013-01-05", "2013-01-06"]
    assert set(result.good["kind"].to_pylist()) == {"a b"}


def test_odd_characters_in_the_landing_root_do_no_harm(dataset, tmp_path):
    root = tmp_path / "a [b] *c"
    root.mkdir()
    (root / "x[1].csv").write_text(ROWS)
    [file] = locate(dataset(path="x[1].*"), as_of="2013-02-01", landing=str(root))
    assert file.name == "x[1].csv"


@pytest.mark.parametrize(
    ("policy", "error", "words"),
    [("wait", NotReady, "yet"), ("skip", Skipped, "when_missing is skip"), ("fail", DataError, "Lay the file there")],
)
def test_a_missing_file_waits_skips_or_fails_by_policy(dataset, ingest, policy, error, words):
    with pytest.raises(error, match=words):
        ingest(dataset(source={"when_missing": policy}))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("in/a.csv", b"", "in/a.csv must not be empty"),
        ("in/a.csv", b"\n\n", "header line"),
        ("in/a.csv", HEAD.encode() + b"1,2013-01-05,\xe9t\xe9\n", r"in/a.csv:2 byte 25 must be utf-8 .* latin-1"),
        ("in/a.csv", HEAD.encode() + b"1,2013-01-05,\xc3", "truncated: it ends in the middle of a character"),
        ("in/a.csv", HEAD.encode() + b"1,\0\0\0\n", "in/a.csv:2 must be text, but holds NUL"),
        ("in/a.csv", HEAD.encode() + b"1,2013-01-05,1\n2,2013-", "in/a.csv:3 is truncated: it ends after 2 of 3"),
        ("in/a.csv", HEAD.encode() + b'1,2013-01-05,1\n2,"2013-\n01,1\n3,', "in/a.csv:3 is truncated: .* quoted field"),
        ("in/a.csv", b"id,ts,value,ts\n", r"in/a.csv:1 must name every column once, got \['ts'\]"),
        ("in/a.csv", b"id,ts,Value\n", r"in/a.csv:1 must have column\(s\) value .is it 'Value'"),
        ("in/a.csv", b"id,ts,value\n1,2,3,4\n1,2,3,4\n", "as many fields in each row as its header"),
        ("in/a.csv.gz", gzip.compress(ROWS.encode())[:-9], "truncated or damaged"),
        ("in/a.csv.gz", b"no gzip", "truncated or damaged"),
        ("in/a.zip", zipped(**{"a.csv": ROWS})[:-30], "truncated or damaged"),
        ("in/a.zip", zipped(), "at least one CSV"),
        ("in/a.parquet", parquet(pa.table({"id": [1]}))[:-3], "truncated, damaged or not Parquet"),
        ("in/a.parquet", parquet(pa.table({"id": [1]})), r"must have column\(s\) ts, value"),
        ("in/a.txt", ROWS.encode(), "set source.format"),
    ],
)  # fmt: skip
def test_a_broken_file_is_one_clear_error(dataset, landed, ingest, name, content, words):
    landed(name, content)
    with pytest.raises(DataError, match=words):
        ingest(dataset(path=name))


def test_damage_in_the_middle_of_a_parquet_file_is_found(dataset, landed, ingest):
    content = bytearray(
        parquet(pa.table({"id": list(range(5000)), "ts": ["2013-01-05"] * 5000, "value": [1.0] * 5000}))
    )
    content[200:4000] = b"\xff" * 3800
    landed("in/a.parquet", bytes(content))
    with pytest.raises(DataError, match="truncated, damaged or not Parquet"):
        ingest(dataset(path="in/a.parquet"))


def test_another_encoding_delimiter_and_null_values_can_be_declared(dataset, landed, ingest):
    landed("in/a.csv", "id;ts;value;name\n1;2013-01-05;-;é\n".encode("cp1252"))
    source = {"encoding": "cp1252", "delimiter": ";", "null_values": ["-"]}
    columns = {"id": "int", "ts": "timestamp", "value": "float", "name": "string"}
    good = ingest(dataset(path="in/a.csv", source=source, columns=columns)).good
    assert good.to_pylist()[0]["name"] == "é"
    assert good.to_pylist()[0]["value"] is None


def test_a_byte_order_mark_windows_line_ends_and_blank_lines_do_no_harm(dataset, landed, ingest):
    landed("in/a.csv", b"\xef\xbb\xbfid,ts,value\r\n\r\n1,2013-01-05,1\r\n\r\nx,2013-01-05,1\r\n")
    result = ingest(dataset(path="in/a.csv"))
    assert (result.rows_read, result.rows_source) == (2, 2)
    assert result.quarantined["line"].to_pylist() == [5]


def test_a_header_alone_is_no_rows(dataset, landed, ingest):
    landed("in/a.csv", HEAD)
    result = ingest(dataset(path="in/a.csv"))
    assert result.rows_read == 0
    assert result.good.schema.field("value").type == pa.float64()
    untyped = dataset(path="in/a.csv", columns=None, select="select ts + interval 1 hour as ts, id from source")
    assert ingest(untyped).rows_read == 0


def test_files_of_one_run_must_have_the_same_columns(dataset, landed, ingest):
    landed("in/a.csv", HEAD)
    landed("in/b.csv", "id,ts,other\n")
    with pytest.raises(DataError, match=r"in/b.csv must have the same columns as in/a.csv.*other.*value"):
        ingest(dataset(path="in/*.csv", columns=None))


def test_the_fingerprint_follows_contents_and_names_and_no_order(dataset, landed, tmp_path):
    def of(pattern: str) -> str:
        return fingerprint(dataset(path=pattern), as_of="2013-02-01", landing=str(tmp_path))

    landed("in/a.csv", ROWS)
    landed("in/b.csv", HEAD)
    before = of("in/*.csv")
    landed("in/b.csv", HEAD)
    assert of("in/*.csv") == before == of("in")
    landed("in/b.csv", HEAD + "\n")
    assert of("in/*.csv") != before


def test_a_key_cannot_climb_out_of_the_landing_root(dataset, tmp_path):
    with pytest.raises(DataError, match="as_of must be an ISO date"):
        fingerprint(dataset(), as_of="../../etc", landing=str(tmp_path))


def test_the_landing_root_can_be_any_file_system(dataset):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/landing/in/2013-02-01.csv", ROWS.encode())
    [file] = locate(dataset(), as_of="2013-02-01", landing="memory://landing")
    assert (file.name, file.size) == ("in/2013-02-01.csv", len(ROWS))
    first = fingerprint(dataset(), as_of="2013-02-01", landing="memory://landing")
    assert first == fingerprint(dataset(path="in/*.csv"), as_of="2013-02-01", landing="memory://landing")
