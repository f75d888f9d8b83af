"""A training or a deployment that was killed at any point and retried gives one version, once, and one champion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from drill_world import DEPLOY, SECOND, THIRD, TRAIN, Run, World, rounds, state

from evergreen.store.decisions import Decisions
from evergreen.store.requests import Requests

POINTS = {
    "claim": ["request.insert:before", "request.insert:after", "claim:before", "claim:after", "claim.event:before"],
    "train": ["pin:before", "pin:after", "mlflow.log:before", "mlflow.log:within", "mlflow.log:after",
              "train.manifest:before", "train.manifest:after"],
    "evaluate": ["verdict:before", "verdict:after", "evaluate.manifest:before", "evaluate.manifest:after"],
    "register": ["register:before", "register:after", "adopt:before", "adopt:after", "register.manifest:before",
                 "register.manifest:after"],
    "verify": ["verify.event:before"],
    "roll_out": ["ledger.insert:before", "ledger.commit:before", "ledger.insert:after", "roll_out.event:before"],
    "settle": ["settle.event:before"],
}  # fmt: skip


def lived(world: World, kills: Mapping[str, Sequence[str]]) -> tuple[str, dict[str, Any]]:
    """A model that was trained and deployed, its steps killed at the named points; and every step's result."""
    model = world.model()
    results = {}
    for stage, steps, how in (("train", TRAIN, {"run_type": "manual"}), ("deploy", DEPLOY, {})):
        run = Run(world, model, stage, SECOND, **how)
        results |= {step: run.drill(step, kills.get(step, [])) for step in steps}
    return model, results


@pytest.fixture(scope="module")
def twin(world: World) -> dict[str, Any]:
    model, results = lived(world, {})
    assert results["settle"].event == {"version": 1, "seq": 1}
    return state(world, model)


def test_the_twin_that_nobody_killed_has_one_of_each(twin: dict[str, Any]) -> None:
    assert twin["requests"] == ["done"]
    assert twin["gate"] == ["accept"]
    assert (twin["adopted"], twin["versions"], twin["ledger"]) == (1, [1], [(1, 1, "promote")])
    assert twin["pins"] == {"datasets/trips", "features/recent", f"trainingsets/{twin['training set']}.parquet"}
    assert twin["aliases"] == {"champion": 1}


@pytest.mark.parametrize("kills", rounds(POINTS))
def test_a_killed_life_that_is_retried_has_one_of_each(
    world: World, twin: dict[str, Any], kills: dict[str, list[str]]
) -> None:
    model, results = lived(world, kills)
    assert state(world, model) == twin
    assert results["settle"].event == {"version": 1, "seq": 1}
    assert results["register"].event == {"version": 1, "training_id": results["train"].output["training_id"]}


def test_a_killed_monitoring_that_is_retried_asks_once(world: World) -> None:
    model = world.model()
    world.champion(model, SECOND)
    run = world.open(model, "monitor", THIRD)
    kills = {
        "monitor": ["replace.commit:before", "replace.commit:after", "staging:before", "staging:after",
                    "monitor.manifest:before", "monitor.manifest:after"],
        "report": ["report.manifest:before", "report.manifest:after"],
        "decide": ["request.insert:before", "request.insert:after", "decide.manifest:before", "decide.manifest:after"],
        "ring": ["ring.event:before"],
    }  # fmt: skip
    results = {step: run.drill(step, points) for step, points in kills.items()}
    (asked,) = [request for request in Requests(world.store).of(model) if request.state == "open"]
    assert results["ring"].event == {"requests": [asked.id], "open": 1}
    assert asked.cause.split(",")[-1] == "calendar"
    assert world.lake.table(f"scores/{model}").read().num_rows == 336
    kinds = [decision.kind for decision in Decisions(world.store).of(model)]
    assert (kinds.count("drift"), kinds.count("retraining")) == (1, 1)
