"""Tasks that die or hang, under the real scheduler: the retry does the work, what comes back later changes nothing."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from plant import FEBRUARY, JANUARY
from world import World, until

from evergreen.stack.processes import marked
from evergreen.store.row_counts import RowCounts
from evergreen.store.trainings import Trainings
from evergreen.tracking.mlflow_client import Tracking

pytestmark = pytest.mark.timeout(600)

RETRIED_SECONDS = 240
"""Heartbeat time-out (20 s), its detection, the pause before a retry, and the retry on a busy machine."""


def stopped(world: World, point: str) -> psutil.Process:
    """The process that has obeyed the order to stop at a point."""
    before = {process.pid for process in standing(world)}
    world.order(point, "STOP")
    return until(
        lambda: next((p for p in standing(world) if p.pid not in before), None), RETRIED_SECONDS, f"a stop at {point}"
    )


def standing(world: World) -> list[psutil.Process]:
    return [p for p in marked(world.stack.state.mark) if p.is_running() and p.status() == psutil.STATUS_STOPPED]


def resume(*processes: psutil.Process) -> None:
    for process in processes:
        if process.is_running():
            os.kill(process.pid, signal.SIGCONT)


def test_a_task_that_is_killed_is_retried_as_if_nothing_had_happened(world: World) -> None:
    for dataset in ("spared", "killed"):
        world.lay(dataset, JANUARY)
    world.run("spared.ingest", JANUARY)
    world.order("publish.commit:after", "KILL")
    run = world.run("killed.ingest", JANUARY)
    assert world.is_obeyed("publish.commit:after")
    assert world.task("killed.ingest", run, "publish")["try_number"] == 2
    rows, counts = {}, {}
    for dataset in ("spared", "killed"):
        rows[dataset] = world.lake.table(f"datasets/{dataset}").read_versions().to_pylist()
        (count,) = RowCounts(world.store).of(dataset)
        counts[dataset] = (count.rows_read, count.good, count.quarantined, count.superseded, count.details["appended"])
    assert rows["killed"] == rows["spared"] and counts["killed"] == counts["spared"] == (744, 744, 0, 0, 744)


def test_tasks_that_hang_past_their_heartbeat_adopt_nothing_when_they_go_on(grown: World) -> None:
    hung: list[psutil.Process] = []
    runs: dict[str, set[str]] = {}
    versions: dict[str, list[int | None]] = {}
    # Two at once, because the wait is long: one hangs as it promotes a version, one as it registers one.
    for model, point in (("windy", "ledger.insert:before"), ("calm", "register:before")):
        runs[model] = grown.run_ids(f"{model}.deploy")
        versions[model] = [entry.version for entry in grown.ledger.entries(model)]
        grown.reseed(model, 41)
        grown.api.trigger(f"{model}.train", key=FEBRUARY)
        task = stopped(grown, point)
        supervisor = task.parent()
        assert supervisor is not None and "LocalExecutor" in supervisor.name() + " ".join(supervisor.cmdline())
        supervisor.suspend()
        hung += [task, supervisor]
    tasks, supervisors = hung[::2], hung[1::2]
    try:
        deployed = {model: grown.next_run(f"{model}.deploy", runs[model], seconds=RETRIED_SECONDS) for model in runs}
        assert grown.task("windy.deploy", deployed["windy"], "roll_out")["try_number"] == 2
        stood = {model: grown.ledger.entries(model) for model in runs}
        for model, entries in stood.items():
            assert [entry.version for entry in entries[:-1]] == versions[model]
            assert entries[-1].version not in versions[model]
    finally:
        resume(*tasks)
        until(lambda: not any(is_busy(task) for task in tasks), 60, "the tasks to do what they were about to do")
        resume(*supervisors)
    until(lambda: not any(task.is_running() for task in tasks), 120, "the hung tasks to end")
    for model, entries in stood.items():
        assert grown.ledger.entries(model) == entries and grown.ledger.verify_chain(model) == []
        training = Trainings(grown.store).of(model)[-1]
        assert training.adopted_version == entries[-1].version == grown.champion(model)
        assert grown.run_ids(f"{model}.deploy") - runs[model] == {deployed[model]}
    registered = Tracking(grown.stack.mlflow_url).versions_of_training("calm", training.training_id)
    assert training.mlflow_version in registered and len(registered) == 2, "what hung went on and left a stray"


def is_busy(process: psutil.Process) -> bool:
    """Whether it computes, or waits for anything but its supervisor, for the length of a look."""
    try:
        before = process.cpu_times()
        return (
            process.status() == psutil.STATUS_RUNNING or process.cpu_percent(1.0) > 0 or process.cpu_times() != before
        )
    except psutil.NoSuchProcess:
        return False


def test_a_rollback_during_a_deployment_supersedes_it(grown: World) -> None:
    good, bad = grown.renew("windy", FEBRUARY, 51), grown.renew("windy", FEBRUARY, 52)
    assert good != bad
    before = grown.run_ids("windy.deploy")
    grown.reseed("windy", 53)
    grown.api.trigger("windy.train", key=FEBRUARY)
    task = stopped(grown, "ledger.insert:before")
    try:
        grown.run("windy.rollback", conf={"action": "roll_back", "reason": "too late"})
        assert grown.champion("windy") == good
        entries = grown.ledger.entries("windy")
    finally:
        resume(task)
    run = grown.next_run("windy.deploy", before)
    assert grown.task("windy.deploy", run, "roll_out")["state"] == "skipped"
    assert "seq" in grown.api.xcom("windy.deploy", run, "roll_out", key="skipped")
    assert grown.ledger.entries("windy") == entries
    hold = grown.ledger.hold("windy")
    assert hold is not None and bad in grown.ledger.rolled_back_versions("windy")
    grown.run("windy.rollback", conf={"action": "release", "reason": "seen"})
    assert grown.ledger.hold("windy") is None and grown.champion("windy") == good
