"""From a model version one command gives back what it was made from, and training again gives the same predictions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from drill_world import SECOND, World

from evergreen.errors import DataError, UserError
from evergreen.steps.lineage import lineage, retrain
from evergreen.store.trainings import Trainings

TRAINERS: dict[str, dict[str, Any]] = {
    "lightgbm": {
        "trainer": {"kind": "lightgbm", "rounds": 10, "threads": 2, "seed": 11,
                    "params": {"bagging_fraction": 0.5, "bagging_freq": 1, "feature_fraction": 0.5}},
    },
    "sklearn": {
        "trainer": {"kind": "sklearn", "estimator": "sklearn.ensemble.RandomForestClassifier", "seed": 11,
                    "params": {"n_estimators": 10}},
    },
}  # fmt: skip


@pytest.mark.parametrize("library", TRAINERS)
def test_training_again_from_what_was_kept_gives_the_same_predictions(world: World, library: str) -> None:
    model = world.model(**TRAINERS[library])
    version = world.train(model, SECOND).outputs["register"]["version"]
    world.model(model, trainer={"kind": "lightgbm", "rounds": 3})  # the file goes on; the version does not
    again = retrain(world.settings, model, version)
    assert (again.rows, again.largest_difference, again.is_same) == (1008, 0.0, True)
    assert again.environment_changed == {}
    assert len(Trainings(world.store).of(model)) == 1


def test_a_version_that_was_changed_is_told_apart(world: World) -> None:
    model = world.model()
    run = world.train(model, SECOND)
    version = run.outputs["register"]["version"]
    stored = Path(world.settings.lake, "trainingsets", f"{run.outputs['train']['training_set']}.parquet")
    content = stored.read_bytes()
    stored.write_bytes(content[:100] + b"x" + content[101:])
    try:
        with pytest.raises(DataError, match="must have the content that its name promises"):
            retrain(world.settings, model, version)
    finally:
        stored.write_bytes(content)  # other models have the same rows


def test_one_command_tells_all_of_a_version(world: World) -> None:
    model = world.model(owner="ada@example.com")
    version = world.champion(model, SECOND, conf={"reason": "because"}, actor="eve")
    command = [sys.executable, "-c", "from evergreen.cli import main; main()", "show", model, str(version), "--retrain"]
    told = subprocess.run(command, env={**os.environ, **world.environment}, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stderr
    document = json.loads(told.stdout)
    assert document["tables"].keys() == {"datasets/trips", "features/recent"}
    assert document["files"] == [
        "datasets/trips.yaml", "features/recent.sql", "features/recent.yaml", f"models/{model}.yaml"
    ]  # fmt: skip
    assert document["spec"]["owner"] == "ada@example.com"
    assert (document["params"]["min_data_in_leaf"], document["seed"], document["threads"]) == ("10", 7, 1)
    assert any(package.startswith("lightgbm==") for package in document["environment"]["packages"])
    assert document["causes"] == [{"cause": "manual", "reason": "eve: because", "as_of": SECOND}]
    assert document["gate"]["verdict"] == "accept"
    assert [(act["action"], act["actor"]) for act in document["acts"]] == [("promote", "evergreen")]
    assert document["retrained"]["same_predictions"] is True
    assert document["rows"] == {"fit": 720, "validation": 96, "test": 192}
    assert document["nulls"].keys() == {"load", "wind", "recent_load"} and document["nulls"]["load"] == 0.0
    assert document["training_set"] == lineage(world.settings, model, version).training_set


def test_a_version_that_does_not_exist_is_named(world: World) -> None:
    model = world.model()
    world.train(model, SECOND)
    with pytest.raises(UserError, match=f"{model}: version must be an adopted one, got 9. There are 1."):
        lineage(world.settings, model, 9)
