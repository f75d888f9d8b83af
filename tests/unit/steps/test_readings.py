"""Staged rows as readings, window by window: in whatever order they stand, each window has its own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest

from evergreen.lake import spill
from evergreen.lake.lake import Lake
from evergreen.lake.rows import with_system_columns
from evergreen.lake.tables import Table
from evergreen.steps import readings, staging
from evergreen.steps.readings import Key, StagedReadings

STAMP = pa.timestamp("us", tz="UTC")
DAY0 = datetime(2013, 1, 1, tzinfo=UTC)
KEYS = [Key(name, DAY0 + timedelta(days=number), DAY0 + timedelta(days=number)) for number, name in enumerate("abc", 9)]


def rows(order: str) -> pa.Table:
    numbers = list(range(60))
    if order == "mixed":
        random.Random(1).shuffle(numbers)
    table = pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "at": pa.array([DAY0 + timedelta(hours=number // 2) for number in numbers], STAMP),
            "v": pa.array([f"v{number % 7}" for number in numbers], pa.string()),
            "key": pa.array(["abcd"[number % 4] for number in numbers], pa.string()),
        }
    )
    return table.sort_by("key") if order == "by key" else table


def finish(table: pa.Table) -> pa.Table:
    made = with_system_columns(
        table.drop_columns(["key"]), identity=["id", "at"], event_time="at", known_at=table["at"], as_of=""
    )
    return made.set_column(made.schema.get_field_index("_as_of"), "_as_of", table["key"])


@contextmanager
def staged(lake: Lake, table: pa.Table) -> Iterator[StagedReadings]:
    with staging.opened(lake, staging.put(lake, table)) as found:
        yield StagedReadings(found, KEYS, event_time="at", key_column="key", finish=finish)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setattr(spill, "GROUP", 8)
    return Lake(tmp_path / "lake")


def content(table: Table) -> list[dict[str, object]]:
    read = table.read_versions(["id", "at", "v"]).drop_columns(["_commit"])
    return sorted(read.to_pylist(), key=lambda row: (row["id"], row["_known_at"]))


@pytest.mark.parametrize("order", ["by time", "mixed", "by key"])
def test_windows_hold_each_row_once_and_write_what_the_whole_writes(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    table, whole, cut = rows(order), lake.table("whole"), lake.table("cut")
    with staged(lake, table) as given:
        assert not given.marks
        expected_spans = given.spans
        done = whole.append_readings(given, tag="one")
        assert (done.appended, whole.append_readings(given, tag="one")) == (45, done)
    monkeypatch.setattr(readings, "WINDOW_ROWS", 9)
    with staged(lake, table) as given:
        assert len(given.marks) >= 5
        assert given.spans == expected_spans
        edges = [None, *given.marks, None]
        seen = [each for pair in pairwise(edges) for each in given.between(*pair)]
        assert sum(each.rows.num_rows for each in seen) == 45
        assert {each.as_of for each in seen} == {"a", "b", "c"}
        assert cut.append_readings(given, tag="one") == done
        assert cut.append_readings(given, tag="one") == done
    assert content(cut) == content(whole)
    assert [row["evergreen.tag"] for row in cut.history() if "evergreen.tag" in row] == ["one"]


def test_a_reading_that_lost_and_changed_rows_is_settled_in_windows_as_in_one(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = rows("mixed")
    less = table.filter(pa.array([number % 5 != 0 for number in table["id"].to_pylist()]))
    changed = less.set_column(2, "v", pa.array(["new" if n % 9 == 0 else f"v{n % 7}" for n in less["id"].to_pylist()]))
    after = []
    for name, size in {"whole": 1000, "cut": 7}.items():
        monkeypatch.setattr(readings, "WINDOW_ROWS", size)
        to = lake.table(name)
        for tag, each in {"first": table, "second": changed}.items():
            with staged(lake, each) as given:
                done = to.append_readings(given, tag=tag)
        after.append((done, content(to)))
    assert after[0] == after[1]
    assert after[0][0].tombstones == len({n for n in range(60) if n % 5 == 0 and n % 4 != 3})
