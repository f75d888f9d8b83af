"""A thousand models: what a gateway asks of the store, and what it holds, by counts and not by seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

import made_fleet
from evergreen.serving.follow import READ_AT_ONCE, Follower
from evergreen.serving.routes import Routes
from evergreen.store.gateways import Gateways
from evergreen.store.store import Store
from evergreen.store.trainings import Trainings

MODELS = 1000


@pytest.fixture
def fleet(life) -> list[str]:
    """A thousand models, each with two versions, in two statements; they share the bundles of one."""
    life.train(1)
    life.train(2)
    names = [f"{life.model}_{number:04d}" for number in range(MODELS)]
    adopted = [Trainings(life.store).by_version(life.model, version) for version in (1, 2)]
    made_fleet.add(life.store, names, adopted)
    return names


class Counted:
    """A store that keeps two connections, as a gateway's does, and counts what it opens and says."""

    def __init__(self, url: str) -> None:
        self.store = Store(url, connections=2)
        self.connections, self.statements = 0, 0
        event.listen(self.store._engine, "connect", self._connected)
        event.listen(self.store._engine, "before_cursor_execute", self._executed)

    def _connected(self, *_: Any) -> None:
        self.connections += 1

    def _executed(self, *_: Any) -> None:
        self.statements += 1

    @contextmanager
    def at_most(self, statements: int) -> Iterator[None]:
        before = self.statements
        yield
        assert self.statements - before <= statements, f"{self.statements - before} statements"


def test_a_fleet_is_followed_with_few_statements_over_few_connections(life, fleet, postgres_url, tmp_path):
    counted = Counted(postgres_url)
    follower = Follower(counted.store, life.lake, Routes(tmp_path / "gateway"), instance="i", url="http://x")
    rounds = 1
    with counted.at_most(5 * (MODELS // READ_AT_ONCE + 1)):  # heads, ledgers, trainings, beat, report: each for all
        while follower.follow():
            rounds += 1
    assert rounds == MODELS // READ_AT_ONCE + (life.model in follower._servers)
    assert follower.faults == {}
    assert all(Gateways(life.store).live(name, 600)[0].applied_seq == 2 for name in (*fleet[:3], *fleet[-3:]))
    with counted.at_most(1):
        assert not follower.follow(), "nothing has changed: one look"
    with counted.at_most(1):
        Gateways(counted.store).beat("i", "http://x")
    life.model = fleet[500]
    seq = life.serve(1, "roll_back")
    with counted.at_most(6):  # pulse, heads, ledger, trainings, beat, report
        assert not follower.follow()
    assert Gateways(life.store).live(life.model, 600)[0].applied_seq == seq == 3
    assert counted.connections == 1
    counted.store.close()


def test_a_round_at_rest_looks_at_no_model_and_the_next_one_sees_the_single_change(life, fleet, tmp_path, monkeypatch):
    routes = Routes(tmp_path / "gateway")
    follower = Follower(life.store, life.lake, routes, instance="i", url="http://x")
    while follower.follow():
        pass

    def looked(*_: Any) -> Any:
        raise AssertionError("a model was looked at")

    with monkeypatch.context() as resting:
        for name in ("target", "targets"):
            resting.setattr(routes, name, looked)
        before = follower.last_seen
        assert not follower.follow()
        assert follower.last_seen > before, "the store was seen all the same"
    life.model = fleet[700]
    life.serve(1, "roll_back")
    assert not follower.follow()
    assert routes.target(fleet[700]).route.version == 1
    assert Gateways(life.store).live(fleet[700], 600)[0].applied_seq == 3
    assert {routes.target(name).route.seq for name in fleet if name != fleet[700]} == {2}


def test_a_restart_takes_up_a_fleet_and_acknowledges_all_of_it_at_once(life, fleet, postgres_url, tmp_path):
    first = Follower(life.store, life.lake, Routes(tmp_path / "gateway"), instance="i", url="http://x")
    while first.follow():
        pass
    counted = Counted(postgres_url)
    routes = Routes(tmp_path / "gateway", room=1)
    routes.restore()
    again = Follower(counted.store, life.lake, routes, instance="j", url="http://x")
    with counted.at_most(4):  # heads, beat, a look for forgotten gateways, report
        assert not again.follow()
    assert len(routes.shelf) == 1
    live = {each.instance: each.applied_seq for name in fleet[::99] for each in Gateways(life.store).live(name, 600)}
    assert live == {"i": 2, "j": 2}
    counted.store.close()
