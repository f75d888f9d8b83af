"""A year of a real model, month by month, through the real scheduler: what it gains, and what must have held.

``make test-long`` lives both years of the file.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pytest
from world import World, until

from evergreen.registry.aliases import aliases
from evergreen.replay import summary
from evergreen.replay.bikes import Bikes
from evergreen.replay.demo import Life
from evergreen.replay.traffic import Traffic
from evergreen.serving.probe import serving_version
from evergreen.spec.loading import load
from evergreen.store.decisions import Decisions
from evergreen.store.trainings import Trainings
from evergreen.tracking.mlflow_client import Tracking

pytestmark = pytest.mark.timeout(1500)

MODEL, METRIC = "bike_demand", "mean_absolute_error"
MONTHS = 24 if os.environ.get("EVERGREEN_LONG") else 12


@dataclass
class Lived:
    """The life as it stands at its end."""

    world: World
    life: Life
    sent: int

    @property
    def periods(self) -> list[dict[str, Any]]:
        example = self.life.example
        return summary.periods(self.world.store, MODEL, datasets=["rides"], metric=METRIC, keys=example.keys)


@pytest.fixture(scope="module")
def lived(world: World, bikes_csv: Path) -> Lived:
    """All months, each with a hundred requests to the gateway."""
    bikes, declared = Bikes(bikes_csv, months=MONTHS), load(world.workspace)
    traffic = Counting(bikes, declared, world.workspace, world.settings, world.store)
    life = Life(bikes, declared, world.api, world.store, Path(world.settings.landing), traffic, print)
    for key in bikes.keys:
        life.live(key)
    return Lived(world, life, traffic.sent)


class Counting(Traffic):
    """Traffic that knows how much it sent."""

    sent = 0

    def send(self, key: str) -> int:
        sent = super().send(key)
        self.sent += sent
        return sent


def test_the_served_model_beats_the_frozen_one_in_the_last_quarter(lived: Lived) -> None:
    last = lived.periods[-3:]
    served, frozen = (fmean(period[name] for period in last) for name in ("metric_served", "metric_frozen"))
    assert served <= 0.70 * frozen and served <= 90, f"served {served:.1f}, frozen {frozen:.1f}"


def test_the_first_training_is_asked_for_as_of_march_2011(lived: Lived) -> None:
    first = lived.world.requests.of(MODEL)[0]
    assert (first.as_of, first.cause) == ("2011-03-01", "first_champion")
    assert Trainings(lived.world.store).of(MODEL)[0].as_of == "2011-03-01"


def test_every_promotion_refusal_and_request_has_its_cause_and_reason(lived: Lived) -> None:
    told = Counter()
    for period in lived.periods:
        for event in period["events"]:
            told[event["kind"]] += 1
            assert event["cause"] and event["reason"], event
    assert told["promoted"] >= MONTHS // 5 and told["retrain_requested"] == told["trained"]
    assert told["promoted"] + told["refused"] == told["trained"], told
    decided = Decisions(lived.world.store).of(MODEL)
    assert Counter(decision.kind for decision in decided)["retraining"] == len(lived.periods)
    assert {request.state for request in lived.world.requests.of(MODEL)} <= {"done", "refused"}


def test_every_row_of_the_file_is_accounted_for_in_its_month(lived: Lived) -> None:
    bikes = lived.life.example
    landing = Path(lived.world.settings.landing) / "bikes"
    for period in lived.periods:
        lines = len((landing / f"{period['as_of']}.csv").read_text().splitlines()) - 1
        kept = period["rows_good"] + period["rows_quarantined"] + period["rows_superseded"]
        assert period["rows_source"] == kept == lines, period["as_of"]
    assert [period["as_of"] for period in lived.periods] == bikes.keys
    assert (
        sum(period["rows_good"] for period in lived.periods) == lived.world.lake.table("datasets/rides").read().num_rows
    )


def test_one_champion_stands_in_an_unbroken_ledger_and_is_what_gateway_and_mlflow_show(lived: Lived) -> None:
    world = lived.world
    entries = world.ledger.entries(MODEL)
    assert [entry.version for entry in entries if entry.serves and entry.served_to is None] == [world.champion(MODEL)]
    assert world.ledger.verify_chain(MODEL) == []
    assert serving_version(world.stack.gateway_url, MODEL) == world.champion(MODEL)
    wanted = {name: version for name, version in aliases(entries).items() if version is not None}
    numbers = {each.adopted_version: each.mlflow_version for each in Trainings(world.store).of(MODEL)}
    assert Tracking(world.stack.mlflow_url).aliases(MODEL) == {name: numbers[each] for name, each in wanted.items()}


def test_every_request_stands_in_the_log_once_and_is_judged_by_the_labels_that_came(lived: Lived) -> None:
    table = lived.world.lake.table(f"predictions/{MODEL}")
    assert lived.sent > 50 * MONTHS
    until(lambda: table.read().num_rows >= lived.sent, 60, "the prediction log to be shipped")
    ids = table.read()["request_id"].to_pylist()
    assert len(ids) == len(set(ids)) == lived.sent
    logged = [period["metric_logged"] for period in lived.periods]
    assert all(value is not None for value in logged[6:-1]), logged


def test_what_travels_between_tasks_is_small(lived: Lived) -> None:
    for stage in ("monitor", "train", "deploy"):
        dag = f"{MODEL}.{stage}"
        for run in lived.world.api.runs(dag)[:3]:
            for task in lived.world.api.task_states(dag, run["dag_run_id"]):
                at = f"/dags/{dag}/dagRuns/{run['dag_run_id']}/taskInstances/{task}/xcomEntries"
                for entry in lived.world.api.get(at)["xcom_entries"]:
                    value = lived.world.api.get(f"{at}/{entry['key']}")["value"]
                    assert len(json.dumps(value)) < 8192, (dag, task, entry["key"])


def test_a_report_opens_behind_the_login_only_and_can_do_nothing_there(lived: Lived) -> None:
    world = lived.world
    for dag, task in ((f"{MODEL}.monitor", "report"), ("rides.ingest", "validate")):
        run = world.api.runs(dag)[0]["dag_run_id"]
        link = world.api.get(f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/links")["extra_links"]["Report"]
        assert link.startswith("/evergreen/reports/")
        assert world.status(link).status_code in (401, 403)
        page = world.status(link, token=world.token())
        assert page.status_code == 200 and page.text.lstrip().lower().startswith(("<!doctype html", "<html"))
        assert "sandbox" in page.headers["Content-Security-Policy"]


def test_a_page_that_was_not_drawn_is_drawn_for_who_opens_its_link(lived: Lived) -> None:
    world = lived.world
    dag = f"{MODEL}.monitor"
    run = world.api.runs(dag)[0]["dag_run_id"]
    link = world.api.get(f"/dags/{dag}/dagRuns/{run}/taskInstances/report/links")["extra_links"]["Report"]
    (Path(world.settings.lake) / unquote(link.removeprefix("/evergreen/"))).unlink()
    token = world.token()
    first = world.status(link, token=token)
    assert first.status_code == 202 and "being drawn" in first.text
    until(lambda: world.status(link, token=token).status_code == 200, 60, "the page to be drawn")
    assert len(world.api.runs("evergreen.page")) == 1


def test_housekeeping_says_what_it_would_do_and_does_it(lived: Lived) -> None:
    world, dag = lived.world, "evergreen.housekeeping"
    for number in range(20):
        world.lake.table("spare/log").append_once(pa.table({"n": [number]}), f"segment {number}")
    before = {name: world.lake.table(name).version() for name in world.lake.tables() if name.startswith("datasets/")}
    told = [
        world.api.xcom(dag, world.run(dag, conf={"dry_run": dry_run}), "housekeeping")
        for dry_run in (True, False, True)
    ]
    assert [each["dry_run"] for each in told] == [True, False, True]
    assert told[0]["tables"]["tables"] == len(world.lake.tables()) > 4
    assert told[0]["tables"]["merged"] == told[1]["tables"]["merged"]
    assert told[0]["tables"]["merged"] == {"files": 20, "tables": 1}
    assert told[2]["tables"]["merged"]["files"] == 0
    assert told[1]["files"]["removed"] == {}, "nothing is old yet"
    assert before == {name: world.lake.table(name).version() for name in before}
    assert world.lake.table(f"predictions/{MODEL}").read().num_rows == lived.sent


def test_a_person_rolls_back_promotes_and_releases(lived: Lived) -> None:
    world, life = lived.world, lived.life
    best, good = world.champion(MODEL), world.ledger.last_good(MODEL)
    assert good is not None
    life.act(action="roll_back", reason="the depots distrust it")
    assert world.champion(MODEL) == good.version and best in world.ledger.rolled_back_versions(MODEL)
    assert world.ledger.hold(MODEL) is not None
    life.act(action="promote", version=best, reason="they were wrong")
    assert world.champion(MODEL) == best and world.ledger.hold(MODEL) is not None
    life.act(action="release", reason="renewal may go on")
    assert world.champion(MODEL) == best and world.ledger.hold(MODEL) is None
    assert [(entry.action, entry.actor) for entry in world.ledger.entries(MODEL)[-3:]] == [
        ("roll_back", "admin"), ("promote", "admin"), ("release", "admin")
    ]  # fmt: skip
    assert world.ledger.verify_chain(MODEL) == []
    until(lambda: serving_version(world.stack.gateway_url, MODEL) == best, 10, "the gateway to follow")
