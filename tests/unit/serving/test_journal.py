import json
import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evergreen.errors import TransientError
from evergreen.lake.lake import Lake
from evergreen.serving.journal import Journal
from evergreen.serving.shipping import Shipper, ship


def line(number: int, **fields) -> dict:
    told = {"request_id": f"r{number}", "at": "2013-02-03T00:00:00+00:00", "version": 1, "seq": 1, "row_id": "a"}
    return {**told, "prediction": "1.5", "row": json.dumps({"x": number}), "fallback": None, **fields}


def shipped(lake: Lake, model: str = "toy") -> list[str]:
    table = lake.table(f"predictions/{model}")
    return sorted(table.read()["request_id"].to_pylist()) if table.exists() else []


def kill_at(point: str, folder: Path, lake: Lake) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from evergreen.lake.lake import Lake; from evergreen.serving.journal import Journal\n"
        "from evergreen.serving.shipping import ship\n"
        "journal = Journal(Path(sys.argv[1])); ship(journal, 'predictions', Lake(sys.argv[2]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), lake.uri], env={**os.environ, "EVERGREEN_KILL_AT": point}, check=False
    )
    assert done.returncode == -9


def test_lines_of_many_threads_arrive_once_each(tmp_path, lake):
    journal = Journal(tmp_path / "log", max_bytes=2000)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: (journal.write("toy", [line(i)]), i % 10 or journal.close_due()), range(200)))
    journal.close_due(everything=True)
    assert ship(journal, "predictions", lake) == 200
    assert shipped(lake) == sorted(f"r{i}" for i in range(200))
    assert list((tmp_path / "log").rglob("*.*")) == []


@pytest.mark.parametrize(
    "point", ["journal.ship:before", "journal.commit:before", "journal.commit:after", "journal.ship:after"]
)
def test_a_crash_while_shipping_neither_loses_nor_doubles(tmp_path, lake, point):
    journal = Journal(tmp_path / "log")
    for number in (1, 2):
        journal.write("toy", [line(number)])
        journal.close_due(everything=True)
    kill_at(point, tmp_path / "log", lake)
    assert ship(Journal(tmp_path / "log"), "predictions", lake) in (1, 2)
    assert shipped(lake) == ["r1", "r2"]


def test_two_workers_that_ship_the_same_segments_double_nothing(tmp_path, lake):
    journal = Journal(tmp_path / "log")
    for number in range(4):
        journal.write("toy", [line(number)])
        journal.close_due(everything=True)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: ship(journal, "predictions", lake), range(2)))
    assert shipped(lake) == ["r0", "r1", "r2", "r3"]


def test_segments_of_a_dead_worker_are_adopted_and_those_of_a_living_one_are_not(tmp_path, lake):
    folder = tmp_path / "log"
    living = Journal(folder)
    living.write("toy", [line(1)])
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from evergreen.serving.journal import Journal\n"
        "Journal(Path(sys.argv[1])).write('toy', [{'request_id': 'dead', 'version': 1, 'seq': 1}])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode == -9
    other = Journal(folder)
    other.close_due()
    ship(other, "predictions", lake)
    assert shipped(lake) == ["dead"]
    living.write("toy", [line(2)])
    living.close_due(everything=True)
    ship(living, "predictions", lake)
    assert shipped(lake) == ["dead", "r1", "r2"]


def test_a_cut_line_belongs_to_no_answer(tmp_path, lake):
    journal = Journal(tmp_path / "log")
    journal.write("toy", [line(1), line(2)])
    journal.close_due(everything=True)
    [path] = journal.closed()
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert ship(journal, "predictions", lake) == 1
    assert shipped(lake) == ["r1"]


def test_a_full_disk_is_counted_and_leaves_no_cut_line_behind(tmp_path, lake):
    journal = Journal(tmp_path / "log")
    journal.write("toy", [line(1)])
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (250, hard))  # a file grows no further than this, in the middle of a line
    try:
        with pytest.raises(OSError):
            journal.write("toy", [line(2), line(3)])
        assert journal.failed_lines == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    journal.write("toy", [line(4)])
    journal.close_due(everything=True)
    ship(journal, "predictions", lake)
    assert shipped(lake) == ["r1", "r4"]


def test_a_lake_that_is_away_leaves_few_segments(tmp_path):
    journal = Journal(tmp_path / "log", max_age_seconds=0)
    for number in range(20):
        journal.write("toy", [line(number)])
        journal.close_due()
    assert len(list(journal.closed())) == 1


def test_one_bad_segment_keeps_no_other_from_the_lake(tmp_path, lake):
    import pyarrow as pa

    lake.table("predictions/bad").append_once(pa.table({"version": ["text"]}), "t")
    journal = Journal(tmp_path / "log")
    for model in ("bad", "toy"):
        journal.write(model, [line(1)])
    shipper = Shipper({"predictions": journal}, lake, pause_seconds=0.01)
    shipper.start()
    shipper.ask_to_stop()
    shipper.finish(30)
    assert shipped(lake) == ["r1"]
    assert shipper.fault is not None and "version" in shipper.fault
    assert shipper.waiting() == 1


def test_a_shipper_without_a_lake_says_so_and_goes_on(tmp_path):
    journal = Journal(tmp_path / "log")
    journal.write("toy", [line(1)])
    (tmp_path / "file").write_text("not a folder")
    shipper = Shipper({"predictions": journal}, Lake(tmp_path / "file"), pause_seconds=0.01)
    shipper.start()
    shipper.ask_to_stop()
    shipper.finish(30)
    assert shipper.fault is not None and shipper.waiting() == 1
    with pytest.raises(Exception) as caught:
        ship(journal, "predictions", Lake(tmp_path / "file"))
    assert not isinstance(caught.value, TransientError) or str(caught.value)
