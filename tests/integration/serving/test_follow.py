"""The follower on a real store, without a server."""

import shutil
import threading
import time
from datetime import UTC, datetime

import pytest

from evergreen import faults
from evergreen.errors import TransientError
from evergreen.serving import follow
from evergreen.serving.follow import Follower
from evergreen.serving.routes import Routes
from evergreen.store.gateways import Gateways
from evergreen.store.ledger import Ledger
from evergreen.store.store import Store
from evergreen.store.trainings import Trainings


def test_a_model_that_cannot_be_served_keeps_no_other_from_it_and_is_not_acknowledged(life, tmp_path):
    good, life.model = life.model, f"a{life.model}"  # by name the broken one comes first
    life.train(1, bundle="0" * 64)
    life.serve(1)
    broken, life.model = life.model, good
    life.train(1)
    life.train(2)
    life.serve(1)
    life.serve(2)
    routes = Routes(tmp_path / "gateway")
    follower = Follower(life.store, life.lake, routes, instance=f"i-{good}", url="http://x")
    follower.follow()
    assert routes.target(good).answers == 2
    assert routes.target(good).route.fallback_version == 1
    assert "version 1 cannot be loaded" in follower.faults[broken]
    assert [each.applied_seq for each in Gateways(life.store).live(good, 60)] == [2]
    [unserved] = Gateways(life.store).live(broken, 60)
    assert (unserved.applied_seq, unserved.fault_seq) == (0, 1)
    assert unserved.fault.startswith("seq 1: version 1 cannot be loaded")


def test_a_promotion_that_cannot_be_loaded_is_not_acknowledged_and_the_old_champion_serves(life, tmp_path):
    life.train(1)
    life.train(2, bundle="0" * 64)
    life.serve(1)
    routes = Routes(tmp_path / "gateway")
    follower = Follower(life.store, life.lake, routes, instance=f"i-{life.model}", url="http://x")
    follower.follow()
    life.serve(2)
    follower.follow()
    assert routes.target(life.model).answers == 1
    assert [(each.applied_seq, each.fault_seq) for each in Gateways(life.store).live(life.model, 60)] == [(1, 2)]
    assert follower.faults[life.model].startswith("seq 2: version 2 cannot be loaded")
    life.serve(1, "roll_back")
    follower.follow()
    [mended] = Gateways(life.store).live(life.model, 60)
    assert (mended.applied_seq, mended.fault_seq, mended.fault) == (3, 0, "")
    assert life.model not in follower.faults


def test_the_fallback_is_the_last_good_version_and_never_one_that_was_rolled_back(life, tmp_path):
    for version in (1, 2, 3):
        life.train(version)
    for version, action in ((1, "promote"), (2, "promote"), (1, "roll_back"), (3, "promote")):
        life.serve(version, action)
    routes = Routes(tmp_path / "gateway")
    Follower(life.store, life.lake, routes, instance=f"i-{life.model}", url="http://x").follow()
    route = routes.target(life.model).route
    assert (route.version, route.fallback_version) == (3, 1)


def test_what_a_restart_took_up_is_acknowledged_only_once_it_was_loaded_again(life, tmp_path):
    life.train(1)
    life.serve(1)
    how = {"instance": f"i-{life.model}", "url": "http://x"}
    Follower(life.store, life.lake, Routes(tmp_path / "gateway"), **how).follow()
    Gateways(life.store).remove(how["instance"])
    shutil.rmtree(tmp_path / "lake")
    for path in (tmp_path / "gateway" / "bundles").rglob("model.txt"):
        path.write_text("rotten")
    routes = Routes(tmp_path / "gateway")
    routes.restore(0)
    assert routes.target(life.model).answers == 1, "nobody has looked yet"
    follower = Follower(life.store, life.lake, routes, **how)
    follower.follow()
    [live] = Gateways(life.store).live(life.model, 60)
    assert (live.applied_seq, live.fault_seq) == (0, 1) and "version 1 cannot be loaded" in live.fault


