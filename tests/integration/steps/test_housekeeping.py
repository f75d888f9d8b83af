"""Housekeeping on a lake that has lived: what nothing refers to goes, all else works as before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy
from drill_world import BUILD, FIRST, KEYS, SECOND, World, csv_of, rows_of

from evergreen.errors import DataError
from evergreen.lake import trainingsets, upkeep
from evergreen.lake.blobs import TEMPORARY
from evergreen.lake.workspace import freeze
from evergreen.stack.postgres import EmbeddedPostgres
from evergreen.steps import staging
from evergreen.steps.housekeeping import expire, housekeep, keep_tables
from evergreen.steps.lineage import retrain
from evergreen.store.coverage import Coverage
from evergreen.store.pins import Pins
from evergreen.store.schema import metadata
from evergreen.store.trainings import Trainings

KEEP = timedelta(days=30)
NOW = datetime.now(UTC)
OLD, OLDER = NOW - timedelta(days=40), NOW - timedelta(days=70)


@pytest.fixture(scope="module")
def lived(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: EmbeddedPostgres, mlflow_uri: str
) -> Iterator[World]:
    """With three weeks published, a champion, and a training that no version was made of."""
    world = World(tmp_path_factory.mktemp("housekeeping"), postgres_server.create_database("housekeeping"), mlflow_uri)
    world.dataset("trips")
    world.view("trips", "recent")
    for key in KEYS[:3]:
        world.lay("trips", key, csv_of(rows_of(key)))
        world.ingest("trips", key)
        world.open("recent", "build", key).steps(*BUILD)
    world.model("late")
    world.champion("late", SECOND)
    refuse(world)
    yield world
    world.forge.close()


def refuse(world: World) -> str:
    """A training from long ago that no version was made of, with its pins and its set; gives the set's path."""
    path, _ = trainingsets.put(world.lake, pa.table({"x": [1, 2, 3]}))
    trainings, at = Trainings(world.store), datetime(2024, 1, 15, tzinfo=UTC)
    how = {"spec_digest": "s", "workspace": "w", "inputs": {"training_set": path, "tables": {}}, "seed": 1}
    trainings.start("refused", "late", FIRST, at, **how)
    bundle = freeze(world.lake, {"bundle.json": b"{}"})
    trainings.finish("refused", run_id="r", trained_through=at, training_set=path, bundle=bundle)
    Pins(world.store).pin(path, 0, "refused")
    with world.store.transaction() as connection:
        connection.execute(
            sqlalchemy.text("update trainings set created_at = :at where training_id = 'refused'"), {"at": OLDER}
        )
    return path


def age(world: World, moment: datetime) -> None:
    """Dates all files of the lake back."""
    for file in Path(world.settings.lake).rglob("*"):
        os.utime(file, (moment.timestamp(), moment.timestamp()))


def files(world: World, folder: str) -> set[str]:
    return {each.path for each in world.lake.blobs.entries(folder)}


def test_young_files_stay(lived: World) -> None:
    age(lived, NOW)
    done = expire(lived.lake, lived.store, now=NOW, keep=KEEP)
    assert done.removed == {}


def test_a_dry_run_says_what_a_run_does_and_does_nothing(lived: World) -> None:
    refuse(lived)
    age(lived, OLDER)
    before = {folder: files(lived, folder) for folder in ("manifests", "staging", "trainingsets")}
    dry = expire(lived.lake, lived.store, now=NOW, keep=KEEP, dry_run=True)
    assert {folder: files(lived, folder) for folder in before} == before
    assert Pins(lived.store).of("refused")
    done = expire(lived.lake, lived.store, now=NOW, keep=KEEP)
    assert dry.told() == done.told()
    assert done.released == 1
    assert (done.removed["trainingsets"], done.removed["bundles"]) == (1, 1)
    assert files(lived, "manifests") == set()
    assert not Pins(lived.store).of("refused")
    again = expire(lived.lake, lived.store, now=NOW, keep=KEEP)
    assert (again.removed, again.released) == ({}, 0)


