"""A person's erasure on a lake that has lived: the rows are found nowhere, all else stands as before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from drill_world import BUILD, FIRST, INGEST, KEYS, MONITOR, SECOND, THIRD, World, csv_of, rows_of

from evergreen.errors import DataError, TransientError, UserError
from evergreen.lake import trainingsets
from evergreen.lake.delta import Snapshot
from evergreen.serving.shipping import COLUMNS, table_of
from evergreen.stack.postgres import EmbeddedPostgres
from evergreen.steps import pages, staging
from evergreen.steps.context import StepContext
from evergreen.steps.counting import LabelHistory
from evergreen.steps.erasing import erase, listed
from evergreen.steps.lineage import lineage, retrain
from evergreen.store.coverage import Coverage
from evergreen.store.erasures import Erasures
from evergreen.store.pins import Pins
from evergreen.store.trainings import Trainings

PEOPLE = [f"zz-person-{number:03}" for number in range(20)]
HEADER = ("person", "moment", "load", "wind", "late")
DATASET: dict[str, Any] = {
    "columns": {"person": "string", "moment": "timestamp", "load": "float", "wind": "float", "late": "bool"},
    "select": "select person as rider, moment, load, wind, late from source",
    "entity": ["rider"],
    "max_quarantined": 0.5,
}
VIEW: dict[str, Any] = {
    "reads": ["trips"],
    "entity": ["rider"],
    "timestamp": "moment",
    "transform": "recent.sql",
    "availability_delay": "1h",
    "outputs": {"recent_load": {"type": "float"}},
}
VIEW_SQL = "select rider, moment, load as recent_load from trips where moment >= $start and moment < $end"
MODEL: dict[str, Any] = {
    "request": ["rider", "load", "wind"],
    "features": ["recent"],
    "exclude": ["rider"],
    "monitoring": {"min_labels": 20, "drift": {"min_rows": 100}},
}
TABLES = ("datasets/trips", "features/recent")
POINTS = (
    "erase.request:before", "erase.request:after", "erase.table:before", "erase.table:after", "erase.files:before",
    "erase.files:after", "erase.set:before", "erase.set:within", "erase.set:after", "erase.staged:before",
    "erase.staged:after", "erase.sweep:after", "erase.done:before", "erase.done:after",
)  # fmt: skip


def week_of(key: str) -> list[list[str]]:
    """A week's rows, some of each person; of each a later double of one breaks a rule, and one has no time."""
    rows = [[PEOPLE[number % len(PEOPLE)], *row[:4]] for number, row in enumerate(rows_of(key))]
    broken = [[person, rows[number][1], "0.5", "999", "true"] for number, person in enumerate(PEOPLE, start=40)]
    timeless = [[person, "no time at all", "0.5", "1", "true"] for person in PEOPLE]
    return rows + broken + timeless


@pytest.fixture(scope="module")
def lived(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: EmbeddedPostgres, mlflow_uri: str
) -> Iterator[World]:
    """With four weeks published and built, a champion, a watched week, answers and what callers said of them."""
    world = World(tmp_path_factory.mktemp("erasing"), postgres_server.create_database("erasing"), mlflow_uri)
    world.dataset("trips", **DATASET)
    world.write("features/recent.sql", VIEW_SQL)
    world.write("features/recent.yaml", VIEW)
    world.model("late", **MODEL)
    for key in KEYS:
        broken = f"{PEOPLE[0]},too,many,fields,in,here,,\n"
        world.lay("trips", key, csv_of(week_of(key), HEADER) + broken)
        world.ingest("trips", key)
        world.open("recent", "build", key).steps(*BUILD)
        if key == FIRST:
            world.champion("late", FIRST)
    world.open("late", "monitor", THIRD).steps(*MONITOR)
    answer(world)
    yield world
    world.forge.close()


def answer(world: World) -> None:
    """Logs an answer to each person, and what the caller said of it; one without the identity of the row."""
    ids = world.lake.table("datasets/trips").read(["rider"])
    row_id = dict(zip(ids["rider"].to_pylist(), ids["_row_id"].to_pylist(), strict=True))
    lines, labels = [], []
    for number, person in enumerate(PEOPLE):
        for request, sent in ((f"{number}-a", {"rider": person, "load": 1.0}), (f"{number}-b", {"load": 1.0})):
            known = row_id[person] if request.endswith("b") else None
            lines.append({"request_id": request, "row_id": known, "row": json.dumps(sent), "prediction": "0.5"})
            labels.append({"request_id": request, "label": "true"})
    for kind, rows in (("predictions", lines), ("feedback", labels)):
        world.lake.table(f"{kind}/late").append_once(table_of(rows, COLUMNS[kind]), "segment")


