"""Runs that a person starts: without a key, to ask for a training, twenty at once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from plant import FEBRUARY
from world import World, until

from evergreen.store.trainings import Trainings

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("date", [None, "2026-01-01T00:00:00Z"])  # the form's default lies before the quiet calendar
def test_an_ingest_without_a_key_takes_the_newest_as_of_and_rings_under_it(grown: World, date: str | None) -> None:
    dag, followers = "readings.ingest", ("recent.build", "calm.monitor", "windy.monitor")
    before = {follower: grown.run_ids(follower) for follower in followers}
    rows = grown.lake.table("datasets/readings").read_versions().num_rows
    run = grown.api.post(f"/dags/{dag}/dagRuns", {"logical_date": date, "conf": {}})["dag_run_id"]
    grown.api.wait_for_run(dag, run, seconds=180)
    assert grown.api.task_states(dag, run) == {"read": "success", "validate": "success", "publish": "success"}
    assert grown.lake.table("datasets/readings").read_versions().num_rows == rows
    for follower in followers:
        woken = grown.next_run(follower, before[follower])
        assert grown.api.get(f"/dags/{follower}/dagRuns/{woken}")["partition_key"] == FEBRUARY


def test_a_training_without_a_key_writes_a_request_and_is_deployed(grown: World) -> None:
    grown.reseed("calm", 11)
    before = grown.run_ids("calm.deploy")
    grown.run("calm.train", conf={"reason": "new turbines"})
    request = grown.requests.newest("calm")
    assert request is not None
    assert (request.cause, request.reason, request.as_of) == ("manual", "admin: new turbines", FEBRUARY)
    training = Trainings(grown.store).get(request.training_id or "")
    assert request.state == "done" and training is not None and training.seed == 11
    grown.next_run("calm.deploy", before)
    assert grown.champion("calm") == training.adopted_version


def test_twenty_wishes_at_once_give_one_training(grown: World) -> None:
    grown.reseed("windy", 20)
    known = {training.training_id for training in Trainings(grown.store).of("windy")}
    before = grown.run_ids("windy.deploy")
    with ThreadPoolExecutor(20) as pool:
        wish = lambda number: grown.api.trigger("windy.train", key=FEBRUARY, conf={"reason": f"wish {number}"})  # noqa: E731
        runs = set(pool.map(wish, range(20)))
    states = Counter[str]()

    def ended() -> bool:
        states.clear()
        states.update(run["state"] for run in grown.api.runs("windy.train") if run["dag_run_id"] in runs)
        return states["success"] + states["failed"] == 20

    until(ended, 300, "twenty runs of windy.train")
    assert states["success"] == 20
    claims = Counter(grown.task("windy.train", run, "claim")["state"] for run in runs)
    assert claims == {"success": 1, "skipped": 19}
    fresh = [each for each in Trainings(grown.store).of("windy") if each.training_id not in known]
    assert len(fresh) == 1 and fresh[0].adopted_version is not None
    grown.next_run("windy.deploy", before)
    assert grown.champion("windy") == fresh[0].adopted_version
