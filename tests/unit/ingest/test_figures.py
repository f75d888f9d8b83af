"""By property: whatever the damage, no row is lost, doubled or invented."""

import itertools
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.ingest.read import read
from evergreen.spec.dataset import Dataset

DAYS = st.dates(datetime(2012, 12, 20).date(), datetime(2013, 2, 10).date())
CELLS = {
    "id": st.one_of(st.integers(0, 5).map(str), st.sampled_from(["", "x", "1.5"])),
    "ts": st.one_of(DAYS.map(str), st.sampled_from(["", "never", "2013-01-05T01:00Z"])),
    "value": st.one_of(
        st.floats(-5, 5).map(repr), st.sampled_from(["NA", "abc", "a,b", 'say "hi"', "two\nlines", "é"])
    ),
}
ROW = st.tuples(*CELLS.values()).map(list)
DAMAGED = st.one_of(ROW, ROW, ROW, ROW.map(lambda row: row[:2]), ROW.map(lambda row: [*row, "9"]), st.just([""]))
BOUNDS = [datetime(2012, month, 1, tzinfo=UTC) for month in (11, 12)] + [
    datetime(2013, month, 1, tzinfo=UTC) for month in (1, 2, 3)
]


def written(rows: list[list[str]]) -> str:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if any(each in text for each in ',"\n') else text

    return "id,ts,value\n" + "".join(",".join(map(cell, row)) + "\n" for row in rows)


def things(path: str, **fields: object) -> Dataset:
    return Dataset.model_validate(
        {
            "name": "things", "source": {"path": path}, "schedule": {"cron": "0 0 1 * *"}, "event_time": "ts",
            "entity": ("id",), "columns": {"id": "int", "ts": "timestamp", "value": "float"}, **fields,
        }
    )  # fmt: skip


def run(dataset: Dataset, folder: str, start: datetime, end: datetime, first_load: bool):
    result = read(dataset, as_of="2013-02-01", start=start, end=end, first_load=first_load, landing=folder)
    assert result.rows_read == result.good.num_rows + result.quarantined.num_rows + result.superseded
    return result


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(DAMAGED, min_size=1, max_size=12),
    dedupe=st.sampled_from(["latest", "first", "reject"]),
    first_load=st.booleans(),
    select=st.sampled_from([None, "select id, ts, value from source"]),
)
def test_every_record_of_a_runs_own_file_is_accounted_for(rows, dedupe, first_load, select):
    widths = {len(row) for row in rows if row != [""]}
    if widths and 3 not in widths:
        rows = [*rows, ["1", "2013-01-05", "1.0"]]  # else the header is wrong, which is an error of the file
    with TemporaryDirectory() as folder:
        Path(folder, "2013-02-01.csv").write_text(written(rows), encoding="utf-8")
        result = run(things("{as_of}.csv", dedupe=dedupe, select=select), folder, BOUNDS[2], BOUNDS[3], first_load)
    records = [row for row in rows if row != [""]]
    assert result.rows_read == result.rows_source == len(records)
    lines = [line for column in (result.good["__line"], result.quarantined["line"]) for line in column.to_pylist()]
    assert len(set(lines)) == len(lines)  # no row is both good and set aside, none is there twice
    text = written(rows).split("\n")
    for reject in result.quarantined.to_pylist():
        original = json.loads(reject["row"])
        assert reject["reason"]
        first_cell = original.get("_raw", original.get("id") or "").split(",")[0].strip('"')
        assert text[reject["line"] - 1].startswith((first_cell, f'"{first_cell}'))
    identities = Counter(zip(result.good["id"].to_pylist(), result.good["ts"].to_pylist(), strict=True))
    assert not identities or max(identities.values()) == 1


@settings(max_examples=12, deadline=None)
@given(rows=st.lists(DAMAGED, min_size=1, max_size=12))
def test_every_record_of_a_shared_file_belongs_to_exactly_one_run(rows):
    rows = [*rows, ["9", "2013-01-05", "1.0"]]
    with TemporaryDirectory() as folder:
        Path(folder, "all.csv").write_text(written(rows), encoding="utf-8")
        runs = [
            run(things("all.csv", dedupe="latest"), folder, start, end, first_load=False)
            for start, end in itertools.pairwise(BOUNDS)
        ]
    assert sum(each.rows_read for each in runs) == len([row for row in rows if row != [""]])