def ask(world: World, person: str, **how: Any) -> dict[str, Any]:
    return erase(world.settings, [f"rider={person}"], reason="letter of May", actor="ada", **how)


def holding(world: World, person: str) -> list[str]:
    """All files of the lake that hold a text: in their bytes, or as Parquet in any value."""
    found = []
    for file in Path(world.settings.lake).rglob("*"):
        if not file.is_file():
            continue
        data = file.read_bytes()
        is_table = data[:4] == b"PAR1" and data[-4:] == b"PAR1"
        if person.encode() in data or (is_table and person in str(pq.read_table(file).to_pylist())):
            found.append(file.relative_to(world.settings.lake).as_posix())
    return found


def in_store(world: World, person: str) -> list[str]:
    with world.store.transaction() as connection:
        tables = (
            connection.exec_driver_sql("select tablename from pg_tables where schemaname = 'public'").scalars().all()
        )
        return [
            name
            for name in tables
            for (row,) in connection.exec_driver_sql(f'select t::text from "{name}" t')
            if person in row
        ]


def versions(world: World, without: str) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """All row versions of all tables at every version, without one person's."""
    found = {}
    for name in TABLES:
        table = world.lake.table(name)
        for version in range(1, table.version() + 1):
            rows = table.read_versions(version=version).to_pylist()
            found[name, version] = [row for row in rows if row["rider"] != without]
    return found


def logs(world: World, without: set[str]) -> dict[str, list[str]]:
    """Quarantine, logs and scores, without rows that hold one of some texts."""
    found = {}
    for name in ("quarantine/trips", "predictions/late", "feedback/late", "scores/late"):
        texts = [str(row) for row in world.lake.table(name).read().to_pylist()]
        found[name] = sorted(text for text in texts if not any(each in text for each in without))
    return found


def texts_of(world: World, person: str) -> set[str]:
    rows = world.lake.table("datasets/trips").read_versions(["rider"], match={"rider": person})
    number = PEOPLE.index(person)
    return {person, *rows["_row_id"].to_pylist(), f"'{number}-a'", f"'{number}-b'"}


def test_a_person_is_found_nowhere_and_all_else_stands(lived: World) -> None:
    person = PEOPLE[0]
    there = {name.rpartition("/")[0] for name in holding(lived, person)}
    assert there > {"staging", "trainingsets", "tables/predictions/late", "tables/datasets/trips/_delta_log"}
    before, gone = versions(lived, person), texts_of(lived, person)
    kept = logs(lived, gone)
    (training,) = Trainings(lived.store).of("late")
    old = training.training_set
    assert old is not None
    rows = trainingsets.get(lived.lake, old)

    dry = ask(lived, person, dry_run=True)
    assert listed(lived.settings) == []
    assert holding(lived, person)
    done = ask(lived, person)

    assert {**dry, "dry_run": False, "request": done["request"]} == done
    assert holding(lived, person) == []
    assert in_store(lived, person) == []
    assert versions(lived, person) == before
    assert logs(lived, gone) == kept
    assert all(lived.lake.table(name).read(match={"rider": person}).num_rows == 0 for name in TABLES)
    assert done["rows"]["datasets/trips"] == done["rows"]["features/recent"] == 4 * 16
    assert done["rows"]["quarantine/trips"] == 4 * 3  # and lines that cannot be parted into fields
    assert done["rows"]["scores/late"] == 16
    assert (done["rows"]["predictions/late"], done["rows"]["feedback/late"]) == (2, 2)
    (lost,) = done["lost"]
    assert (lost["model"], lost["version"], lost["of"]) == ("late", 1, rows.num_rows)
    assert (lost["rows"], lost["names_key"]) == (done["rows"]["trainingsets"], False)
    assert any("late version 1 goes on with what it learnt" in text for text in done["left"])

    (record,) = listed(lived.settings)
    assert (record["state"], record["actor"], record["reason"]) == ("done", "ada", "letter of May")
    assert record["rows"] == done["rows"]
    assert record["lost"] == done["lost"]
    assert Erasures(lived.store).get(record["request"]).row_ids is None


