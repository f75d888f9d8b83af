"""What a training learns from, as it tells it itself: nulls, parts, and the gap before the rows that judge it."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

import pytest
from drill_world import BUILD, DEPLOY, FIRST, KEYS, SECOND, THIRD, TRAIN, World

from evergreen.errors import DataError
from evergreen.steps.lineage import retrain
from evergreen.store.decisions import Decision, Decisions
from evergreen.store.requests import Requests
from evergreen.store.trainings import Training, Trainings
from evergreen.tracking.mlflow_client import Tracking

LATE_SQL = """
select moment, load as late_load from trips
where moment >= $start and moment < $end and moment >= timestamptz '{since}'
"""


def late_view(world: World, since: str) -> str:
    """A view of which nothing was built before an instant."""
    name = world.new_name("late_view")
    world.write(f"features/{name}.sql", LATE_SQL.format(since=since))
    output = {"late_load": {"type": "float"}}
    view = {"reads": ["trips"], "timestamp": "moment", "transform": f"{name}.sql", "outputs": output}
    world.write(f"features/{name}.yaml", {**view, "availability_delay": "1h"})
    for key in KEYS:
        world.open(name, "build", key).steps(*BUILD)
    return name


def gates(world: World, model: str) -> list[Decision]:
    return Decisions(world.store).of(model, kind="gate")


def training(world: World, model: str) -> Training:
    return Trainings(world.store).of(model)[-1]


def test_a_training_tells_which_share_of_each_feature_is_null(world: World, caplog: pytest.LogCaptureFixture) -> None:
    view = late_view(world, "2024-01-10 00:00:00Z")
    model = world.model(features=[view])
    with caplog.at_level(logging.INFO, "evergreen.steps.learning"):
        run = world.train(model, SECOND)
    share = run.outputs["train"]["nulls"]["late_load"]
    assert share == pytest.approx(9 / 17, abs=0.01), "nine of the seventeen days before the test part"
    assert run.outputs["train"]["nulls"].keys() == {"late_load"}
    assert f"late_load {share:.1%}" in caplog.text
    assert gates(world, model)[0].figures["nulls"]["late_load"] == pytest.approx(share, abs=1e-6)
    metrics = Tracking(world.settings.mlflow_uri)._client.get_run(run.outputs["train"]["run_id"]).data.metrics
    assert metrics["null_share.late_load"] == pytest.approx(share, abs=1e-6)
    assert (metrics["null_share.load"], metrics["rows_test"]) == (0.0, 192.0)


def test_a_feature_without_history_is_an_error_that_names_the_build(world: World) -> None:
    view = late_view(world, "2024-01-17 12:00:00Z")
    model = world.model(features=[view])
    run = world.open(model, "train", SECOND, run_type="manual")
    run.step("claim")
    with pytest.raises(DataError, match=rf"late_load is null in 97.\d% of them .max_null 0.95.. Run {view}.build for"):
        run.step("train")
    (request,) = Requests(world.store).of(model)
    assert request.state == "open", "only a person can mend it"
    assert Trainings(world.store).of(model) == []
    world.model(model, features=[view], max_null_of={"late_load": 1.0})
    assert world.train(model, SECOND).outputs["register"]["version"] == 1


def test_a_stricter_bound_of_the_spec_is_kept(world: World) -> None:
    model = world.model(features=[late_view(world, "2024-01-10 00:00:00Z")], max_null=0.2)
    run = world.open(model, "train", SECOND, run_type="manual")
    run.step("claim")
    with pytest.raises(DataError, match=r"late_load is null in 5\d.\d% of them .max_null 0.2."):
        run.step("train")


GAPS: dict[str, tuple[dict[str, Any], timedelta]] = {
    "the label's delay": ({"label": {"delay": "1d"}}, timedelta(days=1)),
    "declared": ({"label": {"delay": "1d"}, "split": {"test": "4d", "validation": "2d", "gap": "36h"},
                  "retraining": {"min_history": "8d"}},
                 timedelta(hours=36)),
    "in rows": ({"label": {"delay": "1d"}, "split": {"test": "200 rows", "validation": "10%"}}, timedelta(days=1)),
}  # fmt: skip


@pytest.mark.parametrize("kind", GAPS)
def test_every_judged_row_lies_the_gap_after_every_training(world: World, kind: str) -> None:
    changes, gap = GAPS[kind]
    model = world.model(**changes)
    ends = []
    for key in (FIRST, SECOND, THIRD):
        world.train(model, key, conf={"again": key})
        world.open(model, "deploy", key).steps(*DEPLOY)
        made = training(world, model)
        assert made.trained_through is not None
        ends.append(made.trained_through)
        judged_from = datetime.fromisoformat(gates(world, model)[-1].figures["judged_from"])
        assert all(judged_from - end >= gap for end in ends)
        assert judged_from - ends[-1] < gap + timedelta(hours=1), "and no more is wasted"
        through = datetime.fromisoformat(gates(world, model)[-1].figures["judged_through"])
        assert through <= made.as_of_time - timedelta(days=1)
    assert [gate.figures["gap"] for gate in gates(world, model)] == ["36h" if kind == "declared" else "1d"] * 3


def test_a_champion_that_was_trained_close_to_the_rows_takes_them_from_the_judged(world: World) -> None:
    close = {"test": "12h", "validation": "2d"}
    model = world.model(split=close, gate={"min_rows": 20, "tolerance": 0.2})
    world.champion(model, SECOND)
    world.model(model, label={"delay": "2d"}, gate={"min_rows": 20, "tolerance": 0.2},
                split={"test": "4d", "validation": "2d"})  # fmt: skip
    world.train(model, THIRD)
    second = gates(world, model)[-1].figures
    assert second["too_close"] == 23, "less than two days after the champion's training ended, on the 21st at 11:30"
    assert second["judged_from"] == "2024-01-23T11:30:00+00:00"


def test_parts_by_rows_and_a_gap_are_fitted_again_the_same(world: World) -> None:
    model = world.model(label={"delay": "1d"}, split={"test": "200 rows", "validation": "10%"})
    version = world.train(model, SECOND).outputs["register"]["version"]
    assert retrain(world.settings, model, version).is_same


def test_a_training_that_the_gap_leaves_nothing_is_a_verdict(world: World) -> None:
    model = world.model(split={"test": "4d", "validation": "2d", "gap": "15d"}, retraining={"min_history": "30d"})
    results = world.open(model, "train", SECOND, run_type="manual").steps(*TRAIN)
    assert "0 labelled rows in the fit part" in str(results["train"].skip)
    assert "719 in the gap (15d) before the test part" in str(results["train"].skip)
