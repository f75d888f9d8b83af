"""Merged files, removed files and a cleaned log: every version reads as before, beside any writer, after any kill."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.errors import DataError
from evergreen.lake import delta, upkeep
from evergreen.lake.delta import File
from evergreen.lake.lake import Lake
from evergreen.lake.rows import with_system_columns
from evergreen.lake.tables import Appended, Table
from evergreen.lake.upkeep import Run, Upkeep, merges, runs

DAY0 = datetime(2013, 1, 1, tzinfo=UTC)
STAMP = pa.timestamp("us", tz="UTC")
AT_ONCE = timedelta(0)


def test_files_are_told_apart_by_commits_that_do_not_overlap() -> None:
    files = [File(5, 5, 10, 7), File(1, 3, 1, 1), File(2, 4, 1, 1), File(0, 0, 9, 9)]
    assert runs(files) == [Run(0, 0, 1, 9, 9), Run(1, 4, 2, 2, 2), Run(5, 5, 1, 10, 7)]


def test_few_files_are_left_alone_and_many_are_merged() -> None:
    assert merges([_run(n, 1) for n in range(1, 16)]) == []
    assert [(each.first, each.last, each.files) for each in merges([_run(n, 1) for n in range(1, 21)])] == [(1, 20, 20)]


def test_a_large_run_waits_until_those_after_it_weigh_as_much() -> None:
    large = Run(1, 20, 1, 100, 50)
    after = [_run(n, 2) for n in range(21, 41)]
    assert [(each.first, each.last) for each in merges([large, *after])] == [(21, 40)]
    heavier = [_run(n, 3) for n in range(21, 41)]
    assert [(each.first, each.last) for each in merges([large, *heavier])] == [(1, 40)]


def test_what_memory_does_not_take_is_not_merged() -> None:
    half = upkeep.MAX_BYTES // 20
    found = merges([_run(n, half) for n in range(1, 61)])
    assert all(each.size_bytes <= upkeep.MAX_BYTES for each in found)
    assert sum(each.files for each in found) >= 40
    assert merges([_run(n, upkeep.MAX_BYTES + 1) for n in range(1, 61)]) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 1000), max_size=400))
def test_a_row_is_written_anew_about_as_often_as_the_logarithm(sizes: list[int]) -> None:
    standing: list[Run] = []
    written = 0
    for number, size in enumerate(sizes, 1):
        standing.append(_run(number, size))
        for each in merges(standing):
            written += each.size_bytes
            inside = [run for run in standing if each.first <= run.first and run.last <= each.last]
            at = standing.index(inside[0])
            standing[at : at + len(inside)] = [each._replace(files=1)]
    assert written <= 12 * sum(sizes)
    assert len(standing) <= 16 * 10


@settings(max_examples=6, deadline=None)
@given(
    appends=st.lists(
        st.dictionaries(st.integers(0, 5), st.tuples(st.sampled_from("ab"), st.integers(0, 6)), min_size=1),
        min_size=3,
        max_size=6,
    ),
    dice=st.randoms(use_true_random=False),
)
def test_every_version_reads_as_before(appends: list[dict[int, tuple[str, int]]], dice: random.Random) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "FILES", 2)
        patch.setattr(upkeep, "LOG_ENTRIES", 0)
        kept, tidied = (Lake(Path(folder) / name) for name in ("kept", "tidied"))
        for number, rows in enumerate(appends):
            for lake in (kept, tidied):
                _append(lake.table("t"), rows, number)
            if dice.random() < 0.5:
                _tidy(tidied)
        _tidy(tidied)
        one, other = kept.table("t"), tidied.table("t")
        assert one.version() == other.version()
        for version in range(one.version() + 1):
            for known_by in (None, _day(3)):
                how = {"known_by": known_by, "version": version}
                assert one.read(**how).to_pylist() == other.read(**how).to_pylist()
                assert one.read_versions(**how).to_pylist() == other.read_versions(**how).to_pylist()
            since = dice.randint(0, version)
            assert _bag(one.changes(since, version)) == _bag(other.changes(since, version))
            assert _bag(one.touched(since, version, ["v"], whole=False)) == _bag(
                other.touched(since, version, ["v"], whole=False)
            )
            known = {"known_by": _day(9), "whole": False, "newest": one.version()}
            assert one.is_corrected(version, None, **known) == other.is_corrected(version, None, **known)
        assert len(_files(other)) <= 2
        assert len(list(Path(other.uri).glob("*.parquet"))) == len(_files(other))


def test_merged_rows_lie_in_the_order_of_time(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for number in range(20):
        _append(lake.table("t"), {(number * 7 + row * 20) % 100: ("a", 0) for row in range(5)}, number)
    _tidy(lake)
    [snapshot] = [delta.load(lake.root, "tables/t")]
    assert snapshot is not None
    times = snapshot.scan(["_event_time"])["_event_time"].to_pylist()
    assert len(snapshot.files()) == 1
    assert times == sorted(times)


def test_rows_of_a_log_keep_their_place_and_what_was_logged_before_numbers_came_is_merged_too(tmp_path: Path) -> None:
    from deltalake import write_deltalake

    lake = Lake(tmp_path)
    for number in range(10):
        write_deltalake(lake.table("predictions/m").uri, pa.table({"at": [f"old {number}"]}), mode="append")
    table = lake.table("predictions/m")
    for number in range(10):
        table.append_once(pa.table({"at": [f"new {number}"]}), f"segment {number}")
    expected = sorted(table.read()["at"].to_pylist())
    assert len(_files(table)) == 20
    assert not table.finds_by("at")
    _tidy(lake, "predictions/m")
    assert not table.finds_by("at")
    assert len(_files(table)) == 1
    assert sorted(table.read()["at"].to_pylist()) == expected
    assert table.read().column_names == ["at"]
    assert not table.append_once(pa.table({"at": ["again"]}), "segment 3")
    with pytest.raises(DataError, match="keeps no versions"):
        table.read(version=1)


def test_rows_are_looked_for_by_a_column_only_where_every_file_has_it(tmp_path: Path) -> None:
    table = Lake(tmp_path).table("predictions/m")
    table.append_once(pa.table({"n": [1], "event_time": pa.array([_day(1)], STAMP)}), "a")
    assert table.finds_by("event_time")
    assert not table.finds_by("moment")
    assert table.read(["n"], between={"event_time": (_day(1), _day(2))})["n"].to_pylist() == [1]
    assert table.read(["n"], between={"event_time": (_day(0), _day(1))}).num_rows == 0
    table.append_once(pa.table({"n": [2]}), "b")
    assert not table.finds_by("event_time")


def test_rows_without_a_value_keep_a_column_from_being_looked_for_by(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    table = lake.table("t")
    for number in range(20):
        moment = None if number == 7 else _day(number)
        table.append_once(pa.table({"n": [number], "event_time": pa.array([moment], STAMP)}), f"tag {number}")
    assert not table.finds_by("event_time")
    _tidy(lake)
    assert len(_files(table)) == 1
    assert not table.finds_by("event_time")


def test_a_writer_that_hung_before_its_commit_finds_its_file(tmp_path: Path) -> None:
    """Of files that no commit names nobody knows whether one will yet."""
    lake = Lake(tmp_path)
    table = lake.table("log")
    table.append_once(pa.table({"n": [1]}), "a")
    orphan = Path(table.uri) / "part-00000-of-a-writer.snappy.parquet"
    orphan.write_bytes(next(Path(table.uri).glob("*.parquet")).read_bytes())
    os.utime(orphan, (0, 0))
    assert Upkeep(lake.root, "log").clean(AT_ONCE).files == 0
    assert orphan.exists()


def test_a_table_made_before_is_told_to_remember_what_it_removed(tmp_path: Path) -> None:
    from deltalake import DeltaTable, write_deltalake

    lake = Lake(tmp_path)
    for number in range(20):
        write_deltalake(lake.table("t").uri, pa.table({"_commit": [number + 1]}), mode="append")
    _tidy(lake)
    kept = DeltaTable(lake.table("t").uri).metadata().configuration["delta.deletedFileRetentionDuration"]
    assert kept == "interval 10 days"
    assert _tidy(lake).files == 0


def test_a_replacement_while_files_are_merged_is_no_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path)
    table = lake.table("scores/m")
    for number in range(20):
        table.replace(pa.table({"as_of": [f"k{number}"] * 3, "v": [1, 2, 3]}), "as_of", f"k{number}")
    rewrite = delta.Snapshot.rewrite

    def and_then_replace(self: delta.Snapshot, *given: Any, **more: Any) -> None:
        rewrite(self, *given, **more)
        table.replace(pa.table({"as_of": ["k3"], "v": [4]}), "as_of", "k3")

    monkeypatch.setattr(delta.Snapshot, "rewrite", and_then_replace)
    assert Upkeep(lake.root, "scores/m").merge() == (20, False)
    assert table.read().num_rows == 58


def test_tags_and_sequence_outlive_a_cleaned_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "LOG_ENTRIES", 0)
    lake = Lake(tmp_path)
    for number in range(30):
        _append(lake.table("t"), {number: ("a", 0)}, number)
    cleaned = _tidy(lake)
    assert cleaned.files == 30
    assert cleaned.size_bytes > 0
    assert cleaned.log_entries >= 30
    again = _append(lake.table("t"), {3: ("a", 0)}, 3)
    assert (again.version, again.appended, again.unchanged) == (30, 1, 0)
    assert lake.table("t").version() == 30
    _append(lake.table("t"), {99: ("a", 0)}, 30)
    assert lake.table("t").version() == 31


def test_a_writer_that_hung_until_the_log_was_cleaned_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LOG_ENTRIES", 0)
    lake = Lake(tmp_path)
    table = lake.table("log")
    table.append_once(pa.table({"n": [1]}), "a")
    stale = delta.load(lake.root, "tables/log")
    assert stale is not None
    for number in range(30):
        table.append_once(pa.table({"n": [number]}), f"tag {number}")
    _tidy(lake, "log")
    with pytest.raises(delta.Conflict, match="the log was cleaned"):
        stale.append(pa.table({"_commit": [2], "n": [99]}), {"evergreen.once/zombie": 1}, {})
    assert table.read().num_rows == 31


def test_what_is_young_is_kept(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for number in range(20):
        _append(lake.table("t"), {number: ("a", 0)}, number)
    table = Upkeep(lake.root, "t")
    assert table.merge() == (20, False)
    assert table.unused(timedelta(days=1)).files == 0
    table.clean(timedelta(days=1))
    assert table.unused(AT_ONCE).files == 20


@pytest.mark.parametrize(
    "point", ["upkeep.merge:before", "upkeep.merge:after", "upkeep.clean:before", "upkeep.clean:after"]
)
def test_a_kill_at_any_point_changes_nothing(tmp_path: Path, point: str) -> None:
    lake = Lake(tmp_path)
    for number in range(20):
        _append(lake.table("t"), {number: ("a", 0)}, number)
    before = lake.table("t").read_versions().to_pylist()
    code = f"""
