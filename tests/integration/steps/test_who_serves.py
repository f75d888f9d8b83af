"""Rollback, hold, release, backfills: who may serve, decided by the real steps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drill_world import BUILD, DEPLOY, FIRST, INGEST, MONITOR, SECOND, THIRD, TRAIN, World, state

from evergreen.steps.contract import StepResult
from evergreen.store.decisions import Decision, Decisions
from evergreen.store.ledger import Ledger
from evergreen.store.requests import Requests
from evergreen.store.trainings import Trainings
from evergreen.tracking.mlflow_client import Tracking


def act(world: World, model: str, action: str, **more: Any) -> StepResult:
    conf = {"action": action, "reason": "complaints", **more}
    return world.open(model, "rollback", THIRD, run_type="manual", conf=conf, actor="eve").step("act")


def serving(world: World, model: str) -> list[tuple[str, int | None]]:
    return [(entry.action, entry.version) for entry in Ledger(world.store).entries(model)]


def deployments(world: World, model: str) -> list[Decision]:
    return Decisions(world.store).of(model, kind="deployment")


def test_a_rollback_while_a_deployment_waits_wins(world: World) -> None:
    model = world.model()
    world.champion(model, FIRST)
    world.champion(model, SECOND)
    world.train(model, THIRD)
    waiting = world.open(model, "deploy", THIRD)
    assert waiting.step("verify").output["base_seq"] == 2
    act(world, model, "roll_back")
    ended = waiting.step("roll_out")
    assert "expected at seq 2" in str(ended.skip) or "was to follow seq 2" in str(ended.skip)
    assert serving(world, model) == [("promote", 1), ("promote", 2), ("roll_back", 1)]
    (recorded,) = deployments(world, model)
    assert (recorded.verdict, recorded.version) == ("superseded", 3)
    assert "complaints" in recorded.reasons[0]
    assert waiting.step("roll_out").skip == ended.skip, "a retry ends alike"
    assert "no candidate" in str(world.open(model, "deploy", THIRD).step("verify").skip)


def test_a_version_that_was_rolled_back_does_not_return_by_a_retry_of_its_deployment(world: World) -> None:
    model = world.model()
    world.champion(model, FIRST)
    world.train(model, SECOND)
    deploy = world.open(model, "deploy", SECOND)
    deploy.step("verify")
    deploy.kill("roll_out", "ledger.insert:after")
    act(world, model, "roll_back")
    results = deploy.steps("roll_out", "settle")
    assert results["settle"].event == {"version": 1, "seq": 3}
    assert serving(world, model) == [("promote", 1), ("promote", 2), ("roll_back", 1)]
    assert "no candidate" in str(world.open(model, "deploy", SECOND).step("verify").skip)
    assert Tracking(world.settings.mlflow_uri).aliases(model) == {"champion": 1}


def test_a_hold_keeps_back_what_was_requested_before_it_until_it_is_released(world: World) -> None:
    model = world.model()
    world.champion(model, FIRST)
    world.champion(model, SECOND)
    world.train(model, THIRD)
    act(world, model, "roll_back")
    for _ in range(2):
        refused = world.open(model, "deploy", THIRD).step("verify")
        assert "was requested before eve held the model at seq 3 (complaints)" in str(refused.skip)
    assert [decision.verdict for decision in deployments(world, model)] == ["held"]
    act(world, model, "release")
    world.open(model, "deploy", THIRD).steps(*DEPLOY)
    assert serving(world, model) == [
        ("promote", 1),
        ("promote", 2),
        ("roll_back", 1),
        ("release", None),
        ("promote", 3),
    ]


def test_what_is_requested_after_a_hold_may_serve(world: World) -> None:
    model = world.model()
    world.champion(model, FIRST)
    world.champion(model, SECOND)
    act(world, model, "roll_back")
    assert world.champion(model, THIRD) == 3
    assert serving(world, model)[-1] == ("promote", 3)


def test_a_person_may_bring_a_rolled_back_version_back_by_name(world: World) -> None:
    model = world.model()
    world.champion(model, FIRST)
    world.champion(model, SECOND)
    act(world, model, "roll_back")
    back = world.open(
        model, "rollback", THIRD, run_type="manual", actor="eve",
        conf={"action": "promote", "version": 2, "reason": "it was the data"},
    )  # fmt: skip
    for _ in range(2):
        assert back.step("act").event == {"action": "promote", "version": 2, "seq": 4}
    assert serving(world, model)[-1] == ("promote", 2)


def test_a_backfill_of_an_old_period_reports_and_changes_nothing(world: World) -> None:
    model = world.model()
    world.champion(model, THIRD)
    before = state(world, model)
    world.open("trips", "ingest", SECOND).steps(*INGEST)
    world.open("recent", "build", SECOND).steps(*BUILD)
    watched = world.open(model, "monitor", SECOND).steps(*MONITOR)
    assert watched["decide"].output["verdict"] == "historic"
    assert "before the champion's" in str(watched["ring"].skip)
    assert Requests(world.store).open_of(model) == []
    (decided,) = Decisions(world.store).of(model, kind="retraining")
    assert decided.historic
    assert {**state(world, model), "gate": None} == {**before, "gate": None}


def test_a_training_of_an_old_period_that_the_champion_knows_all_of_cannot_be_judged(world: World) -> None:
    model = world.model()
    world.champion(model, THIRD)
    run = world.open(model, "train", SECOND, run_type="manual")
    assert "cannot_judge" in str(run.steps(*TRAIN)["register"].skip)
    assert [gate.historic for gate in Decisions(world.store).of(model, kind="gate")] == [False, True]
    assert serving(world, model) == [("promote", 1)]


def test_a_training_of_an_old_period_ends_at_its_deployment(world: World) -> None:
    model = world.model(split={"test": "9d", "validation": "2d"}, retraining={"min_history": "14d"})
    world.champion(model, THIRD)
    assert world.train(model, SECOND).outputs["register"]["version"] == 2
    refused = world.open(model, "deploy", SECOND).step("verify")
    assert "as of 2024-01-22, is older than the champion, as of 2024-01-29" in str(refused.skip)
    (recorded,) = deployments(world, model)
    assert (recorded.verdict, recorded.version, recorded.historic) == ("historic", 2, True)
    assert [gate.historic for gate in Decisions(world.store).of(model, kind="gate")] == [False, True]
    assert serving(world, model) == [("promote", 1)]
    assert "no candidate" in str(world.open(model, "deploy", SECOND).step("verify").skip)


def test_a_hundred_runs_at_once_give_one_training(world: World) -> None:
    model = world.model()
    asked = Requests(world.store)
    as_of_time = datetime.fromisoformat(SECOND).replace(tzinfo=UTC)
    for cause in ("drift", "decay", "code"):
        asked.open(model, SECOND, as_of_time, cause, f"because of {cause}", f"{model}:{cause}")
    runs = [
        world.open(model, "train", SECOND, run_type="manual", conf={"again": str(number % 5)} if number % 2 else {})
        if number % 10
        else world.open(model, "train", SECOND)
        for number in range(100)
    ]
    forked = [run.fork("claim") for run in runs]
    answers = [each.answered() for each in forked]
    assert {answer.get("error") for answer in answers} == {None}
    won = [number for number, answer in enumerate(answers) if answer["result"]["skip"] is None]
    assert len(won) == 1
    run = runs[won[0]]
    assert run.steps(*TRAIN)["register"].skip is None
    assert len(Trainings(world.store).of(model)) == 1
    assert {request.state for request in asked.of(model)} == {"done"}
    assert {request.cause for request in asked.of(model)} == {"drift", "decay", "code", "manual"}


def test_a_training_that_is_asked_for_again_is_answered(world: World) -> None:
    model = world.model()
    world.train(model, SECOND)
    assert "was trained for" in str(world.open(model, "train", SECOND, run_type="manual").step("claim").skip)
    again = world.train(model, SECOND, conf={"again": "please"})
    assert again.outputs["register"]["version"] == 1
    assert [request.state for request in Requests(world.store).of(model)] == ["done", "done"]


def test_editing_the_model_file_between_train_and_gate_changes_nothing_in_that_run(world: World) -> None:
    model = world.model()
    run = world.open(model, "train", SECOND, run_type="manual")
    run.steps("claim", "train")
    world.model(model, gate={"min_rows": 100_000})
    assert run.step("evaluate").output["verdict"] == "accept"
    world.write(f"models/{model}.yaml", "task: [what")
    assert run.step("register").output["version"] == 1
    world.model(model, gate={"min_rows": 100_000})
    following = world.open(model, "train", THIRD, run_type="manual")
    following.steps("claim", "train")
    assert following.step("evaluate").output["verdict"] == "cannot_judge"
