"""Evidence belongs to a version, ends with it, and is spent by the request that was made of it."""

from __future__ import annotations

from typing import Any

import pytest
from drill_world import DEPLOY, MONITOR, TRAIN, World, csv_of, rows_of

from evergreen.steps.contract import StepResult
from evergreen.store.decisions import Decisions
from evergreen.store.ledger import Ledger
from evergreen.store.requests import Requests
from evergreen.store.trainings import Trainings

pytestmark = pytest.mark.timeout(600)

WEEKS = ["2024-01-08", "2024-01-15", "2024-01-22", "2024-01-29", "2024-02-05", "2024-02-12", "2024-02-19"]
QUIET = {"min_history": "14d", "decay": None, "code": False, "cool_down": "1d"}
"""Only drift asks."""
STRICT = {"min_rows": 50, "floors": {"roc_auc": {"min": 0.98}}}
"""What no candidate reaches."""


def shifted(row: list[str]) -> list[str]:
    """The same row in another unit: its load stands where none stood before, and means the same."""
    return [row[0], f"{float(row[1]) / 10 + 3:.6f}", *row[2:]]


@pytest.fixture(scope="module")
def moved(bare_world: World) -> str:
    """Three quiet weeks, then four with another distribution of one of two features."""
    name = bare_world.dataset(availability_delay="0d")
    for number, key in enumerate(WEEKS):
        rows = rows_of(key)
        bare_world.lay(name, key, csv_of(rows if number < 3 else map(shifted, rows)))
        bare_world.ingest(name, key)
    return name


@pytest.fixture
def model(bare_world: World, moved: str) -> str:
    """Serves its first version since the third week."""
    model = bare_world.model(features=[], label={"dataset": moved}, retraining=QUIET)
    assert bare_world.champion(model, WEEKS[2]) == 1
    return model


def watch(world: World, model: str, key: str) -> dict[str, StepResult]:
    return world.open(model, "monitor", key).steps(*MONITOR)


def verdict(results: dict[str, StepResult]) -> Any:
    return results["decide"].output["verdict"]


def renew(world: World, model: str, key: str) -> dict[str, StepResult]:
    """A training that the machine asked for, and the deployment of what it gave."""
    trained = world.open(model, "train", key).steps(*TRAIN)
    if trained["register"].skip is None:
        world.open(model, "deploy", key).steps(*DEPLOY)
    return trained


def test_what_an_earlier_champion_drifted_asks_nothing_of_its_successor(bare_world: World, model: str) -> None:
    assert verdict(watch(bare_world, model, WEEKS[3])) == "not_needed"
    assert verdict(watch(bare_world, model, WEEKS[4])) == "retrain"
    (asked,) = Requests(bare_world.store).of(model)[1:]  # the first was a person's
    assert (asked.cause, asked.evidence["version"]) == ("drift", 1)
    assert asked.evidence["found"] == {"drift": [WEEKS[3], WEEKS[4]]}
    renew(bare_world, model, WEEKS[4])
    assert Ledger(bare_world.store).champion(model).version == 2
    sixth = watch(bare_world, model, WEEKS[5])
    assert verdict(sixth) == "not_needed"
    assert len(Trainings(bare_world.store).of(model)) == 2, "the first, and one of the one observation"
    drifts = [(d.version, d.verdict) for d in Decisions(bare_world.store).of(model, kind="drift")]
    assert [version for version, _ in drifts] == [1, 1, 2]


def test_a_refused_training_brings_no_loop_of_asking_but_new_evidence_may(
    bare_world: World, moved: str, model: str
) -> None:
    watch(bare_world, model, WEEKS[3])
    bare_world.model(model, features=[], label={"dataset": moved}, retraining=QUIET, gate=STRICT)
    assert verdict(watch(bare_world, model, WEEKS[4])) == "retrain"
    assert "refuse" in str(renew(bare_world, model, WEEKS[4])["register"].skip)
    again = watch(bare_world, model, WEEKS[5])
    assert verdict(again) == "not_needed"
    assert any("2 more led to a request before" in reason for reason in again["decide"].output["reasons"])
    assert verdict(watch(bare_world, model, WEEKS[5])) == "not_needed", "woken again for the same key"
    assert verdict(watch(bare_world, model, WEEKS[6])) == "retrain", "two windows that nobody acted on"
    assert [request.evidence["found"]["drift"] for request in Requests(bare_world.store).of(model)[1:]] == [
        [WEEKS[3], WEEKS[4]], [WEEKS[5], WEEKS[6]],
    ]  # fmt: skip