def test_a_version_that_lost_rows_says_so_and_is_still_watched(lived: World) -> None:
    person = PEOPLE[1]
    ask(lived, person)
    told = lineage(lived.settings, "late", 1).erased
    assert told[-1]["rows"] > 0
    with pytest.raises(UserError, match=r"late version 1 cannot be reproduced: a person's rows were erased"):
        retrain(lived.settings, "late", 1)
    (training,) = Trainings(lived.store).of("late")
    assert training.training_set is not None
    path = trainingsets.path_of(training.training_set)
    assert training.inputs["training_set"] == path
    assert (path, 0) in Pins(lived.store).of(training.training_id)
    assert trainingsets.get(lived.lake, training.training_set).num_rows > 0
    done = lived.open("late", "monitor", THIRD).steps(*MONITOR)
    assert done["report"].output["drift"] is not None, done["report"].output
    assert pages.state(lived.lake, done["report"].output["report"]) in ("there", "to be drawn")
    assert holding(lived, person) == []


def test_counts_are_those_of_what_is_left(lived: World) -> None:
    run = lived.open("late", "monitor", THIRD)
    counted = LabelHistory(StepContext(run.input("decide"), lived.settings)).rows_since(None)
    done = ask(lived, PEOPLE[2])
    left = LabelHistory(StepContext(run.input("decide"), lived.settings)).rows_since(None)
    assert left == counted - done["rows"]["datasets/trips"] == lived.lake.table("datasets/trips").read().num_rows


def test_a_cleaned_source_may_be_read_again_and_one_that_was_not_brings_the_rows_back(lived: World) -> None:
    person = PEOPLE[3]
    done = ask(lived, person)
    assert "are the team's own" in done["left"][0]
    table = lived.lake.table("datasets/trips")
    rows = table.read_versions().to_pylist()
    lived.lay("trips", FIRST, csv_of([row for row in week_of(FIRST) if row[0] not in PEOPLE[:4]], HEADER))
    lived.ingest("trips", FIRST)
    assert table.read_versions().to_pylist() == rows
    lived.lay("trips", FIRST, csv_of([row for row in week_of(FIRST) if row[0] not in PEOPLE[:3]], HEADER))
    lived.ingest("trips", FIRST)
    assert table.read(match={"rider": person}).num_rows == 16
    again = ask(lived, person)
    assert again["request"] != done["request"]
    assert again["rows"]["datasets/trips"] == 16
    assert holding(lived, person) == []


def test_killed_at_any_point_it_is_gone_on_with(lived: World) -> None:
    person = PEOPLE[4]
    before, gone = versions(lived, person), texts_of(lived, person)
    kept, planned = logs(lived, gone), ask(lived, person, dry_run=True)
    how = {"given": [f"rider={person}"], "reason": "letter of May", "actor": "ada"}
    for point in POINTS:
        forked = lived.forge.erase({**lived.environment, "EVERGREEN_KILL_AT": point}, **how)
        assert forked.wait() == -signal.SIGKILL, f"{point} was not reached"
    requests = [each for each in listed(lived.settings) if each["state"] == "requested"]
    assert requests == []
    done = listed(lived.settings)[-1]
    assert done["rows"] == planned["rows"]
    assert [(each["version"], each["rows"]) for each in done["lost"]] == [(1, planned["lost"][0]["rows"])]
    assert holding(lived, person) == []
    assert in_store(lived, person) == []
    assert versions(lived, person) == before
    assert logs(lived, gone) == kept
    assert ask(lived, person)["rows"] == {}


def test_a_task_that_hung_meanwhile_brings_nothing_back(lived: World) -> None:
    """It read before, in memory; whether it would have staged, appended or trained, it is refused, and tried again."""
    person = PEOPLE[5]
    hung = []
    for resource, stage, step, point in (
        ("trips", "ingest", "publish", "publish.commit:before"), ("recent", "build", "build", "build.manifest:before"),
        ("late", "train", "train", "mlflow.log:before"),
    ):  # fmt: skip
        if stage == "ingest":
            lived.lay(resource, SECOND, csv_of(week_of(SECOND)[1:], HEADER))
        run = lived.open(resource, stage, SECOND, run_type="manual")
        steps = {"ingest": INGEST, "build": BUILD, "train": ("claim", "train")}[stage]
        run.steps(*steps[: steps.index(step)])
        hung.append((run.stop(step, point), run, step))
    ask(lived, person)
    assert holding(lived, person) == []
    for forked, _, _ in hung:
        told = forked.go_on()
        assert (told.get("error"), told.get("message", "")[:16]) == ("TransientError", "Rows were erased")
    assert holding(lived, person) == []


