"""What is skipped is noted and rings; monitoring waits for what has not come, says so, and not for what never will."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from drill_world import DEPLOY, INGEST, MONITOR, TRAIN, World, csv_of, rows_of

from evergreen.store.decisions import Decisions
from evergreen.store.intervals import Intervals
from evergreen.store.ledger import Ledger
from evergreen.store.periods import Periods
from evergreen.store.requests import Requests

pytestmark = pytest.mark.timeout(600)

WEEKS = ["2024-01-08", "2024-01-15", "2024-01-22", "2024-01-29", "2024-02-05"]
SKIP = {"source": {"when_missing": "skip"}, "availability_delay": "0d"}


def at(key: str) -> datetime:
    return datetime.fromisoformat(key).replace(tzinfo=UTC)


def noted(world: World, name: str, key: str) -> tuple[str, str]:
    found = Intervals(world.store).at([name], at(key))[name]
    return found.state, found.reason


def ingest(world: World, name: str, key: str) -> dict[str, object]:
    """As the DAG does: the last task runs after a skipped one, too; gives what it rings with."""
    run = world.open(name, "ingest", key)
    run.steps(*INGEST[:2])
    return dict(run.step("publish").event or {})


def build(world: World, name: str, key: str) -> dict[str, object]:
    run = world.open(name, "build", key)
    run.step("build")
    return dict(run.step("publish").event or {})


@pytest.fixture
def names(bare_world: World) -> tuple[str, str, str]:
    """A dataset whose file may be missing, its view, and a model that serves since the second week."""
    dataset = bare_world.dataset(**SKIP)
    view = bare_world.view(dataset)
    for key in WEEKS[:2]:
        bare_world.lay(dataset, key, csv_of(rows_of(key)))
        ingest(bare_world, dataset, key)
        build(bare_world, view, key)
    model = bare_world.model(features=[view], label={"dataset": dataset}, retraining={"min_history": "7d"})
    assert bare_world.champion(model, WEEKS[1]) == 1
    return dataset, view, model


def test_a_skipped_ingestion_is_noted_rings_and_is_not_waited_for(
    bare_world: World, names: tuple[str, str, str]
) -> None:
    dataset, view, model = names
    reason = "no file matches"
    run = bare_world.open(dataset, "ingest", WEEKS[2])
    assert reason in str(run.step("read").skip)
    for _ in range(2):
        rung = run.step("publish")
        assert reason in str((rung.event or {})["skipped"]) and rung.skip is None
    state, why = noted(bare_world, dataset, WEEKS[2])
    assert state == "skipped" and reason in why
    assert build(bare_world, view, WEEKS[2])["table"] == f"features/{view}"
    watched = bare_world.open(model, "monitor", WEEKS[2]).steps(*MONITOR)
    assert watched["monitor"].skip is None
    assert list(watched["monitor"].output["missing"]) == [dataset]
    assert watched["monitor"].output["rows"] == 0
    assert "no rows" in watched["report"].output["reason"]
    assert Decisions(bare_world.store).of(model, kind="drift") == []
    assert watched["decide"].output["verdict"] == "not_needed"
    (period,) = Periods(bare_world.store).in_state(model, "open")
    assert reason in period.note
    bare_world.lay(dataset, WEEKS[3], csv_of(rows_of(WEEKS[3])))
    ingest(bare_world, dataset, WEEKS[3])
    build(bare_world, view, WEEKS[3])
    later = bare_world.open(model, "monitor", WEEKS[3]).steps(*MONITOR)
    assert (later["monitor"].output["rows"], later["monitor"].output["missing"]) == (336, {})


def test_a_file_that_comes_after_all_is_published_and_watched(bare_world: World, names: tuple[str, str, str]) -> None:
    dataset, view, model = names
    ingest(bare_world, dataset, WEEKS[2])
    build(bare_world, view, WEEKS[2])
    bare_world.open(model, "monitor", WEEKS[2]).steps(*MONITOR)
    bare_world.lay(dataset, WEEKS[2], csv_of(rows_of(WEEKS[2])))
    assert ingest(bare_world, dataset, WEEKS[2])["appended"] == 336
    assert noted(bare_world, dataset, WEEKS[2]) == ("published", "")
    build(bare_world, view, WEEKS[2])
    watched = bare_world.open(model, "monitor", WEEKS[2]).steps(*MONITOR)
    assert (watched["monitor"].output["rows"], watched["monitor"].output["missing"]) == (336, {})
    (figure,) = Periods(bare_world.store).of(model)
    assert (figure.n_rows, figure.n_labelled) == (336, 336)


def test_a_file_that_is_taken_away_changes_nothing_that_was_published(
    bare_world: World, names: tuple[str, str, str]
) -> None:
    dataset = names[0]
    bare_world.lay(dataset, WEEKS[1], "").unlink()
    assert "skipped" in ingest(bare_world, dataset, WEEKS[1])
    assert noted(bare_world, dataset, WEEKS[1])[0] == "published"
    assert bare_world.lake.table(f"datasets/{dataset}").read().num_rows == 672


def test_it_waits_for_what_has_not_come_and_says_for_what(bare_world: World, names: tuple[str, str, str]) -> None:
    dataset, view, model = names
    bare_world.lay(dataset, WEEKS[2], csv_of(rows_of(WEEKS[2])))
    for _ in range(2):
        nothing = bare_world.open(model, "monitor", WEEKS[2]).step("monitor")
        assert str(nothing.skip).startswith(f"{model} waits for {dataset}, {view} as of {WEEKS[2]}")
    ingest(bare_world, dataset, WEEKS[2])
    half = bare_world.open(model, "monitor", WEEKS[2])
    assert list(half.steps(*MONITOR)) == ["monitor"]
    assert str(half.step("monitor").skip).startswith(f"{model} waits for {view} as of {WEEKS[2]}")
    (period,) = Periods(bare_world.store).in_state(model, "waiting")
    assert (period.as_of, period.note) == (WEEKS[2], half.step("monitor").skip)
    build(bare_world, view, WEEKS[2])
    assert bare_world.open(model, "monitor", WEEKS[2]).steps(*MONITOR)["monitor"].output["rows"] == 336
    assert Periods(bare_world.store).in_state(model, "waiting") == []


def test_a_build_that_adds_no_row_ends_the_waiting(bare_world: World, names: tuple[str, str, str]) -> None:
    dataset, view, model = names
    bare_world.lay(dataset, WEEKS[2], csv_of([]))
    ingest(bare_world, dataset, WEEKS[2])
    assert bare_world.open(model, "monitor", WEEKS[2]).step("monitor").skip is not None
    assert build(bare_world, view, WEEKS[2])["appended"] == 0
    assert bare_world.open(model, "monitor", WEEKS[2]).step("monitor").skip is None


def test_a_period_that_never_got_its_inputs_is_told_by_the_next(bare_world: World, names: tuple[str, str, str]) -> None:
    dataset, view, model = names
    for key in WEEKS[2:4]:
        bare_world.lay(dataset, key, csv_of(rows_of(key)))
        ingest(bare_world, dataset, key)
        bare_world.open(model, "monitor", key).step("monitor")
    build(bare_world, view, WEEKS[3])
    assert bare_world.open(model, "monitor", WEEKS[3]).step("monitor").output["still_waiting"] == [WEEKS[2]]


def test_a_person_may_watch_without_what_is_waited_for(bare_world: World, names: tuple[str, str, str]) -> None:
    dataset, view, model = names
    bare_world.lay(dataset, WEEKS[2], csv_of(rows_of(WEEKS[2])))
    ingest(bare_world, dataset, WEEKS[2])
    run = bare_world.open(model, "monitor", WEEKS[2], run_type="manual", conf={"anyway": True})
    output = run.steps(*MONITOR)["monitor"].output
    assert (output["rows"], output["missing"]) == (336, {view: "it was not waited for"})


def test_a_build_that_is_skipped_since_another_dataset_has_nothing_is_noted_and_rings(bare_world: World) -> None:
    main, other = bare_world.dataset(**SKIP), bare_world.dataset(**SKIP)
    view = bare_world.new_name("both")
    columns = "moment, load"
    bare_world.write(f"features/{view}.sql", f"select {columns} as doubled from {main} where moment not in (select moment from {other} where load > 2)")  # fmt: skip  # noqa: E501
    bare_world.write(
        f"features/{view}.yaml",
        {"reads": [main, other], "timestamp": "moment", "transform": f"{view}.sql", "outputs": {"doubled": {}}},
    )
    model = bare_world.model(features=[view], label={"dataset": main}, retraining={"min_history": "7d"})
    for number, key in enumerate(WEEKS[:3]):
        bare_world.lay(main, key, csv_of(rows_of(key)))
        ingest(bare_world, main, key)
        if number == 2:
            bare_world.lay(other, key, csv_of(rows_of(key)))
        ingest(bare_world, other, key)
        rung = build(bare_world, view, key)
        assert ("skipped" in rung) == (number < 2)
        watched = bare_world.open(model, "monitor", key).steps(*MONITOR)
        if number < 2:
            assert noted(bare_world, view, key)[0] == "skipped"
            told = str(watched["monitor"].skip)
            assert f"nothing of {view} yet" in told and f"nothing of {other} is there" in told
        else:
            assert watched["decide"].output["verdict"] == "retrain"
    assert [request.cause for request in Requests(bare_world.store).of(model)] == ["first_champion"]


def test_a_label_dataset_of_which_nothing_was_ever_published_is_no_failure(bare_world: World) -> None:
    dataset = bare_world.dataset(**SKIP)
    model = bare_world.model(features=[], label={"dataset": dataset})
    ingest(bare_world, dataset, WEEKS[0])
    told = str(bare_world.open(model, "monitor", WEEKS[0]).step("monitor").skip)
    assert f"nothing of {dataset} yet" in told and "no file matches" in told


def test_a_publication_that_is_given_nothing_and_knows_no_skip_fails(bare_world: World) -> None:
    dataset = bare_world.dataset(**SKIP)
    with pytest.raises(KeyError):
        bare_world.open(dataset, "ingest", WEEKS[0]).step("publish")


def test_odd_values_and_labels_stop_neither_report_nor_decision(bare_world: World) -> None:
    """A division by zero in one row, and feedback that fits no label: monitoring goes on and says so."""
    import pyarrow as pa

    dataset = bare_world.dataset(**SKIP)
    view = bare_world.new_name("ratio")
    bare_world.write(f"features/{view}.sql", "select wind / load as ratio from request")
    outputs = {"ratio": {"type": "float"}}
    bare_world.write(f"features/{view}.yaml", {"kind": "on_demand", "transform": f"{view}.sql", "outputs": outputs})
    for number, key in enumerate(WEEKS[:4]):
        rows = rows_of(key)
        if number > 1:
            rows[7][1] = "0"
            rows[9][3] = ""
        bare_world.lay(dataset, key, csv_of(rows))
        ingest(bare_world, dataset, key)
    model = bare_world.model(
        features=[view], label={"dataset": dataset}, retraining={"min_history": "7d", "every": "7d"}
    )
    assert bare_world.champion(model, WEEKS[1]) == 1
    rows = bare_world.lake.table(f"datasets/{dataset}").read(event_from=at(WEEKS[1]), event_to=at(WEEKS[2]))
    ids = rows["_row_id"].to_pylist()
    logged = {
        "request_id": ["q0", "q1", "q2"], "at": [WEEKS[1]] * 3, "version": [1, 1, 1], "seq": [1, 1, 1],
        "row_id": [ids[9], ids[9], ids[10]], "event_time": rows["_event_time"].take([9, 9, 10]),
        "prediction": ["0.9", "0.2", "0.3"], "row": ["{}"] * 3,
        "fallback": pa.nulls(3, pa.string()),
    }  # fmt: skip
    said = {
        "request_id": ["q0", "q1", "q0"], "at": [f"{WEEKS[2]}T00:00:0{n}+00:00" for n in range(3)],
        "label": [json.dumps(label) for label in (0, "perhaps", 1)],
    }  # fmt: skip
    bare_world.lake.table(f"predictions/{model}").append_once(pa.table(logged), "a")
    bare_world.lake.table(f"feedback/{model}").append_once(pa.table(said), "a")
    for key in WEEKS[2:4]:
        watched = bare_world.open(model, "monitor", key).steps(*MONITOR)
        assert watched["report"].output["drift"] is False
        assert watched["report"].output["report"] is not None
        assert any("infinite values" in reason for reason in watched["report"].output["reasons"])
        assert watched["monitor"].output["labels_set_aside"] == 1
        assert watched["monitor"].output["such_as"][0].startswith("request q1")
        assert watched["decide"].output["verdict"] == "retrain"
        (drift,) = [each for each in Decisions(bare_world.store).of(model, kind="drift") if each.as_of == key]
        assert drift.verdict == "no drift"
    answered = [row for row in Periods(bare_world.store).of(model) if row.role == "logged"]
    assert [(row.n_rows, row.n_labelled) for row in answered] == [(3, 2)]
    renewed = bare_world.open(model, "train", WEEKS[3]).steps(*TRAIN)
    assert "register" in renewed
    bare_world.open(model, "deploy", WEEKS[3]).steps(*DEPLOY)
    assert Ledger(bare_world.store).verify_chain(model) == []


def test_answers_of_a_version_that_is_not_watched_are_measured_by_its_own_classes(bare_world: World) -> None:
    dataset = bare_world.dataset(availability_delay="0d")
    for key in WEEKS[:3]:
        bare_world.lay(dataset, key, csv_of(rows_of(key)))
        ingest(bare_world, dataset, key)
    plain = {"features": [], "label": {"dataset": dataset}, "task": "multiclass"}
    model = bare_world.model(**plain, retraining={"min_history": "7d"})
    assert bare_world.champion(model, WEEKS[1]) == 1
    bare_world.model(model, **plain, trainer={"kind": "lightgbm", "rounds": 30, "threads": 1})
    assert bare_world.champion(model, WEEKS[2]) == 2
    rows = bare_world.lake.table(f"datasets/{dataset}").read(event_from=at(WEEKS[1]), event_to=at(WEEKS[2]))
    ids, labels = rows["_row_id"].to_pylist()[:40], rows["late"].to_pylist()[:40]
    said = [{"False": float(not label), "True": float(label)} for label in labels]
    logged = {
        "request_id": [f"q{n}" for n in range(40)], "at": [WEEKS[2]] * 40, "version": [2] * 40, "seq": [2] * 40,
        "row_id": ids, "prediction": [json.dumps(each) for each in said], "row": ["{}"] * 40,
        "fallback": pa.nulls(40, pa.string()),
    }  # fmt: skip
    bare_world.lake.table(f"predictions/{model}").append_once(pa.table(logged), "a")
    bare_world.open(model, "monitor", WEEKS[2]).steps(*MONITOR)
    (figure,) = [row for row in Periods(bare_world.store).of(model) if row.role == "logged"]
    assert (figure.version, figure.metric, figure.value, figure.n_labelled) == (2, "accuracy", 1.0, 40)
