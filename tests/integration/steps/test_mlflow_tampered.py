"""What a person deletes, moves or breaks in MLflow stops nothing, and is put right from the store."""

from __future__ import annotations

import copy
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from drill_world import DEPLOY, FIRST, SECOND, THIRD, TRAIN, World
from mlflow import MlflowClient

from evergreen.steps.contract import StepResult
from evergreen.steps.lineage import lineage
from evergreen.store.ledger import Ledger
from evergreen.store.requests import Requests
from evergreen.store.trainings import Training, Trainings


@pytest.fixture
def client(world: World) -> MlflowClient:
    return MlflowClient(world.settings.mlflow_uri, world.settings.mlflow_uri)


@pytest.fixture
def without_mlflow(world: World) -> Iterator[World]:
    """The same world, whose MLflow does not answer: a socket holds the port and is never listened on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        cut_off = copy.copy(world)
        cut_off.settings = replace(world.settings, mlflow_uri=f"http://127.0.0.1:{held.getsockname()[1]}")
        yield cut_off


def act(world: World, model: str, action: str, **more: Any) -> StepResult:
    conf = {"action": action, "reason": "complaints", **more}
    return world.open(model, "rollback", THIRD, run_type="manual", conf=conf, actor="eve").step("act")


def serving(world: World, model: str) -> list[tuple[str, int | None]]:
    return [(entry.action, entry.version) for entry in Ledger(world.store).entries(model)]


def training(world: World, model: str, version: int) -> Training:
    found = Trainings(world.store).by_version(model, version)
    assert found is not None
    return found


def stands_for(world: World, client: MlflowClient, model: str) -> dict[str, int | None]:
    """Alias -> the store's version that MLflow's version of that alias is of, by its tag and its run."""
    told = {}
    for alias, number in client.get_registered_model(model).aliases.items():
        version = client.get_model_version(model, str(number))
        of = Trainings(world.store).get(version.tags["evergreen.training_id"])
        assert of is not None and of.run_id == version.run_id
        assert (of.mlflow_version, version.tags["evergreen.version"]) == (int(number), str(of.adopted_version))
        told[alias] = of.adopted_version
    return told


def test_a_registered_model_that_was_deleted_in_mlflow_costs_no_training_and_no_request(
    world: World, client: MlflowClient
) -> None:
    model = world.model()
    world.champion(model, FIRST)
    world.champion(model, SECOND)
    client.delete_registered_model(model)  # MLflow counts from 1 again
    run = world.train(model, THIRD)
    assert run.outputs["register"]["version"] == 3
    assert [request.state for request in Requests(world.store).of(model)] == ["done"] * 3
    assert training(world, model, 3).mlflow_version == 1
    assert stands_for(world, client, model) == {"champion": 2, "previous": 1, "challenger": 3}
    world.open(model, "deploy", THIRD).steps(*DEPLOY)
    assert serving(world, model) == [("promote", 1), ("promote", 2), ("promote", 3)]
    assert stands_for(world, client, model) == {"champion": 3, "previous": 2}
    act(world, model, "roll_back", version=1)
    assert serving(world, model)[-1] == ("roll_back", 1)
    assert stands_for(world, client, model) == {"champion": 1, "previous": 2}
    assert lineage(world.settings, model, 3).mlflow_version == 1


def test_what_people_register_delete_and_move_in_mlflow_moves_no_number_of_ours(
    world: World, client: MlflowClient
) -> None:
    model = world.model()
    world.champion(model, FIRST)
    first = training(world, model, 1)
    theirs = client.create_run(client.create_experiment(f"of the team: {model}"))
    forged = client.create_model_version(
        model, theirs.info.artifact_uri, run_id=theirs.info.run_id, tags={"evergreen.training_id": first.training_id}
    )
    client.delete_model_version(model, str(first.mlflow_version))  # with the alias that pointed to it
    client.set_registered_model_alias(model, "champion", forged.version)
    assert world.champion(model, SECOND) == 2
    assert training(world, model, 2).mlflow_version == 3
    assert stands_for(world, client, model) == {"champion": 2, "previous": 1}
    assert training(world, model, 1).mlflow_version == 4, "made again from its run, not taken from the forged one"


def test_a_run_that_was_deleted_in_mlflow_takes_the_alias_and_nothing_else(
    world: World, client: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    model = world.model()
    world.champion(model, FIRST)
    world.champion(model, SECOND)
    first = training(world, model, 1)
    client.delete_registered_model(model)
    client.delete_run(first.run_id)
    act(world, model, "roll_back")
    assert serving(world, model)[-1] == ("roll_back", 1)
    assert client.search_registered_models(f"name = '{model}'") == []
    assert f"{model} version 1 has no copy in MLflow, and none can be made" in caplog.text
    assert "must not be deleted. Restore it there." in caplog.text
    told = lineage(world.settings, model, 1)
    assert (told.mlflow_version, told.params["min_data_in_leaf"]) == (None, "10")
    client.restore_run(first.run_id)
    act(world, model, "release")
    assert stands_for(world, client, model) == {"champion": 1}


def test_mlflow_that_does_not_answer_stops_no_registration_promotion_or_rollback(
    world: World, without_mlflow: World, client: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    model = world.model()
    world.champion(model, FIRST)
    run = world.open(model, "train", SECOND, run_type="manual")
    run.steps(*TRAIN[:-1])
    run.world = without_mlflow
    registered = run.step("register")
    assert registered.output == {"version": 2, "training_id": run.outputs["train"]["training_id"]}
    assert [request.state for request in Requests(world.store).of(model)] == ["done", "done"]
    assert f"{model} version 2 has no copy in MLflow yet" in caplog.text
    deployed = without_mlflow.open(model, "deploy", SECOND).steps(*DEPLOY)
    assert deployed["settle"].event == {"version": 2, "seq": 2}
    assert act(without_mlflow, model, "roll_back").event == {"action": "roll_back", "version": 1, "seq": 3}
    assert "Could not copy to MLflow's aliases who serves" in caplog.text
    assert client.get_registered_model(model).aliases == {"champion": "1"}, "as MLflow was left"
    assert training(world, model, 2).mlflow_version is None
    act(world, model, "promote", version=2)
    assert stands_for(world, client, model) == {"champion": 2, "previous": 1}
