"""Rows that were erased are in no version, no file and no log; all other rows stand in every version as before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.errors import DataError
from evergreen.lake import delta, upkeep
from evergreen.lake.entity import EntityKey
from evergreen.lake.erasure import Doomed, Erasure
from evergreen.lake.lake import Lake
from evergreen.lake.rows import with_system_columns
from evergreen.lake.tables import Table
from evergreen.lake.upkeep import Upkeep

DAY0 = datetime(2013, 1, 1, tzinfo=UTC)
STAMP = pa.timestamp("us", tz="UTC")
PERSON = "zz-person"


@settings(max_examples=8, deadline=None)
@given(
    appends=st.lists(
        st.dictionaries(st.tuples(st.sampled_from([PERSON, "b", "c"]), st.integers(0, 3)), st.integers(0, 3)),
        min_size=2,
        max_size=6,
    ),
    dice=st.randoms(use_true_random=False),
)
def test_other_rows_stand_in_every_version_as_before(appends: list[dict[tuple[str, int], int]], dice: Any) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "FILES", 2)
        lake = Lake(folder)
        table = lake.table("t")
        for number, rows in enumerate(appends):
            _append(table, rows, number)
            if dice.random() < 0.3:
                Upkeep(lake.root, "t").merge()
        own = sum(row["who"] == PERSON for row in _everything(lake))
        before = _versions(table)
        assert Erasure(lake.root, "t").count(_doomed()) == own
        assert Erasure(lake.root, "t").erase(_doomed()) == own
        assert _versions(table) == {
            version: [row for row in rows if row["who"] != PERSON] for version, rows in before.items()
        }
        assert not _holds(Path(folder))
        assert Erasure(lake.root, "t").erase(_doomed()) == 0
        _append(table, {("d", 1): 1}, "later")
        assert table.version() == max(before) + 1


def test_rows_of_a_log_from_before_there_were_numbers_go_too(tmp_path: Path) -> None:
    from deltalake import write_deltalake

    lake = Lake(tmp_path)
    uri = lake.table("log").uri
    for who in ("a", PERSON, "b"):
        write_deltalake(uri, pa.table({"who": [who, "c"]}), mode="append")
    assert Erasure(lake.root, "log").count(_doomed()) == 1
    assert Erasure(lake.root, "log").erase(_doomed()) == 1
    assert sorted(lake.table("log").read()["who"].to_pylist()) == ["a", "b", "c", "c", "c"]
    lake.table("log").append_once(pa.table({"who": [PERSON]}), "tag")
    assert Erasure(lake.root, "log").erase(_doomed()) == 1
    assert not _holds(tmp_path)
    assert not lake.table("log").append_once(pa.table({"who": [PERSON]}), "tag")


def test_files_that_no_commit_named_go_where_they_hold_such_rows_or_cannot_be_read(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    table = lake.table("log")
    for who in ("a", PERSON):
        table.append_once(pa.table({"who": [who]}), f"tag {who[0]}")
    folder = Path(table.uri)
    for file in list(folder.glob("*.parquet")):
        (folder / f"orphan-{file.name}").write_bytes(file.read_bytes())
    (folder / "half.parquet#1").write_bytes(b"PAR1 and no end")
    Erasure(lake.root, "log").erase(_doomed())
    assert not _holds(tmp_path)
    assert len(list(folder.glob("orphan-*"))) == 1
    assert not (folder / "half.parquet#1").exists()


def test_a_writer_that_hung_before_its_commit_is_refused_and_a_merge_is_too(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    table = lake.table("log")
    table.append_once(pa.table({"who": ["a"]}), "a")
    hung = delta.load(lake.root, "tables/log")
    assert hung is not None
    Erasure(lake.root, "log").erase(_doomed())
    with pytest.raises(delta.Conflict):
        hung.append(pa.table({"_commit": [2], "who": [PERSON]}), {"evergreen.once/zombie": 1}, {})
    assert table.read()["who"].to_pylist() == ["a"]


def test_a_merge_whose_log_went_meanwhile_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path)
    for number in range(20):
        lake.table("log").append_once(pa.table({"who": [str(number)]}), str(number))
    rewrite = delta.Snapshot.rewrite

    def and_then_erase(self: delta.Snapshot, *given: Any, **more: Any) -> None:
        rewrite(self, *given, **more)
        monkeypatch.undo()
        Erasure(lake.root, "log").erase(_doomed())

    monkeypatch.setattr(delta.Snapshot, "rewrite", and_then_erase)
    assert Upkeep(lake.root, "log").merge() == (20, False)
    assert lake.table("log").read().num_rows == 20


def test_a_table_that_lost_more_than_it_should_keeps_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path)
    table = lake.table("log")
    table.append_once(pa.table({"who": ["a", PERSON]}), "a")
    files = set(Path(table.uri).glob("*.parquet"))
    monkeypatch.setattr(delta.Snapshot, "rows_changed", lambda self: -2)
    with pytest.raises(DataError, match=r"must hold 1 rows less .* Its files of before are kept"):
        Erasure(lake.root, "log").erase(_doomed())
    assert files < set(Path(table.uri).glob("*.parquet"))


def test_no_table_and_no_such_column_have_nothing_to_erase(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert Erasure(lake.root, "none").erase(_doomed()) == 0
    lake.table("log").append_once(pa.table({"other": [PERSON]}), "a")
    assert Erasure(lake.root, "log").erase(_doomed()) == 0
    assert lake.table("log").read().num_rows == 1
    assert Erasure(lake.root, "log").find(_doomed(), "other") == set()


@pytest.mark.parametrize(
    "point", ["erase.table:before", "erase.table:after", "erase.files:before", "erase.files:after"]
)
def test_a_kill_at_any_point_loses_nothing_else(tmp_path: Path, point: str) -> None:
    lake = Lake(tmp_path)
    for number in range(4):
        _append(lake.table("t"), {(PERSON, number): 1, ("b", number): 1}, number)
    before = [row for row in lake.table("t").read_versions().to_pylist() if row["who"] != PERSON]
    code = f"""
