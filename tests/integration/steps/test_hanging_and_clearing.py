"""A step that hung while its retry finished, and a task that is cleared after it succeeded, change nothing."""

from __future__ import annotations

import pytest
from drill_world import DEPLOY, FIRST, INGEST, KEYS, SECOND, TRAIN, World, content, csv_of, rows_of, state

from evergreen.store.ledger import Ledger
from evergreen.store.trainings import Trainings


def test_a_publish_that_hung_while_its_retry_finished_doubles_nothing(bare_world: World) -> None:
    for point in ("quarantine.commit:before", "publish.commit:before", "publish.manifest:before"):
        name = bare_world.dataset()
        rows = rows_of(FIRST)
        bare_world.lay(name, FIRST, csv_of([[*rows[0][:2], "1048", *rows[0][3:]], *rows[1:]]))
        run = bare_world.open(name, "ingest", FIRST)
        run.steps("read", "validate")
        hung = run.stop("publish", point)
        done = run.step("publish")
        before = content(bare_world, name)
        assert hung.go_on()["result"] == done.model_dump(mode="json")
        assert content(bare_world, name) == before
        assert (len(before["versions"]), len(before["quarantine"])) == (335, 1)


@pytest.mark.parametrize("point", ["quarantine.commit:before", "publish.commit:before"])
@pytest.mark.parametrize("retried", [True, False])
def test_a_publish_that_hung_until_the_source_was_repaired_does_not_bring_the_old_rows_back(
    bare_world: World, point: str, retried: bool
) -> None:
    name = bare_world.dataset()
    rows = rows_of(FIRST)
    wrong = [rows[0][0], "0.111", *rows[0][2:]]
    windy = [*rows[1][:2], "1048", *rows[1][3:]]
    bare_world.lay(name, FIRST, csv_of([wrong, windy, *rows[2:]]))
    run = bare_world.open(name, "ingest", FIRST)
    run.steps("read", "validate")
    hung = run.stop("publish", point)
    if retried:
        run.step("publish")
    bare_world.lay(name, FIRST, csv_of([*rows[:1], windy, *rows[2:]]))
    run.steps(*INGEST)
    repaired = content(bare_world, name)
    assert hung.go_on().get("error") == (None if retried else "Superseded")
    assert content(bare_world, name) == repaired
    assert bare_world.lake.table(f"datasets/{name}").read()["load"][0].as_py() == float(rows[0][1])
    assert len(repaired["quarantine"]) == 1


def test_a_training_that_hung_while_its_retry_finished_adopts_nothing(world: World) -> None:
    for step, point in (("train", "mlflow.log:within"), ("register", "register:before"), ("register", "adopt:before")):
        model = world.model()
        run = world.open(model, "train", SECOND, run_type="manual")
        run.steps(*TRAIN[: TRAIN.index(step)])
        hung = run.stop(step, point)
        results = run.steps(*TRAIN[TRAIN.index(step) :])
        deployed = world.open(model, "deploy", SECOND).steps(*DEPLOY)
        assert "error" not in hung.go_on()
        training_id = run.outputs["train"]["training_id"]
        training = Trainings(world.store).get(training_id)
        assert training.adopted_version == results["register"].output["version"]
        assert training.run_id == run.outputs["train"]["run_id"]
        assert deployed["settle"].event == {"version": training.adopted_version, "seq": 1}
        assert [entry.version for entry in Ledger(world.store).entries(model)] == [training.adopted_version]
        assert world.open(model, "deploy", SECOND).step("verify").skip == f"no candidate of {model} is waiting"


def test_a_promotion_that_hung_while_its_retry_finished_promotes_nothing(world: World) -> None:
    model = world.model()
    world.train(model, SECOND)
    run = world.open(model, "deploy", SECOND)
    run.step("verify")
    hung = run.stop("roll_out", "ledger.insert:before")
    done = run.steps(*DEPLOY[1:])
    assert hung.go_on()["result"]["output"] == done["roll_out"].output
    assert [(entry.seq, entry.version) for entry in Ledger(world.store).entries(model)] == [(1, 1)]


