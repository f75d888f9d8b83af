"""A person's mistake fails at once, with one message in the place where they look; what may come is waited for."""

from __future__ import annotations

from typing import Any

import pytest
from plant import FEBRUARY, JANUARY
from world import World, until

pytestmark = pytest.mark.timeout(600)


def failure(world: World, dag: str, task: str, **body: Any) -> str:
    """The one message with which the task of a new run failed, on its first try."""
    run = world.api.post(f"/dags/{dag}/dagRuns", {"logical_date": None, "conf": {}, **body})["dag_run_id"]
    until(lambda: world.api.get(f"/dags/{dag}/dagRuns/{run}")["state"] in ("success", "failed"), 120, f"{dag} {run}")
    ended = world.task(dag, run, task)
    assert (ended["state"], ended["try_number"]) == ("failed", 1), world.why(dag, run)
    said = [line for line in world.api.task_log(dag, run, task) if "AirflowFailException" in line]
    assert len(said) == 1
    return said[0].partition("AirflowFailException: ")[2]


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        (
            {"action": "explode", "reason": "x"},
            "'explode' is not one of ['roll_back', 'promote', 'release', 'withdraw']",
        ),
        ({"action": "promote", "version": "three", "reason": "x"}, "'three' is not of type 'null', 'integer'"),
        ({"action": "roll_back"}, "Invalid input for param reason"),
    ],
)
def test_airflow_refuses_what_the_form_declares_otherwise(world: World, conf: dict[str, Any], message: str) -> None:
    assert message in world.refusal("calm.rollback", conf=conf)


def test_what_the_form_cannot_know_fails_the_task_at_once(grown: World) -> None:
    said = failure(grown, "calm.rollback", "act", conf={"action": "promote", "version": 999, "reason": "x"})
    assert said.startswith("calm: version must be one that the gate accepted, got 999.")
    said = failure(grown, "calm.rollback", "act", conf={"action": "roll_back", "reason": "x", "who": "me"})
    assert said.startswith("conf.who is unknown, must be one of action, version, request, reason.")


def test_a_wrong_partition_key_fails_at_once_and_says_what_is_a_right_one(grown: World) -> None:
    said = grown.refusal("awaited.ingest", partition_key="yesterday", conf={})
    assert "Partition key: 'yesterday' is not an ISO date or date-time." in said
    said = grown.refusal("awaited.ingest", partition_key="2024-02-15", conf={})
    assert "2024-02-15 is not an instant of the schedule '0 0 1 * *' in UTC, which has 2024-02-01 and" in said
    said = grown.refusal("awaited.ingest", partition_key="2024-02-01T00:00", conf={})
    assert "2024-02-01T00:00 is written 2024-02-01 by the schedule '0 0 1 * *' in UTC." in said
    said = failure(grown, "calm.monitor", "monitor", partition_key="2024-02-15")
    assert said.startswith("calm: partition key must be an instant of the schedule of readings, got '2024-02-15'.")
    said = failure(grown, "calm.train", "claim", partition_key="2024-02-01T00:00")
    assert said.startswith("calm: partition key must be written as the schedule of readings writes it")
    said = failure(grown, "calm.train", "claim", partition_key="yesterday")
    assert said.startswith("calm: partition key must be an ISO date or date-time, got 'yesterday'.")
    said = failure(grown, "spared.ingest", "read", partition_key="2162-02-01")
    assert said.startswith("spared: partition key must be the end of an interval that is over, got '2162-02-01'.")
    said = failure(grown, "spared.ingest", "read", partition_key="2020-01-01")
    assert said.startswith("dataset spared source.path must match at least one file below the landing root")


def test_a_training_that_fails_by_a_mistake_can_be_asked_for_again_at_once(grown: World) -> None:
    trainer = {"kind": "lightgbm", "rounds": 10, "threads": 1, "seed": 5}
    grown.edit("models/calm.yaml", trainer={**trainer, "params": {"min_data_in_leaves": 10}})
    said = failure(grown, "calm.train", "train", partition_key=FEBRUARY, conf={"reason": "few leaves"})
    assert "min_data_in_leaves must be a parameter of LightGBM" in said
    grown.edit("models/calm.yaml", trainer={**trainer, "params": {"min_data_in_leaf": 10}})
    before = grown.run_ids("calm.deploy")
    run = grown.run("calm.train", FEBRUARY, conf={"reason": "repaired"})
    grown.next_run("calm.deploy", before)
    assert grown.task("calm.train", run, "train")["state"] == "success"
    answered = [request for request in grown.requests.of("calm") if request.reason.endswith(("few leaves", "repaired"))]
    assert [request.state for request in answered] == ["done", "done"]


def test_a_file_that_is_not_there_yet_is_waited_for_without_a_worker(world: World) -> None:
    dag = "awaited.ingest"
    run = world.api.trigger(dag, key=JANUARY)
    until(lambda: world.task(dag, run, "read")["state"] == "up_for_reschedule", 60, "the wait")
    until(lambda: world.api.get("/pools/default_pool")["occupied_slots"] == 0, 60, "an empty pool")
    world.lay("awaited", JANUARY)
    world.api.wait_for_run(dag, run, seconds=120)
    assert world.task(dag, run, "read")["try_number"] == 1
    assert world.lake.table("datasets/awaited").read().num_rows == 744