def test_what_a_task_staged_before_it_was_refused_is_found_by_the_next_call(lived: World) -> None:
    person = PEOPLE[11]
    lived.lay("trips", SECOND, csv_of(week_of(SECOND)[2:], HEADER))
    run = lived.open("trips", "ingest", SECOND)
    forked = run.stop("read", "staging:before")
    ask(lived, person)
    os.kill(forked.process, signal.SIGCONT)
    assert forked.wait(stopped=True) == "stopped"  # there are two files
    assert forked.go_on()["error"] == "TransientError"
    assert {name.partition("/")[0] for name in holding(lived, person)} == {"staging"}
    assert ask(lived, person)["rows"].keys() == {"staging"}
    assert holding(lived, person) == []


def test_two_who_erase_at_once_end_one_request(lived: World) -> None:
    person = PEOPLE[13]
    how = {"given": [f"rider={person}"], "reason": "letter of May", "actor": "ada"}
    before = len(listed(lived.settings))
    hung = lived.forge.erase({**lived.environment, "EVERGREEN_STOP_AT": "erase.set:within"}, **how)
    assert hung.wait(stopped=True) == "stopped"
    done = ask(lived, person)
    told = hung.go_on()
    assert told.get("result", told)["request"] == done["request"]
    assert len(listed(lived.settings)) == before + 1
    assert [each["state"] for each in listed(lived.settings)[before:]] == ["done"]
    assert holding(lived, person) == []


def test_an_answer_that_comes_while_answers_go_is_found_as_well(lived: World, monkeypatch: pytest.MonkeyPatch) -> None:
    person, rewrite = PEOPLE[6], Snapshot.rewrite

    def and_then_ship(self: Snapshot, *given: Any, **more: Any) -> None:
        monkeypatch.undo()
        line = {"request_id": "late-a", "row": json.dumps({"rider": person}), "prediction": "1"}
        lived.lake.table("predictions/late").append_once(table_of([line], COLUMNS["predictions"]), "another segment")
        rewrite(self, *given, **more)

    monkeypatch.setattr(Snapshot, "rewrite", and_then_ship)
    assert ask(lived, person)["rows"]["predictions/late"] == 3
    assert holding(lived, person) == []


def test_who_goes_on_writing_such_rows_is_told_apart(lived: World, monkeypatch: pytest.MonkeyPatch) -> None:
    person, ships = PEOPLE[7], count()
    begin = Erasures.begin_sweep

    def ship_and_begin(self: Erasures, number: int) -> None:
        line = {"request_id": "x", "row": json.dumps({"rider": person}), "prediction": "1"}
        tag = f"endless {next(ships)}"
        lived.lake.table("predictions/late").append_once(table_of([line], COLUMNS["predictions"]), tag)
        begin(self, number)

    monkeypatch.setattr(Erasures, "begin_sweep", ship_and_begin)
    with pytest.raises(TransientError, match=r"others wrote such rows during 10 sweeps. Call it again"):
        ask(lived, person)
    monkeypatch.undo()
    stood = listed(lived.settings)[-1]
    assert stood["state"] == "requested"
    assert ask(lived, person)["request"] == stood["request"]
    assert holding(lived, person) == []