def test_a_promotion_that_hung_while_a_newer_version_took_over_promotes_nothing(world: World) -> None:
    model = world.model()
    world.train(model, FIRST)
    run = world.open(model, "deploy", FIRST)
    run.step("verify")
    hung = run.stop("roll_out", "ledger.insert:before")
    newer = world.champion(model, SECOND)
    answer = hung.go_on()
    assert answer["result"]["skip"].startswith(f"version 1 of {model} is not promoted")
    assert [entry.version for entry in Ledger(world.store).entries(model)] == [newer]


def test_clearing_a_succeeded_ingest_changes_nothing(bare_world: World) -> None:
    name = bare_world.dataset()
    bare_world.lay(name, FIRST, csv_of(rows_of(FIRST)))
    run = bare_world.open(name, "ingest", FIRST)
    first = run.steps(*INGEST)
    before = content(bare_world, name), bare_world.lake.table(f"datasets/{name}").version()
    assert run.steps(*INGEST) == first
    assert (content(bare_world, name), bare_world.lake.table(f"datasets/{name}").version()) == before


def test_clearing_an_ingest_after_its_source_was_repaired_adds_the_new_rows_only(bare_world: World) -> None:
    name = bare_world.dataset()
    rows = rows_of(FIRST)
    windy = [*rows[3][:2], "1048", *rows[3][3:]]
    bare_world.lay(name, FIRST, csv_of([*rows[:3], windy, *rows[4:300], ["2024-01-14", "much", *rows[9][2:]]]))
    run = bare_world.open(name, "ingest", FIRST)
    run.steps(*INGEST)
    bare_world.dataset(name, late_window="0d", expectations=[])  # the run keeps what it has frozen
    bare_world.lay(name, FIRST, csv_of([rows[320], *rows[:3], windy, *rows[4:320], *rows[321:]]))
    again = run.steps(*INGEST)["publish"]
    assert (again.output["appended"], again.output["unchanged"], again.output["quarantined"]) == (36, 299, 1)
    assert bare_world.lake.table(f"datasets/{name}").read_versions().num_rows == 335
    (counts,) = content(bare_world, name)["counts"]
    assert counts[1:5] == (336, 335, 1, 0)
    kept = [row["row"] for row in content(bare_world, name)["quarantine"]]
    assert len(kept) == 2, "the row that is still broken stands in the quarantine once"


def test_a_source_that_is_put_back_as_it_was_is_published_again(bare_world: World) -> None:
    name = bare_world.dataset()
    rows = rows_of(FIRST)
    run = bare_world.open(name, "ingest", FIRST)
    for load, good in (("0.111", 336), ("0.222", 335), ("0.111", 336)):
        bare_world.lay(name, FIRST, csv_of([[rows[0][0], load, *rows[0][2:]], *rows[1:good]]))
        run.steps(*INGEST)
        assert run.steps(*INGEST)["publish"].output == run.outputs["publish"], "cleared once more"
        assert bare_world.lake.table(f"datasets/{name}").read()["load"][0].as_py() == float(load)
        assert content(bare_world, name)["counts"][0][1] == good
    versions = bare_world.lake.table(f"datasets/{name}").read_versions()
    assert versions.num_rows == 336, "of what was said and taken back at one instant nobody saw any but the last"


def test_clearing_a_succeeded_training_or_deployment_changes_nothing(world: World) -> None:
    model = world.model()
    run = world.train(model, SECOND)
    deploy = world.open(model, "deploy", SECOND)
    deploy.steps(*DEPLOY)
    before = state(world, model)
    for step in ("train", "evaluate", "register"):
        result = run.step(step)
        assert result.skip is None
    for step in ("roll_out", "settle"):
        assert deploy.step(step).output["version"] == 1
    assert state(world, model) == before
    assert "was trained for" in str(run.step("claim").skip)
    assert "no candidate" in str(deploy.step("verify").skip)
    assert state(world, model) == before


def test_clearing_an_old_ingest_after_newer_ones_changes_nothing(bare_world: World) -> None:
    name = bare_world.dataset()
    runs = {}
    for key in KEYS[:3]:
        bare_world.lay(name, key, csv_of(rows_of(key)))
        runs[key] = bare_world.open(name, "ingest", key)
        runs[key].steps(*INGEST)
    before = content(bare_world, name)
    for run in runs.values():
        run.steps(*INGEST)
    assert content(bare_world, name) == before
