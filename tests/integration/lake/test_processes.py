"""The lake under several processes: writers at once, writers that are killed, readers that end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from evergreen.lake.lake import Lake

HEAD = """
import sys
from datetime import UTC, datetime, timedelta
import pyarrow as pa
from evergreen.lake.lake import Lake
from evergreen.lake.rows import with_system_columns

STAMP = pa.timestamp("us", tz="UTC")
DAY0 = datetime(2013, 1, 1, tzinfo=UTC)

def rows(ids, value="a"):
    user = pa.table({"id": pa.array(ids, pa.int64()), "at": pa.array([DAY0 + timedelta(hours=i) for i in ids], STAMP),
                     "v": pa.array([value] * len(ids), pa.string())})
    return with_system_columns(user, identity=["id", "at"], event_time="at", known_at=user["at"], as_of="k")

lake = Lake(sys.argv[1])
table = lake.table("datasets/x")
UNTIL = DAY0 + timedelta(days=30)
"""


def start(code: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HEAD + textwrap.dedent(code), *map(str, arguments)]
    env = {**os.environ, **environment}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def finish(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return [output for output, _ in outputs]


def ids(lake: Lake, name: str = "datasets/x") -> list[int]:
    return sorted(lake.table(name).read_versions(["id"]).column("id").to_pylist())


def test_writers_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    """Each writer appends six batches; every row is appended by two of them."""
    code = """
        me = int(sys.argv[2])
        appended = 0
        for step in range(6):
            first = 10 * step
            mine = [1000 * owner + first + n for owner in (me, (me + 1) % 4) for n in range(10)]
            appended += table.append_versions(rows(mine), tag=f"{me}/{step}", until=UNTIL).appended
        print(appended)
    """
    outputs = finish([start(code, tmp_path, me) for me in range(4)])
    expected = [1000 * owner + number for owner in range(4) for number in range(60)]
    lake = Lake(tmp_path)
    assert ids(lake) == expected
    assert sum(map(int, outputs)) == len(expected)
    commits = lake.table("datasets/x").read_versions([]).column("_commit").to_pylist()
    assert set(commits) == set(range(1, max(commits) + 1))
    assert lake.table("datasets/x").version() == max(commits)


def test_one_tag_from_many_writers_is_appended_once(tmp_path: Path) -> None:
    code = """
        done = [lake.table("quarantine/x").append_once(pa.table({"id": [step]}), f"step {step}") for step in range(10)]
        print(sum(done))
    """
    outputs = finish([start(code, tmp_path) for _ in range(4)])
    assert sum(map(int, outputs)) == 10
    found = Lake(tmp_path).table("quarantine/x").read().column("id").to_pylist()
    assert sorted(found) == list(range(10))


def test_replacements_at_once_keep_every_part(tmp_path: Path) -> None:
    code = """
        me = sys.argv[2]
        for step in range(4):
            lake.table("scores/x").replace(pa.table({"part": [me] * 3, "id": [step] * 3}), "part", me)
    """
    finish([start(code, tmp_path, me) for me in range(3)])
    found = Lake(tmp_path).table("scores/x").read().to_pylist()
    assert sorted((row["part"], row["id"]) for row in found) == [(str(me), 3) for me in range(3) for _ in range(3)]


STEP = """
    import json, pathlib
    key = "key"
    if lake.manifests.get("ingest", key) is None:
        lake.blobs.put_content("staging", b"rows", ".bin", point="staging")
        lake.table("quarantine/x").append_once(pa.table({"id": [7]}), key)
        done = table.append_versions(rows(range(20)), tag=key, until=UNTIL)
        lake.manifests.put_if_absent("ingest", key, {"version": done.version})
    print(lake.manifests.get("ingest", key)["version"])