def test_what_the_store_names_stays(lived: World) -> None:
    age(lived, OLDER)
    expire(lived.lake, lived.store, now=NOW, keep=KEEP)
    named = set()
    with lived.store.transaction() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(sqlalchemy.select(table)):
                for part in str(row._mapping).split("'"):
                    if part.startswith(("staging/", "trainingsets/")):
                        named.add(part)
    gone = {name for name in named if not lived.lake.blobs.exists(name)}
    refused = Trainings(lived.store).get("refused")
    assert refused is not None
    assert gone == {refused.inputs["training_set"]}
    assert len(named) > 4


def test_work_goes_on_and_steps_of_before_may_be_called_again(lived: World) -> None:
    age(lived, OLDER)
    expire(lived.lake, lived.store, now=NOW, keep=KEEP)
    keep_tables(lived.lake, keep=timedelta(0))
    rows = lived.lake.table("datasets/trips").read_versions().to_pylist()
    for key in KEYS[:3]:
        lived.ingest("trips", key)
        lived.open("recent", "build", key).steps(*BUILD)
    table = lived.lake.table("datasets/trips")
    assert table.read_versions().to_pylist() == rows
    lived.lay("trips", FIRST, csv_of(rows_of(FIRST)[1:]))
    lived.ingest("trips", FIRST)
    assert table.read().num_rows == table.read(version=3).num_rows - 1
    again = retrain(lived.settings, "late", 1)
    assert again.rows > 0
    assert again.largest_difference == 0


def test_a_staged_table_that_expired_says_what_to_do(lived: World) -> None:
    path = staging.put(lived.lake, pa.table({"x": [42]}))
    age(lived, OLDER)
    expire(lived.lake, lived.store, now=NOW, keep=KEEP)
    with pytest.raises(DataError, match=r"Clear the run's first task as well"):
        staging.get(lived.lake, path)


def test_what_is_stored_again_is_young_again(lived: World) -> None:
    path = staging.put(lived.lake, pa.table({"x": [43]}))
    age(lived, OLDER)
    listed = [each for each in lived.lake.blobs.entries("staging") if each.path == path]
    assert staging.put(lived.lake, pa.table({"x": [43]})) == path
    assert not lived.lake.blobs.remove(listed[0])
    expire(lived.lake, lived.store, now=NOW, keep=KEEP)
    assert staging.get(lived.lake, path).num_rows == 1


def test_half_written_files_go_after_a_day(lived: World) -> None:
    place = Path(lived.settings.lake) / "staging"
    for name in ("one", "two"):
        (place / f"{TEMPORARY}{name}").write_bytes(b"half")
    age(lived, NOW)
    os.utime(place / f"{TEMPORARY}one", ((NOW - timedelta(days=2)).timestamp(),) * 2)
    done = expire(lived.lake, lived.store, now=NOW, keep=KEEP)
    assert done.removed == {"half-written": 1}
    assert (place / f"{TEMPORARY}two").exists()
    (place / f"{TEMPORARY}two").unlink()


def test_a_kill_while_a_file_goes_leaves_the_rest_for_the_next_run(lived: World) -> None:
    path = staging.put(lived.lake, pa.table({"x": [44]}))
    age(lived, OLDER)
    code = (
        "from datetime import datetime, timedelta, UTC\n"
        "from evergreen.settings import Settings\nfrom evergreen.steps.housekeeping import housekeep\n"
        "housekeep(Settings.from_env(), now=datetime.now(UTC))\n"
    )
    environ = os.environ | lived.environment | {"EVERGREEN_KILL_AT": "blob.remove:aside"}
    assert subprocess.run([sys.executable, "-c", code], env=environ, check=False).returncode == -signal.SIGKILL
    assert not lived.lake.blobs.exists(path)
    told = housekeep(lived.settings, now=NOW + timedelta(days=2))
    assert told["files"]["removed"]["half-written"] == 1


