"""Requests have an end, one as_of never takes another with it, and a person's key is the person's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from drill_world import FIRST, SECOND, THIRD, TRAIN, World

from evergreen.errors import UserError
from evergreen.store.decisions import Decisions
from evergreen.store.requests import Request, Requests
from evergreen.store.trainings import Trainings

FAR = "2026-01-05"
"""A key two years after the last row."""


def ask(world: World, model: str, key: str, cause: str = "drift") -> Request:
    moment = datetime.fromisoformat(key).replace(tzinfo=UTC)
    return Requests(world.store).open(model, key, moment, cause, "because", f"{model}:{key}:{cause}")


def states(world: World, model: str) -> dict[str, str]:
    return {f"{request.cause} {request.as_of}": request.state for request in Requests(world.store).of(model)}


def trained(world: World, model: str) -> list[str]:
    return [training.as_of for training in Trainings(world.store).of(model)]


def test_a_request_that_cannot_be_trained_is_answered_and_takes_no_other_with_it(world: World) -> None:
    model = world.model()
    ask(world, model, SECOND)
    run = world.open(model, "train", FAR, run_type="manual")
    results = run.steps(*TRAIN)
    assert list(results) == ["claim", "train"]
    assert "cannot be trained as of 2026-01-05" in str(results["train"].skip)
    assert states(world, model) == {f"drift {SECOND}": "open", f"manual {FAR}": "cannot_train"}
    (answered,) = [request for request in Requests(world.store).of(model) if request.as_of == FAR]
    for said in ("0 labelled rows in the validation part", "newest label known is of 2024-01-28 23:30 UTC"):
        assert said in answered.note
    (decision,) = Decisions(world.store).of(model, kind="training")
    assert (decision.verdict, decision.as_of) == ("cannot_train", FAR)
    assert decision.figures["rows"] == {"fit": 1344, "validation": 0, "test": 0}
    assert decision.figures["newest_label"] == "2024-01-28T23:30:00+00:00"
    world.open(model, "train", SECOND).steps(*TRAIN)
    assert trained(world, model) == [SECOND]
    assert states(world, model)[f"drift {SECOND}"] == "done"


def test_a_training_by_hand_is_as_of_its_own_key_whatever_else_is_open(world: World) -> None:
    model = world.model()
    ask(world, model, THIRD)
    run = world.train(model, SECOND)
    assert run.outputs["train"]["as_of"] == SECOND
    assert states(world, model) == {f"drift {THIRD}": "open", f"manual {SECOND}": "done"}
    assert world.open(model, "train", THIRD).steps(*TRAIN)["train"].output["as_of"] == THIRD


def test_a_training_that_fails_leaves_requests_of_other_keys_to_be_trained(world: World) -> None:
    model = world.model(trainer={"kind": "lightgbm", "params": {"num_leafs": 3}})
    broken = world.open(model, "train", THIRD, run_type="manual")
    broken.step("claim")
    ask(world, model, FIRST, cause="manual")
    ask(world, model, SECOND)
    with pytest.raises(UserError, match="num_leafs must be a parameter of LightGBM"):
        broken.step("train")
    assert set(states(world, model).values()) == {"open"}
    world.model(model)
    for key in ("2024-02-05", "2024-02-12"):  # whoever is woken without a request of its own looks for what is left
        world.open(model, "train", key).steps(*TRAIN)
    assert trained(world, model)[-2:] == [SECOND, FIRST], "what was tried before comes last"
    world.open(model, "train", "2024-02-19").steps(*TRAIN)
    assert set(states(world, model).values()) == {"done"}


def test_a_request_that_a_person_withdraws_is_trained_by_nobody(world: World) -> None:
    model = world.model()
    request = ask(world, model, SECOND)
    act: dict[str, Any] = {"action": "withdraw", "request": request.id, "reason": "a holiday, no drift"}
    run = world.open(model, "rollback", THIRD, run_type="manual", conf=act, actor="eve")
    for _ in range(2):
        assert run.step("act").event == {"action": "withdraw", "request": request.id}
    (withdrawn,) = Requests(world.store).of(model)
    assert (withdrawn.state, withdrawn.note) == ("withdrawn", "eve: a holiday, no drift")
    assert "no request" in str(world.open(model, "train", SECOND).step("claim").skip)


def test_a_request_that_is_not_there_or_was_answered_is_not_withdrawn(world: World) -> None:
    model, other = world.model(), world.model()
    stray = ask(world, other, FIRST)
    with pytest.raises(UserError, match=rf"{model}: request must be one of the model's, got {stray.id}. None is open"):
        Requests(world.store).withdraw(model, stray.id, actor="eve", reason="r")
    world.train(model, SECOND)
    (done,) = Requests(world.store).of(model)
    with pytest.raises(UserError, match=rf"nobody has answered, but it is {done.id}, .* before: done .version 1."):
        Requests(world.store).withdraw(model, done.id, actor="eve", reason="r")
    assert states(world, other) == {f"drift {FIRST}": "open"}


def test_who_asks_after_mending_the_files_gets_a_training_by_the_mended_ones(world: World) -> None:
    model = world.model()
    ask(world, model, SECOND)
    died = world.open(model, "train", SECOND)
    died.step("claim")
    world.model(model, trainer={"kind": "lightgbm", "rounds": 11, "threads": 1})
    mended = world.train(model, SECOND)
    assert states(world, model) == {f"drift {SECOND}": "claimed", f"manual {SECOND}": "done"}
    died.steps(*TRAIN[1:])  # cleared
    assert set(states(world, model).values()) == {"done"}
    first, second = Trainings(world.store).of(model)
    assert first.workspace == mended.input("train").workspace != second.workspace


def test_a_newer_training_makes_a_machines_older_wish_void_and_no_persons(world: World) -> None:
    model = world.model()
    ask(world, model, FIRST)
    ask(world, model, FIRST, cause="manual")
    world.train(model, SECOND)
    assert states(world, model) == {
        f"drift {FIRST}": "superseded", f"manual {FIRST}": "open", f"manual {SECOND}": "done"
    }  # fmt: skip
    world.open(model, "train", FIRST).steps(*TRAIN)
    assert trained(world, model) == [SECOND, FIRST]


@pytest.mark.parametrize("after", ["claim", "train", "evaluate"])
def test_a_request_that_is_withdrawn_under_way_ends_its_run(world: World, after: str) -> None:
    model = world.model()
    request = ask(world, model, SECOND)
    run = world.open(model, "train", SECOND)
    run.steps(*TRAIN[: TRAIN.index(after) + 1])
    Requests(world.store).withdraw(model, request.id, actor="eve", reason="wrong month")
    rest = run.steps(*TRAIN[TRAIN.index(after) + 1 :])
    assert [result.skip for result in rest.values()] == [
        f"the requests of {model} as of {SECOND} were withdrawn (eve: wrong month)"
    ]
    assert states(world, model) == {f"drift {SECOND}": "withdrawn"}
    assert [training.adopted_version for training in Trainings(world.store).of(model)] == [None] * (after != "claim")
    again = world.open(model, "train", SECOND, run_type="manual")  # another person may ask all the same
    assert again.steps(*TRAIN)["register"].output["version"] == 1


def test_what_cannot_be_trained_is_not_asked_again_until_something_changed(world: World) -> None:
    model = world.model()
    world.open(model, "train", FAR, run_type="manual").steps(*TRAIN)
    again = str(world.open(model, "train", FAR, run_type="manual").step("claim").skip)
    assert "could not be trained for 2026-01-05 on the same code and data before" in again
    assert "newest label known is of 2024-01-28 23:30 UTC" in again
    world.model(model, split={"test": "300 rows", "validation": "20%"})  # parts by rows lie where the rows are
    assert world.train(model, FAR).outputs["train"]["parts"] == {"fit": 775, "validation": 269, "test": 300}


def test_the_newest_label_is_named_though_it_lies_before_the_window(world: World) -> None:
    model = world.model(window="20d")
    skip = str(world.open(model, "train", FAR, run_type="manual").steps(*TRAIN)["train"].skip)
    assert "newest label known is of 2024-01-28 23:30 UTC; left out are 1344 older than window (20d)" in skip
    assert "Ask for a training as of a key soon after it" in skip


def test_a_wish_far_ahead_ends_no_cool_down(world: World) -> None:
    model = world.model()
    ask(world, model, FIRST)
    ask(world, model, FAR)
    by = datetime.fromisoformat(SECOND).replace(tzinfo=UTC)
    newest = Requests(world.store).newest(model, by=by)
    assert newest is not None and newest.as_of == FIRST


def test_a_model_whose_data_has_not_come_cannot_be_trained_yet(bare_world: World) -> None:
    dataset = bare_world.dataset()
    model = bare_world.model(label={"dataset": dataset}, features=[])
    results = bare_world.open(model, "train", SECOND, run_type="manual").steps(*TRAIN)
    assert f"nothing of {dataset} is published yet. Ingest it ({dataset}.ingest)" in str(results["train"].skip)
    assert states(bare_world, model) == {f"manual {SECOND}": "cannot_train"}


@pytest.mark.parametrize(
    ("split", "part"),
    [({"test": "4d", "validation": "404h"}, "fit"), ({"test": "4d", "validation": "4h"}, "validation")],
)
def test_too_few_rows_to_train_on_are_a_verdict_and_no_failure(world: World, split: dict[str, str], part: str) -> None:
    model = world.model(split=split, retraining={"min_history": "30d"})
    results = world.open(model, "train", SECOND, run_type="manual").steps(*TRAIN)
    assert f"labelled rows in the {part} part" in str(results["train"].skip)
    (request,) = Requests(world.store).of(model)
    assert request.state == "cannot_train" and request.note in str(results["train"].skip)