"""


@pytest.mark.parametrize("point", ["staging", "quarantine.commit", "publish.commit"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_step_is_finished_by_its_retry(tmp_path: Path, point: str, side: str) -> None:
    token = tmp_path / "token"
    token.touch()
    environment = {"EVERGREEN_KILL_AT": f"{point}:{side}", "EVERGREEN_KILL_TOKEN": str(token)}
    killed = start(STEP, tmp_path / "lake", **environment)
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    lake = Lake(tmp_path / "lake")
    assert lake.manifests.get("ingest", "key") is None
    first = finish([start(STEP, tmp_path / "lake", **environment)])
    assert ids(lake) == list(range(20))
    assert lake.table("quarantine/x").read().column("id").to_pylist() == [7]
    assert finish([start(STEP, tmp_path / "lake")]) == first
    assert ids(lake) == list(range(20))


def test_writer_killed_anywhere_leaves_a_whole_table(tmp_path: Path) -> None:
    """Killed at instants that follow no plan: each append is there completely or not at all, and its retry mends it."""
    code = """
        print("go", flush=True)
        for step in range(200):
            table.append_versions(rows(range(50 * step, 50 * step + 50)), tag=str(step), until=UNTIL)
    """
    lake = Lake(tmp_path)
    for patience in (0.2, 0.3, 0.45):
        process = start(code, tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=patience)
        process.kill()
        process.communicate()
        found = ids(lake) if lake.table("datasets/x").exists() else []
        assert found == list(range(len(found)))
        assert len(found) % 50 == 0
    finish([start(code.replace("200", "5"), tmp_path)])
    found = ids(lake)
    assert found == list(range(len(found)))


def test_stopped_writer_that_wakes_after_its_retry_adds_nothing(tmp_path: Path) -> None:
    """The zombie holds a snapshot from before the retry's commit when it is continued."""
    zombie = """
        import os, signal
        from evergreen.lake import tables
        def stop(name):
            if name == "publish.commit:before" and not os.path.exists(sys.argv[2]):
                open(sys.argv[2], "w").close()
                os.kill(os.getpid(), signal.SIGSTOP)
        tables.fault_point = stop
        print(table.append_versions(rows(range(20)), tag="key", until=UNTIL))
    """
    process = start(zombie, tmp_path, tmp_path / "stopped")
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    finish([start('table.append_versions(rows(range(20)), tag="key", until=UNTIL)', tmp_path)])
    process.send_signal(signal.SIGCONT)
    assert "appended=20, unchanged=0" in finish([process])[0]  # what the write of this tag did, whoever did it
    assert ids(Lake(tmp_path)) == list(range(20))


def test_reading_process_ends_well_every_time(tmp_path: Path) -> None:
    """Other ways of reading Delta abort the process at its exit, now and then (code 134)."""
    finish([start('table.append_versions(rows(range(500)), tag="a", until=UNTIL)', tmp_path)])
    finish([start('table.append_versions(rows(range(500), "b"), tag="b", until=UNTIL)', tmp_path)])
    code = 'assert table.read(["v"]).num_rows == 500; assert table.read_versions().num_rows == 1000'
    for _ in range(25 if os.environ.get("EVERGREEN_LONG") else 5):
        finish([start(code, tmp_path) for _ in range(2)])


def test_writing_process_ends_well_ten_times(tmp_path: Path) -> None:
    code = "table.append_versions(rows([int(sys.argv[2])]), tag=sys.argv[2], until=UNTIL); table.read()"
    for number in range(0, 10, 2):
        finish([start(code, tmp_path, number + k) for k in range(2)])
    assert ids(Lake(tmp_path)) == list(range(10))


def test_forked_children_read_and_write_with_modules_imported_before(tmp_path: Path) -> None:
    """Airflow's workers fork from a process that imported everything (and started nothing)."""
    code = """
        import os, deltalake, duckdb, pyarrow.dataset, pyarrow.parquet, pyarrow.fs
        from evergreen.lake import delta, duck, trainingsets, versions
        for child in range(6):
            if (pid := os.fork()) == 0:
                table.append_versions(rows(range(child, child + 10)), tag=str(child), until=UNTIL)
                assert duck.run_sql("select count(*) n from t", {"t": table.read()}).num_rows == 1
                trainingsets.put(lake, table.read())
                sys.exit(0)
            _, status = os.waitpid(pid, 0)
            assert status == 0, status
    """
    finish([start(code, tmp_path)])
    assert ids(Lake(tmp_path)) == list(range(15))