def test_one_broken_table_does_not_stop_the_others(lived: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "FILES", 2)
    log = lived.lake.table("broken/log")
    for number in range(3):
        log.append_once(pa.table({"n": [number]}), f"t{number}")
    for file in Path(log.uri).glob("*.parquet"):
        file.unlink()
    other = lived.lake.table("later/log")
    for number in range(3):
        other.append_once(pa.table({"n": [number]}), f"t{number}")
    with pytest.raises(DataError, match=r"broken/log must have|must have all files that its log names"):
        keep_tables(lived.lake, keep=KEEP)
    assert len(lived.lake.upkeep("later/log").due()) == 0
    assert sorted(other.read()["n"].to_pylist()) == [0, 1, 2]


def forget(world: World, training: str) -> None:
    """Dates a training back in the store, as if it had started long ago."""
    with world.store.transaction() as connection:
        row = {"at": OLDER, "id": training}
        connection.execute(sqlalchemy.text("update trainings set created_at = :at where training_id = :id"), row)


def test_no_version_is_made_of_a_training_that_expired_and_one_done_again_is_young(lived: World) -> None:
    lived.model("again", trainer={"kind": "lightgbm", "rounds": 5, "threads": 1})
    run = lived.open("again", "train", SECOND, run_type="manual")
    run.steps("claim", "train", "evaluate")
    training = run.outputs["train"]["training_id"]
    forget(lived, training)
    age(lived, OLDER)
    done = expire(lived.lake, lived.store, now=NOW, keep=KEEP)
    assert (done.removed["trainingsets"], done.removed["bundles"], done.released) == (1, 1, 1)
    with pytest.raises(DataError, match="expired: ask for a new one"):
        run.step("register")
    assert Trainings(lived.store).of("again")[0].adopted_version is None
    run.steps("train", "evaluate")  # cleared, all of them
    assert run.outputs["train"]["training_id"] == training, "the same content is the same training"
    assert Pins(lived.store).of(training)
    assert expire(lived.lake, lived.store, now=NOW, keep=KEEP).released == 0
    run.step("register")
    age(lived, OLDER)
    forget(lived, training)
    expire(lived.lake, lived.store, now=NOW, keep=KEEP)
    assert retrain(lived.settings, "again", 1).largest_difference == 0
    assert Pins(lived.store).of(training)


def test_a_version_made_while_its_training_expires_keeps_what_it_needs(
    lived: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived.model("late_adopted", trainer={"kind": "lightgbm", "rounds": 6, "threads": 1})
    run = lived.open("late_adopted", "train", SECOND, run_type="manual")
    run.steps("claim", "train", "evaluate")
    forget(lived, run.outputs["train"]["training_id"])
    age(lived, OLDER)
    asked = Trainings.sets

    def adopted_meanwhile(self: Trainings, since: datetime) -> set[str]:
        named = asked(self, since)
        run.step("register")
        return named

    monkeypatch.setattr(Trainings, "sets", adopted_meanwhile)
    expire(lived.lake, lived.store, now=NOW, keep=KEEP)
    monkeypatch.undo()
    assert retrain(lived.settings, "late_adopted", 1).largest_difference == 0
    assert Pins(lived.store).of(run.outputs["train"]["training_id"])


def test_a_reading_that_is_published_while_staged_rows_expire_stays(
    lived: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = lived.dataset()
    lived.lay(dataset, FIRST, csv_of(rows_of(FIRST)))
    run = lived.open(dataset, "ingest", FIRST)
    run.steps("read", "validate")
    age(lived, OLDER)
    asked = Coverage.readings

    def published_meanwhile(self: Coverage) -> set[str]:
        named = asked(self)
        run.step("publish")
        return named

    monkeypatch.setattr(Coverage, "readings", published_meanwhile)
    expire(lived.lake, lived.store, now=NOW, keep=KEEP)
    monkeypatch.undo()
    covered = Coverage(lived.store).of(f"datasets/{dataset}")
    assert len(covered) == 1
    assert staging.get(lived.lake, covered[0].reading).num_rows > 0
