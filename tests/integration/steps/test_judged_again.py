"""A verdict is bound to the ledger: when the champions that it was made against have changed, it is made again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from drill_world import DEPLOY, FIRST, SECOND, THIRD, TRAIN, Run, World
from sqlalchemy import update

from evergreen.steps.contract import StepResult
from evergreen.store.decisions import Decision, Decisions
from evergreen.store.ledger import Ledger
from evergreen.store.requests import Requests
from evergreen.store.schema import decisions

GATE = {"min_rows": 50, "tolerance": 0.0}
WEAK, MIDDLE, STRONG, STRONGER = (2, 1), (31, 1), (31, 4), (7, 20)
"""Leaves and rounds of boosting: on this data each is better than the one before."""


def declare(world: World, name: str | None, size: tuple[int, int], **changes: Any) -> str:
    leaves, rounds = size
    params = {"min_data_in_leaf": 10, "num_leaves": leaves}
    trainer = {"kind": "lightgbm", "rounds": rounds, "threads": 1, "params": params}
    return world.model(name, **{"trainer": trainer, "gate": GATE, **changes})


def trained(world: World, model: str, size: tuple[int, int], *, until: str = "register") -> Run:
    """A candidate as of THIRD, up to a step of its training run."""
    declare(world, model, size)
    run = world.open(model, "train", THIRD, run_type="manual")
    run.steps(*TRAIN[: TRAIN.index(until) + 1])
    return run


def deploy(world: World, model: str) -> dict[str, StepResult]:
    return world.open(model, "deploy", THIRD).steps(*DEPLOY)


def act(world: World, model: str, action: str, **more: Any) -> StepResult:
    conf = {"action": action, "reason": "complaints", **more}
    return world.open(model, "rollback", THIRD, run_type="manual", conf=conf, actor="eve").step("act")


def serving(world: World, model: str) -> list[tuple[str, int | None]]:
    return [(entry.action, entry.version) for entry in Ledger(world.store).entries(model)]


def gates(world: World, model: str, *, of: Run) -> list[Decision]:
    key = f"gate:{of.outputs['train']['training_id']}"
    return [each for each in Decisions(world.store).of(model, kind="gate") if each.key.startswith(key)]


@pytest.fixture
def overtaken(world: World) -> tuple[str, Run]:
    """A model whose version 2 took over between the judgement of a middling third, against 1 only, and its version."""
    return overtake(world, MIDDLE)


def overtake(world: World, third: tuple[int, int]) -> tuple[str, Run]:
    model = declare(world, None, WEAK)
    trained(world, model, WEAK)
    deploy(world, model)
    trained(world, model, STRONG)
    run = trained(world, model, third, until="evaluate")
    assert run.outputs["evaluate"]["verdict"] == "accept"
    deploy(world, model)
    assert run.step("register").output["version"] == 3
    assert serving(world, model) == [("promote", 1), ("promote", 2)]
    return model, run


def test_what_was_judged_before_another_promotion_must_beat_that_one_too(
    world: World, overtaken: tuple[str, Run]
) -> None:
    model, run = overtaken
    for _ in range(2):
        ended = deploy(world, model)["verify"].skip
        assert "version 3 of" in str(ended) and "judged again at seq 2, the gate says refuse" in str(ended)
        assert "is worse than version 2's" in str(ended)
    assert serving(world, model) == [("promote", 1), ("promote", 2)]
    first, again = gates(world, model, of=run)
    assert (first.verdict, first.ledger_seq, first.figures["against"]) == ("accept", 1, [1])
    assert (again.verdict, again.ledger_seq, again.figures["against"]) == ("refuse", 2, [2, 1])
    assert (first.version, again.version) == (None, 3)
    assert {request.state for request in Requests(world.store).of(model)} == {"done"}
    named = world.open(
        model, "rollback", THIRD, run_type="manual", conf={"action": "promote", "version": 3, "reason": "r"}
    )
    with pytest.raises(Exception, match="must be one that the gate accepted"):
        named.step("act")


def test_one_that_beats_the_new_champion_too_is_promoted_by_its_own_files_rules(world: World) -> None:
    model, run = overtake(world, STRONGER)
    declare(world, model, WEAK, gate={"min_rows": 100_000})  # of later trainings
    assert deploy(world, model)["settle"].event == {"version": 3, "seq": 3}
    assert [(each.verdict, each.ledger_seq) for each in gates(world, model, of=run)] == [("accept", 1), ("accept", 2)]
    assert Ledger(world.store).entries(model)[-1].evidence["judged_seq"] == 2


def test_a_verification_that_is_killed_at_any_point_judges_again_once(world: World, overtaken: tuple[str, Run]) -> None:
    model, run = overtaken
    verify = world.open(model, "deploy", THIRD)
    ended = verify.drill("verify", ["verdict:before", "verdict:after"])
    assert "judged again at seq 2" in str(ended.skip)
    assert [(each.verdict, each.ledger_seq) for each in gates(world, model, of=run)] == [("accept", 1), ("refuse", 2)]


def test_two_verifications_at_once_give_one_verdict(world: World, overtaken: tuple[str, Run]) -> None:
    model, run = overtaken
    forked = [world.open(model, "deploy", THIRD).fork("verify") for _ in range(2)]
    skips = {each.answered()["result"]["skip"] for each in forked}
    assert len(skips) == 1 and "judged again at seq 2" in str(skips)
    assert len(gates(world, model, of=run)) == 2


def test_an_evaluation_that_is_tried_again_after_a_promotion_judges_again(world: World) -> None:
    model = declare(world, None, WEAK)
    trained(world, model, WEAK)
    deploy(world, model)
    trained(world, model, STRONG)
    run = trained(world, model, MIDDLE, until="train")
    run.kill("evaluate", "verdict:after")
    deploy(world, model)
    results = run.steps("evaluate", "register")
    assert results["evaluate"].output["verdict"] == "refuse"
    assert "is worse than version 2's" in str(results["register"].skip)
    assert Requests(world.store).of(model)[-1].state == "refused"
    assert "was trained for" in str(world.open(model, "train", THIRD, run_type="manual").step("claim").skip)


def test_an_evaluation_that_hung_records_its_old_verdict_too_late_to_count(world: World) -> None:
    model = declare(world, None, WEAK)
    trained(world, model, WEAK)
    deploy(world, model)
    trained(world, model, STRONG)
    run = trained(world, model, MIDDLE, until="train")
    hung = run.stop("evaluate", "verdict:before")
    deploy(world, model)
    assert run.step("evaluate").output["verdict"] == "refuse"
    assert hung.go_on()["result"]["output"]["verdict"] == "refuse", "its own, against version 1 only, counts no more"
    assert [(each.verdict, each.ledger_seq) for each in gates(world, model, of=run)] == [("refuse", 2), ("accept", 1)]
    run.outputs["evaluate"] = {"verdict": "accept", "reasons": []}  # were it handed on all the same
    assert run.step("register").output["version"] == 3
    assert "judged again at seq 2, the gate says refuse" in str(deploy(world, model)["verify"].skip)
    assert serving(world, model) == [("promote", 1), ("promote", 2)]


def test_a_release_lets_no_stale_verdict_through(world: World) -> None:
    model, run = overtake(world, STRONGER)
    act(world, model, "roll_back")
    act(world, model, "release")
    assert deploy(world, model)["settle"].event == {"version": 3, "seq": 5}
    assert [each.ledger_seq for each in gates(world, model, of=run)] == [1], "version 1 is all there is to beat again"

    model = declare(world, None, WEAK)
    trained(world, model, WEAK)
    deploy(world, model)
    trained(world, model, STRONG)
    deploy(world, model)
    third = trained(world, model, STRONGER)
    act(world, model, "roll_back")
    act(world, model, "release")
    assert deploy(world, model)["settle"].event == {"version": 3, "seq": 5}
    judged = gates(world, model, of=third)
    assert [(each.ledger_seq, each.figures["against"]) for each in judged] == [(2, [2, 1]), (4, [1])]


def test_clearing_the_evaluation_of_what_serves_judges_nothing_again(world: World) -> None:
    model = declare(world, None, WEAK)
    first = trained(world, model, WEAK)
    deploy(world, model)
    trained(world, model, STRONG)
    deploy(world, model)
    assert first.step("evaluate").output["verdict"] == "accept"
    assert [each.ledger_seq for each in gates(world, model, of=first)] == [0]


def test_what_moves_between_verification_and_promotion_ends_it(world: World) -> None:
    model, run = overtake(world, STRONGER)
    started = world.open(model, "deploy", THIRD)
    assert started.step("verify").output["base_seq"] == 2
    act(world, model, "promote", version=1)
    assert "was to follow seq 2, but seq 3 stands" in str(started.step("roll_out").skip)
    assert serving(world, model)[-1] == ("promote", 1)
    assert [each.ledger_seq for each in gates(world, model, of=run)] == [1, 2]


def test_a_verdict_of_an_earlier_release_that_knows_no_number_is_made_again(world: World) -> None:
    model = declare(world, None, WEAK)
    run = trained(world, model, WEAK)
    with world.store.transaction() as connection:
        connection.execute(update(decisions).where(decisions.c.resource == model).values(ledger_seq=None))
    assert deploy(world, model)["settle"].event == {"version": 1, "seq": 1}
    assert [(each.verdict, each.ledger_seq) for each in gates(world, model, of=run)] == [
        ("accept", None),
        ("accept", 0),
    ]


def test_a_no_that_was_said_against_a_version_rolled_back_since_answers_no_new_request(world: World) -> None:
    model = declare(world, None, WEAK)
    trained(world, model, WEAK)
    deploy(world, model)
    trained(world, model, STRONGER)
    deploy(world, model)
    declare(world, model, STRONG)

    def asked(cause: str) -> dict[str, StepResult]:
        moment = datetime.fromisoformat(THIRD).replace(tzinfo=UTC)
        Requests(world.store).open(model, THIRD, moment, cause, "because", f"{model}:{cause}")
        return world.open(model, "train", THIRD).steps(*TRAIN)

    assert asked("drift")["evaluate"].output["verdict"] == "refuse"
    answered = asked("decay")["claim"].skip
    assert "on the same code and data" in str(answered) and "(refused: roc_auc" in str(answered), "it stands"
    act(world, model, "roll_back")
    act(world, model, "release")
    assert asked("calendar")["evaluate"].output["verdict"] == "accept"
    assert deploy(world, model)["settle"].event == {"version": 3, "seq": 5}
    assert [r.state for r in Requests(world.store).of(model)] == ["done", "done", "refused", "refused", "done"]


def test_a_candidate_that_is_held_keeps_none_that_was_asked_for_after_the_hold_from_serving(world: World) -> None:
    model = declare(world, None, WEAK)

    def give(size: tuple[int, int], key: str) -> None:
        declare(world, model, size)
        world.train(model, key)

    for size in (WEAK, MIDDLE):
        give(size, FIRST)
        world.open(model, "deploy", FIRST).steps(*DEPLOY)
    give(STRONG, THIRD)
    conf = {"action": "roll_back", "reason": "complaints"}
    world.open(model, "rollback", FIRST, run_type="manual", conf=conf, actor="eve").step("act")
    assert "Version 3 of" in str(deploy(world, model)["verify"].skip)
    give(STRONGER, SECOND)
    assert world.open(model, "deploy", SECOND).steps(*DEPLOY)["settle"].event == {"version": 4, "seq": 4}
    assert serving(world, model) == [("promote", 1), ("promote", 2), ("roll_back", 1), ("promote", 4)]
