"""The follower on a real store, without a server."""

from evergreen.serving.follow import Follower
from evergreen.serving.routes import Routes
from evergreen.store.gateways import Gateways


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
    assert Gateways(life.store).live(broken, 60) == []


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
    assert [each.applied_seq for each in Gateways(life.store).live(life.model, 60)] == [1]
    assert follower.faults[life.model].startswith("seq 2: version 2 cannot be loaded")
    life.serve(1, "roll_back")
    follower.follow()
    assert [each.applied_seq for each in Gateways(life.store).live(life.model, 60)] == [3]
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
