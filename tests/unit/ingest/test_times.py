"""Times in text: read in full, by their meaning, or not at all."""

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.errors import DataError
from evergreen.ingest.times import read_times

GOOD = {
    "2024-03-01": "2024-03-01 00:00:00",
    "2024-3-1 1:05": "2024-03-01 01:05:00",
    "2024/03/01 10:00": "2024-03-01 10:00:00",
    " 2024-03-01T10:00:00 ": "2024-03-01 10:00:00",
    "2024-03-01 10:00:00.5": "2024-03-01 10:00:00.500000",
    "2024-03-01 10:00:00.123456000": "2024-03-01 10:00:00.123456",
    "2024-03-01 24:00": "2024-03-02 00:00:00",
    "2024-03-01T10:00Z": "2024-03-01 10:00:00",
    "2024-03-01T10:00z": "2024-03-01 10:00:00",
    "2024-03-01 10:00 UTC": "2024-03-01 10:00:00",
    "2024-03-01 10:00:00 GMT": "2024-03-01 10:00:00",
    "2024-03-01 10:00:00+05:30": "2024-03-01 04:30:00",
    "2024-03-01 10:00:00 +0530": "2024-03-01 04:30:00",
    "2024-03-01 10:00:00-08": "2024-03-01 18:00:00",
}
BAD = [
    "2024-03-01 01:10:00 pm", "2024-03-01 01:10:00pm", "2024-03-01 02:20:00 America/New_York",
    "2024-03-01 03:30:00 EST", "2024-03-01 03:30:00 Europe", "2024-03-01 04:40:00 rubbish", "2024-03-01 rubbish",
    "2024-03-01T", "epoch", "infinity", "-infinity", "now", "today", "24-03-01 10:00:00", "24-03-01", "024-03-01",
    "12024-03-01", "0000-01-01 10:00", "2024-03-01 (BC)", "0044-03-15 (BC) 10:00", "2024-02-30 10:00", "2024-03/01",
    "2024-03-01 25:00", "2024-03-01 24:30", "2024-03-01 10:60", "2024-03-01 23:59:60",
    "2024-03-01 10:00:00.1234567", "2024-03-01 10:00:00.123456789", "2024-03-01 10:00:00,5", "2024-03-01 10",
    "2024-03-01 1:5", "2024-03-01Z", "2024-03-01 10:00+99:00", "2024-03-01 10:00+16:00", "2024-03-01 10:00+05:75",
    "2024-03-01 10:00 UTC+02:00", "2024-03-01 10:00Z Z", "2024-03-01T10:00:00-05:00[America/New_York]",
    "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "20240301T100000", "01.03.2024 10:00",
    "3/1/2024 10:00", "1709287200", "2024-03-01\n10:00", "٢٠٢٤-03-01",
]  # fmt: skip


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


@pytest.mark.parametrize("first_load", [True, False])
@pytest.mark.parametrize("columns", [{"id": "int", "ts": "timestamp"}, {"id": "int", "ts": "string"}, None])
def test_an_instant_is_read_by_its_meaning_or_set_aside(dataset, landed, ingest, first_load, columns):
    texts = [*GOOD, *BAD]
    lines = [f"{number},{quoted(text)}" for number, text in enumerate(texts)]
    landed("in/2013-02-01.csv", "id,ts\n" + "\n".join(lines) + "\n")
    start, end = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
    result = ingest(dataset(columns=columns), first_load=first_load, start=start, end=end)
    read = dict(zip(result.good["id"].to_pylist(), result.good["ts"].to_pylist(), strict=True))
    assert {texts[key]: str(value)[:-6] for key, value in read.items()} == GOOD
    assert result.quarantined.num_rows == len(BAD)
    assert all("ts must be date and time" in reason for reason in result.quarantined["reason"].to_pylist())


def test_a_date_is_matched_in_full_or_not_at_all(dataset, landed, ingest):
    good = ["2024-03-01", "2024/3/1", " 2024-03-01 ", "2024-03-01 00:00", "2024-03-01T00:00:00.000"]
    bad = ["24-03-01", "2024-03-01 06:00", "2024-03-01 00:00Z", "2024-03-01 am", "2024-03-01x", "0000-03-01", "epoch"]
    lines = [f"{number},{text}" for number, text in enumerate([*good, *bad])]
    landed("in/a.csv", "id,day\n" + "\n".join(lines) + "\n")
    result = ingest(dataset(path="in/a.csv", columns={"id": "int", "day": "date"}, event_time=None))
    assert (result.good["id"].to_pylist(), result.quarantined.num_rows) == (list(range(len(good))), len(bad))
    assert {str(day) for day in result.good["day"].to_pylist()} == {"2024-03-01"}


def test_the_year_of_an_early_file_has_four_digits_too(dataset, landed, ingest):
    landed("in/2013-02-01.csv", "moment,n\n13-01-05 10:00:00,1\n2013-01-05 11:00:00,2\n")
    visits = dataset(columns={"moment": "timestamp", "n": "int"}, event_time="moment", entity=())
    for first_load in (True, False):
        result = ingest(visits, first_load=first_load)
        assert (result.good["n"].to_pylist(), result.quarantined["line"].to_pylist()) == ([2], [2])


def test_a_wrong_time_of_another_column_is_text_where_nothing_is_declared(dataset, landed, ingest):
    landed("in/2013-02-01.csv", "id,ts,seen\n1,2013-01-05,2013-01-05 10:00 EST\n")
    assert ingest(dataset(columns=None)).good["seen"].to_pylist() == ["2013-01-05 10:00 EST"]


def test_event_times_that_a_select_gives_as_text_are_read_in_full_too(dataset, landed, ingest):
    landed("in/2013-02-01.csv", "id,ts\n1,2013-01-05 10:00\n2,2013-01-05 10:00 pm\n3,\n")
    columns = {"id": "int", "ts": "string"}
    result = ingest(dataset(columns=columns, select="select id, ts || '' as ts from source"))
    assert result.good["id"].to_pylist() == [1]
    assert result.quarantined["rule"].to_pylist() == ["time.ts", "event_time.missing"]


MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 28))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(MOMENTS, st.tuples(MOMENTS, OFFSETS).map(lambda pair: pair[0].replace(tzinfo=pair[1])))))
def test_every_iso_text_means_what_python_reads(moments):
    texts = [each.isoformat(sep, spec) for each in moments for sep in "T " for spec in ("auto", "microseconds")]
    read = read_times(pa.chunked_array([pa.array(texts, pa.string())]))
    for text, local, instant in zip(texts, read.local.to_pylist(), read.instants.to_pylist(), strict=True):
        meant = datetime.fromisoformat(text)
        if meant.tzinfo is None:
            assert (local, instant) == (meant, None)
        else:
            assert (local, instant) == (None, meant.astimezone(UTC))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("0123456789-/: TZ+.zpmUC\n", max_size=24), max_size=8))
def test_no_other_text_is_a_time(texts):
    read = read_times(pa.chunked_array([pa.array(texts, pa.string())]))
    for text, local, instant in zip(texts, read.local.to_pylist(), read.instants.to_pylist(), strict=True):
        if local is not None or instant is not None:
            assert text.strip()[:4].isdigit()
            assert len(text.strip()) >= len("2024-3-1")


def test_a_type_that_holds_no_time_is_one_clear_error(dataset, landed, ingest):
    landed("in/2013-02-01.csv", "id,ts\n1,5\n")
    with pytest.raises(DataError, match="column ts must be a timestamp, a date or ISO text"):
        ingest(dataset(columns=None))