from datetime import timedelta
from evergreen.lake.lake import Lake
from evergreen.lake.upkeep import Upkeep
table = Upkeep(Lake({str(tmp_path)!r}).root, "t")
table.merge()
table.clean(timedelta(0))
"""
    environ = os.environ | {"EVERGREEN_KILL_AT": point}
    assert subprocess.run([sys.executable, "-c", code], env=environ, check=False).returncode == -signal.SIGKILL
    assert lake.table("t").read_versions().to_pylist() == before
    _tidy(lake)
    assert len(_files(lake.table("t"))) == 1
    assert lake.table("t").read_versions().to_pylist() == before


def test_writers_and_merges_at_once_lose_and_double_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "FILES", 2)
    lake = Lake(tmp_path)
    faults: list[BaseException] = []
    over = threading.Event()

    def write(writer: int) -> None:
        try:
            for number in range(15):
                _append(lake.table("t"), {writer * 100 + number: ("a", 0)}, f"{writer} {number}")
                lake.table("log").append_once(pa.table({"n": [writer * 100 + number]}), f"{writer} {number}")
        except BaseException as error:
            faults.append(error)

    def tidy() -> None:
        while not over.is_set():
            try:
                for name in ("t", "log"):
                    table = Upkeep(lake.root, name)
                    table.merge()
                    with contextlib.suppress(delta.Conflict):
                        table.clean(timedelta(days=1))
            except BaseException as error:
                faults.append(error)

    writers = [threading.Thread(target=write, args=(each,)) for each in range(3)]
    tidiers = [threading.Thread(target=tidy) for _ in range(2)]
    for each in (*writers, *tidiers):
        each.start()
    for each in writers:
        each.join()
    over.set()
    for each in tidiers:
        each.join()
    assert faults == []
    expected = [writer * 100 + number for writer in range(3) for number in range(15)]
    assert sorted(lake.table("t").read()["id"].to_pylist()) == expected
    assert sorted(lake.table("log").read()["n"].to_pylist()) == expected
    assert lake.table("t").version() == 45


def _run(number: int, size: int) -> Run:
    return Run(number, number, 1, 1, size)


def _append(table: Table, rows: dict[int, tuple[str, int]], number: int | str) -> Appended:
    made = pa.table(
        {
            "id": pa.array(list(rows), pa.int64()),
            "v": [value for value, _ in rows.values()],
            "at": pa.array([_day(row / 10) for row in rows], STAMP),
        }
    )
    known = pa.array([_day(at) for _, at in rows.values()], STAMP)
    made = with_system_columns(made, identity=["id", "at"], event_time="at", known_at=known, as_of="k")
    return table.append_versions(made, tag=f"tag {number}", until=_day(8))


def _tidy(lake: Lake, name: str = "t") -> upkeep.Unused:
    table = Upkeep(lake.root, name)
    assert not table.merge().is_busy
    return table.clean(AT_ONCE)


def _files(table: Table) -> list[File]:
    snapshot = delta.load(table._root, table._path)
    assert snapshot is not None
    return snapshot.files()


def _bag(rows: pa.Table) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows.to_pylist())


def _day(number: float) -> datetime:
    return DAY0 + timedelta(days=number)
