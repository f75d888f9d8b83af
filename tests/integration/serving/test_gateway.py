"""The gateway as a process: follows, survives, loses nothing."""

import resource
import shutil
import signal
import time

from evergreen.serving.probe import serving_version
from evergreen.store.gateways import Gateways

NOBODY = "postgresql+psycopg2://a:b@127.0.0.1:1/c"


def serves(model, version):
    return lambda health: health["models"].get(model, {}).get("version") == version


def acknowledged(life, seq, seconds=10):
    """Seconds until the store knows that the gateway serves by ``seq``."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        live = Gateways(life.store).live(life.model, 15)
        if live and all(gateway.applied_seq >= seq for gateway in live):
            return time.monotonic() - began
        time.sleep(0.02)
    raise AssertionError(f"seq {seq} was not acknowledged: {live}")


def test_promotions_are_followed_in_time_without_dropping_a_request(start, life, hammer):
    for version in (1, 2, 3):
        life.train(version)
    life.serve(1)
    gateway = start()
    gateway.wait(serves(life.model, 1))
    with hammer(gateway, life.model) as traffic:
        for version, action in ((2, "promote"), (3, "promote"), (2, "roll_back"), (1, "promote"), (3, "promote")):
            seq = life.serve(version, action)
            assert acknowledged(life, seq) < 5
            assert gateway.ask(life.model)["version"] == version  # acknowledged only after the swap
    assert traffic.failures == []
    assert {version for version, _, _ in traffic.answers} == {1, 2, 3}
    assert all(round(prediction / 100) == version for version, prediction, _ in traffic.answers)
    assert serving_version(gateway.url, life.model) == 3
    logged = life.wait_logged({request_id for _, _, request_id in traffic.answers})
    assert len(logged) == len(set(logged)) == len(traffic.answers) + 5
    assert gateway.end() == 0
    assert Gateways(life.store).live(life.model, 60) == []


def test_a_killed_gateway_loses_no_line_and_starts_with_everything_else_down(start, life, hammer, tmp_path):
    life.train(1)
    life.train(2)
    life.serve(1)
    life.serve(2)
    gateway = start()
    gateway.wait(serves(life.model, 2))
    with hammer(gateway, life.model) as traffic:
        while len(traffic.answers) < 200:
            time.sleep(0.01)
        assert gateway.end(signal.SIGKILL) == -9
    answered = {request_id for _, _, request_id in traffic.answers}
    shutil.move(tmp_path / "lake", tmp_path / "away")
    (tmp_path / "lake").write_text("no folder: nothing can be read or written here")
    alone = start(store_url=NOBODY, key="")
    health = alone.wait(serves(life.model, 2))
    assert health["store_seen_seconds_ago"] is None
    for _ in range(5):
        told = alone.ask(life.model)
        assert told["version"] == 2 and "fallback" not in told and "logged" not in told
        answered.add(told["predictions"][0]["request_id"])
    waiting = alone.wait(lambda health: any("the logs wait on disk" in each for each in health["concerns"]))
    assert waiting["status"] == "degraded" and waiting["unlogged_predictions"] == 0
    assert alone.end() == 0
    (tmp_path / "lake").unlink()
    shutil.move(tmp_path / "away", tmp_path / "lake")
    last = start(store_url=NOBODY)
    logged = life.wait_logged(answered)
    assert last.end() == 0
    assert len(logged) == len(set(logged))
    # A call that was killed between its line and its answer is logged, too: one per client at most.
    assert answered <= set(logged) and len(set(logged) - answered) <= 3


def test_a_full_disk_stops_no_answer_is_counted_and_alarmed(start, life):
    life.train(1)
    life.serve(1)
    gateway = start()
    gateway.wait(serves(life.model, 1))
    pid = gateway.process.pid
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (10, unlimited[1]))  # no file grows beyond ten bytes
    for _ in range(3):
        told = gateway.ask(life.model)
        assert round(told["predictions"][0]["prediction"] / 100) == 1 and told["logged"] is False
    health = gateway.health()
    assert health["status"] == "degraded" and health["unlogged_predictions"] == 3
    assert "3 prediction(s) were answered but not logged" in " ".join(health["concerns"])
    label = {"labels": [{"request_id": told["predictions"][0]["request_id"], "label": 1}]}
    refused = gateway.client.post(f"/models/{life.model}/feedback", json=label)
    assert (refused.status_code, refused.json()["error"]["type"]) == (507, "disk_full")
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
    told = gateway.ask(life.model)
    assert "logged" not in told
    [request_id] = [each["request_id"] for each in told["predictions"]]
    assert life.wait_logged({request_id}) == [request_id]


def test_two_gateways_of_one_home_both_follow_and_log(start, life):
    life.train(1)
    life.train(2)
    life.serve(1)
    both = [start(), start()]
    for gateway in both:
        gateway.wait(serves(life.model, 1))
    acknowledged(life, life.serve(2))
    assert len(Gateways(life.store).live(life.model, 15)) == 2
    told = [gateway.ask(life.model)["predictions"][0]["request_id"] for gateway in both for _ in range(3)]
    assert both[0].end(signal.SIGKILL) == -9
    told.append(both[1].ask(life.model)["predictions"][0]["request_id"])
    # The living one adopts and ships what the dead one left.
    assert life.wait_logged(set(told)) == sorted(told)


def test_what_keeps_a_gateway_from_starting_is_said(start):
    first = start()
    first.wait(lambda health: health["models"] is not None)
    second = start(port=first.port)
    assert second.process.wait(timeout=40) != 0
    assert "address already in use" in second.log.read_text()
    third = start(store_url="")
    assert third.process.wait(timeout=40) == 1
    text = third.log.read_text()
    assert "The gateway did not start: EVERGREEN_STORE_URL must name the store's database" in text
    assert "Traceback" not in text
