"""A deployment ends when every live gateway serves it: also a model's first version, and one that cannot be loaded."""

from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from drill_world import FIRST, SECOND, World
from sqlalchemy import delete

from evergreen.errors import TransientError
from evergreen.serving.follow import Follower
from evergreen.serving.labels import LabelType
from evergreen.serving.routes import Routes
from evergreen.steps.contract import StepResult
from evergreen.store.schema import gateways


@pytest.fixture
def follower(world: World, tmp_path: Path) -> Iterator[Follower]:
    """A gateway that lives; it follows when it is told to."""
    with world.store.transaction() as connection:
        connection.execute(delete(gateways))
    follower = Follower(world.store, world.lake, Routes(tmp_path / "gateway"), instance="eins", url="http://eins")
    follower._heartbeat.start()
    yield follower
    follower._heartbeat.ask_to_stop()
    follower._heartbeat.join()
    with world.store.transaction() as connection:
        connection.execute(delete(gateways))


@pytest.fixture
def hurried(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deployments wait for two seconds."""
    monkeypatch.setattr(world, "settings", dataclasses.replace(world.settings, gateway_ack_seconds=2.0))


def test_the_first_version_of_a_model_is_awaited_from_gateways_that_know_nothing_of_it(
    world: World, follower: Follower
) -> None:
    model = world.model()
    world.train(model, FIRST)
    deploy = world.open(model, "deploy", FIRST)
    deploy.step("verify")
    ended: list[StepResult] = []
    rolling = threading.Thread(target=lambda: ended.append(deploy.step("roll_out")))
    rolling.start()
    deadline = time.monotonic() + 60
    while model not in follower._servers:
        assert time.monotonic() < deadline
        assert ended == [], "it did not wait"
        follower.follow()
        time.sleep(0.02)
    rolling.join(60)
    assert ended[0].output["gateways"] == 1
    target = follower._routes.target(model)
    assert target is not None and target.is_applied and target.route.seq == ended[0].output["seq"] == 1
    assert target.champion is not None and target.champion.label == LabelType("binary", "bool")


@pytest.mark.usefixtures("hurried")
def test_a_deployment_says_which_gateway_has_not_loaded_anything_yet(world: World, follower: Follower) -> None:
    model = world.model()
    world.train(model, FIRST)
    deploy = world.open(model, "deploy", FIRST)
    deploy.step("verify")
    says = r"version 1 is promoted \(seq 1\).* eins \(http://eins\) has not loaded any version of it yet\."
    with pytest.raises(TransientError, match=says):
        deploy.step("roll_out")
    follower.follow()
    assert deploy.step("roll_out").output["gateways"] == 1, "the retry finds it done"


@pytest.mark.usefixtures("hurried")
def test_a_deployment_says_why_a_gateway_cannot_serve_it(
    world: World, follower: Follower, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = world.model()
    world.train(model, FIRST)
    world.open(model, "deploy", FIRST)
    first = world.open(model, "deploy", FIRST)
    first.step("verify")
    with pytest.raises(TransientError):
        first.step("roll_out")
    follower.follow()
    first.steps("roll_out", "settle")
    world.train(model, SECOND)
    second = world.open(model, "deploy", SECOND)
    second.step("verify")
    with pytest.raises(TransientError, match=r"eins .* still serves by seq 1"):
        second.step("roll_out")
    kept = tmp_path / "kept"
    shutil.move(world.settings.lake, kept)
    try:
        follower.follow()
    finally:
        shutil.move(kept, world.settings.lake)
    with pytest.raises(
        TransientError, match=r"eins \(http://eins\) cannot serve it: seq 2: version 2 cannot be loaded: "
    ):
        second.step("roll_out")
    assert any("Gateway eins cannot serve" in record.message for record in caplog.records)
    follower._failed = {model: (2, 0.0)}  # the pause before it tries again is over
    follower.follow()
    assert second.steps("roll_out", "settle")["settle"].output["version"] == 2