def test_a_rollback_does_not_bring_the_evidence_back(bare_world: World, model: str) -> None:
    watch(bare_world, model, WEEKS[3])
    watch(bare_world, model, WEEKS[4])
    renew(bare_world, model, WEEKS[4])
    conf = {"action": "roll_back", "reason": "complaints"}
    bare_world.open(model, "rollback", WEEKS[4], run_type="manual", conf=conf, actor="eve").step("act")
    assert Ledger(bare_world.store).champion(model).version == 1
    sixth = watch(bare_world, model, WEEKS[5])
    assert verdict(sixth) == "not_needed"
    assert "1 of the last 1 judged windows drifted, 2 of 3 ask for it" in sixth["decide"].output["reasons"][0]


def test_a_decision_that_was_killed_after_its_request_stands(bare_world: World, model: str) -> None:
    watch(bare_world, model, WEEKS[3])
    run = bare_world.open(model, "monitor", WEEKS[4])
    run.steps("monitor", "report")
    decided = run.drill("decide", ["request.insert:before", "request.insert:after", "decide.manifest:before"])
    (asked,) = Requests(bare_world.store).of(model)[1:]
    assert decided.output == {"verdict": "retrain", "request": asked.id, "reasons": [asked.reason]}
    assert run.step("ring").event == {"requests": [asked.id], "open": 1}


def test_changed_code_that_was_refused_asks_no_more(bare_world: World, moved: str) -> None:
    model = bare_world.model(features=[], label={"dataset": moved}, retraining={**QUIET, "drift": False, "code": True})
    bare_world.champion(model, WEEKS[2])
    bare_world.model(
        model, features=[], label={"dataset": moved}, retraining={**QUIET, "drift": False, "code": True},
        gate=STRICT,
    )  # fmt: skip
    assert verdict(watch(bare_world, model, WEEKS[3])) == "retrain"
    renew(bare_world, model, WEEKS[3])
    later = watch(bare_world, model, WEEKS[4])
    assert verdict(later) == "not_needed"
    assert any("was made of it" in reason for reason in later["decide"].output["reasons"])


def test_a_first_champion_that_cannot_be_is_asked_for_again_only_when_something_is_new(bare_world: World) -> None:
    name = bare_world.dataset(availability_delay="0d")
    for number, key in enumerate(WEEKS[:4]):
        bare_world.lay(name, key, csv_of(rows_of(key) if number != 2 else []))
        bare_world.ingest(name, key)
    model = bare_world.model(
        features=[], label={"dataset": name}, gate=STRICT,
        retraining=QUIET | {"min_history": "7d"},
    )  # fmt: skip
    verdicts = []
    for key in WEEKS[1:4]:
        verdicts.append(verdict(watch(bare_world, model, key)))
        bare_world.open(model, "train", key).steps(*TRAIN)
    assert verdicts == ["retrain", "nothing_new", "retrain"]
    assert len(Trainings(bare_world.store).of(model)) == 2


def test_a_figure_of_another_metric_is_no_evidence_after_the_file_was_edited(bare_world: World) -> None:
    name = bare_world.dataset(availability_delay="0d", late_window="0d", source={"when_missing": "skip"})
    for number, key in enumerate(WEEKS[:6]):
        if number < 4:
            bare_world.lay(name, key, csv_of(rows_of(key)))
        ingest = bare_world.open(name, "ingest", key)
        ingest.steps("read", "validate")
        ingest.step("publish")
    plain = {"features": [], "label": {"dataset": name}, "retraining": {**QUIET, "decay": 0.2, "drift": False}}
    model = bare_world.model(**plain)
    assert bare_world.champion(model, WEEKS[2]) == 1
    for key in WEEKS[3:5]:
        assert verdict(watch(bare_world, model, key)) == "not_needed"
    bare_world.model(model, **plain, monitoring={"min_labels": 20, "metric": "log_loss"})
    watched = watch(bare_world, model, WEEKS[5])
    assert verdict(watched) == "not_needed", watched["decide"].output["reasons"]