def test_the_newest_promotion_waits_for_no_backlog(life, tmp_path):
    life.train(1)
    backlog = life.model
    life.serve(1)
    bundle = Trainings(life.store).by_version(backlog, 1).bundle
    models = [f"{backlog}_{number}" for number in range(5)]
    for life.model in models:
        life.train(1, bundle=bundle)
        life.serve(1)
    follower = Follower(life.store, life.lake, Routes(tmp_path / "gateway"), instance=f"i-{backlog}", url="http://x")
    assert follower.follow(0.0), "of all only one was begun"
    served = [model for model in (backlog, *models) if Gateways(life.store).live(model, 60)[0].applied_seq == 1]
    assert served == [models[-1]]


def test_a_gateway_that_loads_for_long_lives_and_one_that_was_forgotten_tells_everything_again(life, tmp_path):
    life.train(1)
    life.serve(1)
    instance = f"i-{life.model}"
    store = Store(life.store._url.render_as_string(hide_password=False), connections=2)
    follower = Follower(store, life.lake, Routes(tmp_path / "gateway"), instance=instance, url="http://x")
    follower._heartbeat._pause_seconds = 0.05
    loading, go_on = threading.Event(), threading.Event()
    apply = follower._routes.apply

    def slowly(*args, **how):
        loading.set()
        assert go_on.wait(60)
        return apply(*args, **how)

    follower._routes.apply = slowly
    follower.start()
    try:
        assert loading.wait(60)
        [first] = until(lambda: Gateways(life.store).live(life.model, 60))
        assert first.applied_seq == 0
        assert until(lambda: Gateways(life.store).live(life.model, 60)[0].seen_at > first.seen_at)
        go_on.set()
        assert until(lambda: Gateways(life.store).live(life.model, 60)[0].applied_seq == 1)
        Gateways(life.store).remove(instance)
        assert until(lambda: [each.applied_seq for each in Gateways(life.store).live(life.model, 60)] == [1])
    finally:
        go_on.set()
        follower.ask_to_stop()
        follower.finish(60)
    assert Gateways(life.store).live(life.model, 60) == []


def test_a_promotion_that_commits_after_later_ones_is_served_all_the_same(life, tmp_path, monkeypatch):
    late, prompt = life.model, f"x{life.model}"
    for life.model in (late, prompt):
        life.train(1)
        life.train(2)
        life.serve(1)
    routes = Routes(tmp_path / "gateway")
    follower = Follower(life.store, life.lake, routes, instance=f"i-{late}", url="http://x")
    follower.follow()
    written, go_on = threading.Event(), threading.Event()

    def hang(name):
        if name == "ledger.commit:before" and threading.current_thread() is hanging:
            written.set()
            assert go_on.wait(60)

    def promote():
        how = {"actor": "test", "reason": "r", "as_of": "2013-02-01", "as_of_time": datetime(2013, 2, 1, tzinfo=UTC)}
        Ledger(life.store).append(late, 1, version=2, action="promote", **how)

    monkeypatch.setattr(faults, "point", hang)
    hanging = threading.Thread(target=promote)
    hanging.start()
    try:
        assert written.wait(60), "the entry stands, and nobody sees it yet"
        for version in (2, 1, 2):  # higher in number and later by the clock, and committed
            life.serve(version)
        follower.follow()
        follower.follow()
        assert (routes.target(late).route.seq, routes.target(prompt).route.seq) == (1, 4)
    finally:
        go_on.set()
        hanging.join(60)
    follower.follow()
    assert (routes.target(late).route.seq, routes.target(late).answers) == (2, 2)
    assert Gateways(life.store).live(late, 60)[0].applied_seq == 2