def test_a_read_of_rows_that_went_is_tried_again(lived: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step was handed went while it ran: a fault that another try does not meet, not one of a person's."""
    person = PEOPLE[8]
    lived.lay("trips", THIRD, csv_of(week_of(THIRD)[20:], HEADER))
    run = lived.open("trips", "ingest", THIRD)
    run.step("read")
    sweeps = Erasures.sweeps

    def and_then_erase(self: Erasures) -> int:
        found = sweeps(self)
        monkeypatch.undo()
        ask(lived, person)
        return found

    monkeypatch.setattr(Erasures, "sweeps", and_then_erase)
    with pytest.raises(TransientError, match=r"Rows were erased while validate of trips ran: .*must exist in the lake"):
        run.step("validate")
    with pytest.raises(DataError, match="Clear the run's first task as well"):
        run.step("validate")
    run.steps(*INGEST)
    assert lived.lake.table("datasets/trips").read(match={"rider": person}).num_rows == 15, "its source has them still"
    ask(lived, person)
    assert holding(lived, person) == []


def test_only_the_datasets_that_are_named_lose_rows(lived: World) -> None:
    person = PEOPLE[9]
    lived.dataset("rides", **DATASET)
    lived.lay("rides", FIRST, csv_of(week_of(FIRST), HEADER))
    lived.ingest("rides", FIRST)
    rows = {name: lived.lake.table(f"datasets/{name}").read().num_rows for name in ("trips", "rides")}
    done = ask(lived, person, datasets=["rides"])
    assert set(done["tables"]) == {"datasets/rides"}
    assert done["lost"] == []
    assert lived.lake.table("datasets/trips").read().num_rows == rows["trips"]
    assert lived.lake.table("datasets/rides").read().num_rows == rows["rides"] - 16
    reading = Coverage(lived.store).get("datasets/rides", FIRST)
    assert reading is not None
    assert person not in staging.get(lived.lake, reading.reading)["rider"].to_pylist()
    assert "datasets/trips has these columns, but was not named: its rows stay." in done["left"]
    lived.ingest("rides", FIRST)
    lived.lay("rides", FIRST, csv_of(week_of(FIRST)[:5], HEADER))
    lived.ingest("rides", FIRST)
    assert lived.lake.table("datasets/rides").read().num_rows == 5


@pytest.mark.parametrize(
    ("given", "how", "message"),
    [
        (["driver=4711"], {}, r"must name columns of the entity of a dataset or a view, got \['driver'\]. These are"),
        (
            ["rider=4711"],
            {"datasets": ["planes"]},
            r"--dataset must name datasets, got \['planes'\]. There are .*trips",
        ),
        (["rider=4711"], {"reason": "4711 asked"}, r"--reason must say why, without a value of the key"),
        (["rider=4711"], {"reason": " "}, r"--reason must say why"),
        (["rider"], {}, r"entity key must be COLUMN=VALUE"),
    ],
)
def test_what_cannot_be_erased_says_why(lived: World, given: list[str], how: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        erase(lived.settings, given, **{"reason": "letter", "actor": "ada", **how})


def test_a_person_calls_it_and_lists_what_was_done(lived: World) -> None:
    person = PEOPLE[10]
    key = [f"rider={person}", "--reason", "letter of June"]
    named = evergreen(lived, "erase", *key, "--dry-run", "--dataset", "trips", "--dataset", "rides")
    assert named.returncode == 0, named.stderr
    assert json.loads(named.stdout)["tables"] == ["datasets/rides", "datasets/trips", "features/recent"]
    dry = evergreen(lived, "erase", *key, "--dry-run")
    done = evergreen(lived, "erase", *key)
    told = json.loads(done.stdout)
    assert {**json.loads(dry.stdout), "dry_run": False, "request": told["request"]} == told
    assert holding(lived, person) == []
    newest = json.loads(evergreen(lived, "erasures").stdout)[-1]
    assert (newest["request"], newest["state"], newest["actor"]) == (told["request"], "done", "ada")
    assert person not in json.dumps(newest)
    wrong = evergreen(lived, "erase", "driver=1", "--reason", "r")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("evergreen: evergreen erase must name columns of the entity")


def test_a_version_that_knows_the_value_is_named(lived: World) -> None:
    """The last here: its bundle names every person."""
    person = PEOPLE[12]
    lived.model("knows", **{**MODEL, "exclude": []})
    lived.train("knows", FIRST)
    done = ask(lived, person)
    known = [(each["model"], each["version"], each["names_key"]) for each in done["lost"]]
    assert {("knows", 1, True), ("late", 1, False)} <= set(known)
    told = [text for text in done["left"] if text.startswith("knows version 1 goes on with what it learnt")]
    assert len(told) == 1 and "golden rows and names its value" in told[0]
    assert {name.partition("/")[0] for name in holding(lived, person)} == {"workspaces"}


def evergreen(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from evergreen.cli import main; main()", *arguments]
    environment = {**os.environ, **world.environment, "LOGNAME": "ada"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