from evergreen.lake.entity import EntityKey
from evergreen.lake.erasure import Doomed, Erasure
from evergreen.lake.lake import Lake
key = EntityKey.parse(["who={PERSON}"])
Erasure(Lake({str(tmp_path)!r}).root, "t").erase(Doomed(key.columns, key.mask))
"""
    environ = os.environ | {"EVERGREEN_KILL_AT": point}
    assert subprocess.run([sys.executable, "-c", code], env=environ, check=False).returncode == -signal.SIGKILL
    Erasure(lake.root, "t").erase(_doomed())
    assert lake.table("t").read_versions().to_pylist() == before
    assert not _holds(tmp_path)


def test_writers_and_merges_at_once_lose_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "FILES", 2)
    lake = Lake(tmp_path)
    faults: list[BaseException] = []
    over = threading.Event()

    def write(writer: int) -> None:
        try:
            for number in range(10):
                _append(
                    lake.table("t"),
                    {(f"w{writer}", number): 1, (PERSON, 100 * writer + number): 1},
                    f"{writer} {number}",
                )
                lake.table("log").append_once(pa.table({"who": [f"{writer} {number}", PERSON]}), f"{writer} {number}")
        except BaseException as error:
            faults.append(error)

    def erase() -> None:
        while not over.is_set():
            try:
                for name in ("t", "log"):
                    Erasure(lake.root, name).erase(_doomed())
                    Upkeep(lake.root, name).merge()
            except BaseException as error:
                faults.append(error)

    writers = [threading.Thread(target=write, args=(each,)) for each in range(2)]
    eraser = threading.Thread(target=erase)
    for each in (*writers, eraser):
        each.start()
    for each in writers:
        each.join()
    over.set()
    eraser.join()
    for name in ("t", "log"):
        Erasure(lake.root, name).erase(_doomed())
    assert faults == []
    assert sorted(lake.table("log").read()["who"].to_pylist()) == sorted(
        f"{w} {n}" for w in range(2) for n in range(10)
    )
    assert lake.table("t").read().num_rows == 20
    assert lake.table("t").version() == 20
    assert not _holds(tmp_path)


def _doomed() -> Doomed:
    key = EntityKey.parse([f"who={PERSON}"])
    return Doomed(key.columns, key.mask)


def _holds(folder: Path) -> list[Path]:
    """Files that hold the person: in their bytes, or in any value of a Parquet file, a checkpoint of a log too."""
    found = []
    for file in folder.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            if PERSON.encode() in data or (data[:4] == b"PAR1" and PERSON in str(pq.read_table(file).to_pylist())):
                found.append(file)
    return found


def _append(table: Table, rows: dict[tuple[str, int], int], number: int | str) -> None:
    made = pa.table(
        {
            "who": pa.array([who for who, _ in rows], pa.string()),
            "v": pa.array(list(rows.values()), pa.int64()),
            "at": pa.array([_day(at / 10) for _, at in rows], STAMP),
        }
    )
    known = pa.array([_day(1) for _ in rows], STAMP)
    made = with_system_columns(made, identity=["who", "at"], event_time="at", known_at=known, as_of="k")
    table.append_versions(made, tag=f"tag {number}", until=_day(8))


def _everything(lake: Lake) -> list[dict[str, Any]]:
    snapshot = delta.load(lake.root, "tables/t")
    return [] if snapshot is None else snapshot.scan(snapshot.schema.names).to_pylist()


def _versions(table: Table) -> dict[int, list[dict[str, Any]]]:
    return {version: table.read_versions(version=version).to_pylist() for version in range(table.version() + 1)}


def _day(number: float) -> datetime:
    return DAY0 + timedelta(days=number)
