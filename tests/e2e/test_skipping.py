"""A skipped ingestion or build rings all the same; monitoring waits for what has not come, and says so."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from plant import DATASET, FEBRUARY, JANUARY, MODEL, VIEW, VIEW_SQL, write
from world import World, until

from evergreen.store.periods import Periods

pytestmark = pytest.mark.timeout(900)

MARCH = "2024-04-01"
SKIPPED = {"read": "skipped", "validate": "skipped", "publish": "success"}


@pytest.fixture(scope="module")
def quiet(world: World) -> World:
    """With ``quiet``, whose file may be missing, ``never``, which has none, views of both, and a model of each view."""
    for name in ("quiet", "never"):
        source = {"path": f"{name}/{{as_of}}.csv", "when_missing": "skip"}
        write(world.workspace / f"datasets/{name}.yaml", {"source": source, **DATASET})
    for name, reads in (("of_quiet", ["quiet"]), ("of_both", ["quiet", "never"])):
        sql = VIEW_SQL.replace("from readings", "from quiet")
        (world.workspace / f"features/{name}.sql").write_text(sql)
        write(world.workspace / f"features/{name}.yaml", {**VIEW, "reads": reads, "transform": f"{name}.sql"})
    label = {**MODEL["label"], "dataset": "quiet"}
    for name, view in (("patient", "of_quiet"), ("starving", "of_both")):
        write(world.workspace / f"models/{name}.yaml", {**MODEL, "label": label, "features": [view]})
    world.api.wait_for_dags(
        {"quiet.ingest", "never.ingest", "of_quiet.build", "of_both.build", "patient.monitor", "starving.monitor"}
    )
    return world


def told(world: World, dag: str, key: str) -> list[str]:
    """Why the runs of a key ended skipped, oldest first."""
    runs = [run["dag_run_id"] for run in world.api.runs(dag, key)][::-1]
    skipped = [run for run in runs if world.api.task_states(dag, run).get("monitor") == "skipped"]
    return [world.api.xcom(dag, run, "monitor", "skipped") for run in skipped]


def output(world: World, run: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = world.api.xcom("patient.monitor", run["dag_run_id"], "monitor")
    return found


def test_monitoring_runs_once_all_inputs_have_the_key(quiet: World) -> None:
    quiet.lay("quiet", JANUARY)
    quiet.run("quiet.ingest", JANUARY)
    watched = quiet.api.wait_for_key("patient.monitor", JANUARY, done="monitor")
    assert output(quiet, watched)["rows"] > 700
    runs = quiet.api.runs("patient.monitor", JANUARY)
    assert len(runs) <= 2, "one for the dataset's ring, one for the view's"
    assert all(reason.startswith("patient waits for of_quiet") for reason in told(quiet, "patient.monitor", JANUARY))


def test_a_build_that_has_nothing_of_another_dataset_is_skipped_rings_and_is_told(quiet: World) -> None:
    quiet.api.wait_for_key("of_both.build", JANUARY)
    (run,) = quiet.api.runs("of_both.build", JANUARY)
    assert quiet.api.task_states("of_both.build", run["dag_run_id"]) == {"build": "skipped", "publish": "success"}
    reason = "nothing of never is there"
    until(lambda: any(reason in each for each in told(quiet, "starving.monitor", JANUARY)), 120, reason)


def test_an_ingestion_that_is_skipped_starves_nobody(quiet: World) -> None:
    run = quiet.run("quiet.ingest", FEBRUARY)
    assert quiet.api.task_states("quiet.ingest", run) == SKIPPED
    watched = quiet.api.wait_for_key("patient.monitor", FEBRUARY, done="monitor")
    assert quiet.api.task_states("patient.monitor", watched["dag_run_id"])["decide"] == "success"
    assert output(quiet, watched)["rows"] == 0
    assert "no file matches" in output(quiet, watched)["missing"]["quiet"]


def test_what_stands_still_is_waited_for_in_words_and_then_watched(quiet: World) -> None:
    pause(quiet, "of_quiet.build", True)
    quiet.lay("quiet", MARCH)
    quiet.run("quiet.ingest", MARCH)
    quiet.api.wait_for_key("patient.monitor", MARCH)
    (reason,) = told(quiet, "patient.monitor", MARCH)
    assert reason.startswith(f"patient waits for of_quiet as of {MARCH}")
    assert [each.note for each in Periods(quiet.store).in_state("patient", "waiting")] == [reason]
    pause(quiet, "of_quiet.build", False)
    quiet.run("of_quiet.build", MARCH)
    watched = quiet.api.wait_for_key("patient.monitor", MARCH, done="monitor")
    assert output(quiet, watched)["rows"] > 700
    assert Periods(quiet.store).in_state("patient", "waiting") == []


def pause(world: World, dag: str, paused: bool) -> None:
    url, token = f"{world.stack.airflow_url}/api/v2/dags/{dag}", world.token()
    answer = httpx.patch(url, json={"is_paused": paused}, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    answer.raise_for_status()