def test_a_failed_try_is_repeated_after_its_pause_though_nothing_else_has_changed(life, tmp_path, monkeypatch):
    life.train(1)
    life.serve(1)
    hidden = tmp_path / "hidden"
    shutil.move(tmp_path / "lake", hidden)
    routes = Routes(tmp_path / "gateway")
    follower = Follower(life.store, life.lake, routes, instance=f"i-{life.model}", url="http://x")
    follower.follow()
    assert life.model in follower.faults
    shutil.move(hidden, tmp_path / "lake")
    follower.follow()
    assert life.model in follower.faults, "it waits"
    now = time.monotonic()
    monkeypatch.setattr(follow.time, "monotonic", lambda: now + follow.RETRY_SECONDS + 1)
    follower.follow()
    assert life.model not in follower.faults and routes.target(life.model).answers == 1


def test_a_version_that_a_call_finds_broken_is_mended_and_told_in_the_next_rounds(life, tmp_path):
    life.train(1)
    life.serve(1)
    routes = Routes(tmp_path / "gateway", room=1)
    follower = Follower(life.store, life.lake, routes, instance=f"i-{life.model}", url="http://x")
    follower.follow()
    follower.follow()
    routes.shelf._held.clear()  # as if others had been asked
    for path in (tmp_path / "gateway" / "bundles").rglob("model.txt"):
        path.write_text("rotten")
    assert routes.target(life.model).champion is None
    hidden = tmp_path / "hidden"
    shutil.move(tmp_path / "lake", hidden)
    follower.follow()
    assert Gateways(life.store).live(life.model, 60)[0].fault_seq == 1
    shutil.move(hidden, tmp_path / "lake")
    follower._failed[life.model] = (1, 0.0)  # its pause is over
    follower.follow()
    assert routes.target(life.model).champion is not None
    assert [(each.applied_seq, each.fault) for each in Gateways(life.store).live(life.model, 60)] == [(1, "")]


def test_a_fault_that_is_noted_after_the_round_that_mended_it_is_taken_away_by_the_next(life, tmp_path):
    life.train(1)
    life.serve(1)
    routes = Routes(tmp_path / "gateway")
    follower = Follower(life.store, life.lake, routes, instance=f"i-{life.model}", url="http://x")
    follower.follow()
    target, take = routes.target(life.model), routes.shelf.take

    def overtaken(digest):
        routes.shelf._proven.discard(digest)
        follower.follow()  # the follower is quicker than the call to say what it met
        assert target.is_complete
        raise OSError("a disk that hiccuped")

    routes.shelf.take = overtaken
    assert target.champion is None
    routes.shelf.take = take
    follower.follow()
    assert target.is_complete and target.champion is not None


def test_a_store_that_forgot_the_gateway_is_told_everything_when_the_next_change_is_reported(life, tmp_path):
    life.train(1)
    life.serve(1)
    still, bundle = life.model, Trainings(life.store).by_version(life.model, 1).bundle
    instance = f"i-{still}"
    follower = Follower(life.store, life.lake, Routes(tmp_path / "gateway"), instance=instance, url="http://x")
    follower.follow()
    Gateways(life.store).remove(instance)
    life.model = f"x{still}"
    life.train(1, bundle=bundle)
    life.serve(1)
    follower.follow()
    follower.follow()
    for name in (still, life.model):
        assert [each.applied_seq for each in Gateways(life.store).live(name, 60)] == [1]


def test_after_a_store_that_failed_every_model_is_looked_at(life, tmp_path, monkeypatch):
    monkeypatch.setattr(follow, "RETRY_SECONDS", 3600.0)  # of what other tests left broken
    life.train(1)
    life.serve(1)
    follower = Follower(life.store, life.lake, Routes(tmp_path / "gateway"), instance=f"i-{life.model}", url="http://x")
    follower.follow()
    asked = []
    servers = Ledger.servers
    monkeypatch.setattr(Ledger, "servers", lambda self: asked.append(self) or servers(self))
    follower.follow()
    assert asked == []

    def failing(self):
        raise TransientError("down")

    with monkeypatch.context() as down:
        down.setattr(Ledger, "pulse", failing)
        with pytest.raises(TransientError):
            follower.follow()
    follower.follow()
    assert len(asked) == 1
    follower.follow()
    assert len(asked) == 1


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found
