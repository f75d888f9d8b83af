"""One bikes month, from file to promoted champion: what it takes through Airflow beyond its own work.

Three sides take turns month by month under one stack: the model through Airflow, DAGs of the same shape with no-op
tasks, and a twin of the model whose steps are called one after the other in this process, warm after the first months.
Reported is (the model's wall time - the twin's) against the no-op DAGs' wall time.
"""

from __future__ import annotations

import csv
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLE = PROJECT / "include/examples/bikes"
HOURS = datetime(2011, 1, 1, tzinfo=UTC), datetime(2012, 1, 1, tzinfo=UTC)
WARM_UP, MEASURED = 3, 7
"""Months: the second brings the first champion, the third the first drift report."""

TWIN = {"rides": "rides_twin", "demand": "demand_twin", "bike_demand": "bike_demand_twin"}
STAGES = (
    ("dataset", "rides", "ingest", ("read", "validate", "publish")),
    ("feature_view", "demand", "build", ("build", "publish")),
    ("model", "bike_demand", "monitor", ("monitor", "report", "decide", "ring")),
    ("model", "bike_demand", "train", ("claim", "train", "evaluate", "register")),
    ("model", "bike_demand", "deploy", ("verify", "roll_out", "settle")),
)


class Month(NamedTuple):
    key: str
    ours: float
    steps: float
    noop: float


def run(data: Path | None = None) -> dict[str, Any]:
    """Medians over months: seconds of ours beyond the steps, of the peer, and their ratio; tells more on stderr."""
    from evergreen.replay.bikes import Bikes
    from evergreen.stack.report import memory_mb

    with tempfile.TemporaryDirectory(prefix="evergreen-bench-") as scratch:
        folder = Path(scratch)
        bikes = Bikes(data or rentals(folder / "hour.csv"), months=WARM_UP + MEASURED)
        with running(folder, _workspace(folder / "workspace"), _project(folder / "project")) as stack:
            months = _live(stack, bikes)
            memory = memory_mb(stack.state)
    measured = months[WARM_UP:]
    overhead, noop = median(month.ours - month.steps for month in measured), median(month.noop for month in measured)
    plain = median(month.ours for month in measured) / noop
    _say(f"life_overhead: plain ratio {plain:.2f}; the stack holds {sum(memory.values()):.0f} MB: {_told(memory)}")
    return {
        "name": "life_overhead",
        "ours": overhead,
        "peer": noop,
        "peer_name": "no-op DAGs of the same shape",
        "ratio": overhead / noop,
        "unit": "s",
    }


@contextmanager
def running(
    folder: Path, workspace: Path, project: Path, *, extra_env: Mapping[str, str] | None = None
) -> Iterator[Any]:
    """A stack of its own whose calendars are quiet, removed afterwards; the logs of one that failed are kept."""
    from evergreen.stack.stack import Stack

    stack = Stack(
        folder / "instance", workspace=workspace, project=project, calendar_from="2100-01-01", extra_env=extra_env
    )
    try:
        with stack:
            yield stack
    except BaseException:
        _keep_logs(stack.instance.logs)
        raise
    finally:
        stack.remove()


def _live(stack: Any, bikes: Any) -> list[Month]:
    from evergreen.replay.airflow_api import AirflowApi
    from evergreen.settings import Settings
    from evergreen.store.ledger import Ledger
    from evergreen.store.store import Store

    os.environ.update({name: text for name, text in stack.env.items() if name not in os.environ})
    settings = Settings.from_env(stack.env)
    api = AirflowApi(stack.airflow_url, stack.airflow_user, stack.airflow_password, poll_seconds=0.5)
    ledger = Ledger(Store(settings.store_url))
    api.wait_for_dags({f"{name}.{stage}" for _, name, stage, _ in STAGES} | {f"noop.{each[2]}" for each in STAGES})
    months = []
    for number, key in enumerate(bikes.keys):
        bikes.lay(key, Path(settings.landing))
        trained = key >= bikes.first_training
        ours = _through_airflow(api, "rides.ingest", f"bike_demand.{'deploy' if trained else 'monitor'}", key)
        noop = _through_airflow(api, "noop.ingest", "noop.deploy", key)
        steps = _steps(settings, key)
        for model in ("bike_demand", "bike_demand_twin"):
            champion = ledger.champion(model)
            if trained and (champion is None or champion.as_of != key):
                raise RuntimeError(f"{model} promoted nothing for {key}: there is nothing to compare")
        months.append(Month(key, ours, steps, noop))
        note = " (warm-up)" if number < WARM_UP else ""
        _say(f"life_overhead {key}: {ours:.1f} s through Airflow, {steps:.1f} s of steps, {noop:.1f} s of no-ops{note}")
    api.close()
    return months


def _through_airflow(api: Any, first: str, last: str, key: str) -> float:
    """Seconds from the trigger to the end of the last DAG's run, by Airflow's own record."""
    start = datetime.now(UTC)
    api.trigger(first, key=key)
    end = api.wait_for_key(last, key, done="monitor" if last.endswith(".monitor") else None)["end_date"]
    return (datetime.fromisoformat(end) - start).total_seconds()


def _steps(settings: Any, key: str) -> float:
    """Seconds of the twin's steps, called one after the other in this process."""
    from evergreen.steps.contract import RunRef, StepInput, run_step
    from evergreen.steps.run import open_run

    seconds = 0.0
    for kind, name, stage, steps in STAGES:
        ref = RunRef(dag_id=f"{TWIN[name]}.{stage}", run_id=f"bench__{key}", run_type="asset")
        opened = open_run(settings, kind=kind, resource=TWIN[name], run=ref, partition_key=key)
        inputs: dict[str, dict[str, Any]] = {}
        for step in steps:
            given = StepInput(
                step=step,
                kind=kind,
                resource=TWIN[name],
                as_of=opened.as_of,
                workspace=opened.workspace,
                run=ref,
                inputs=inputs,
            )
            began = time.perf_counter()
            result = run_step(given, settings)
            seconds += time.perf_counter() - began
            if result.skip is not None:
                return seconds
            inputs = {**inputs, step: result.output}
    return seconds


def _workspace(folder: Path) -> Path:
    """The example beside its twin; every candidate is accepted, so that each month ends with a promotion."""
    from evergreen.errors import SpecErrors
    from evergreen.spec.loading import load

    shutil.copytree(EXAMPLE, folder)
    model = folder / "models/bike_demand.yaml"
    model.write_text(model.read_text().replace("tolerance: 0.05", "tolerance: 1"))
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stem in TWIN:
            text = path.read_text()
            for old, new in (
                ("dataset: rides", "dataset: rides_twin"),
                ("reads: [rides]", "reads: [rides_twin]"),
                ("from rides", "from rides_twin"),
                ("transform: demand.sql", "transform: demand_twin.sql"),
                ("features: [demand,", "features: [demand_twin,"),
            ):
                text = text.replace(old, new)
            path.with_name(f"{TWIN[path.stem]}{path.suffix}").write_text(text)
    errors = load(folder).errors
    if errors:
        raise SpecErrors(errors)
    return folder


def copy_project(folder: Path) -> Path:
    """Our DAG files and plugins, away from what a team has in the clone."""
    for part in ("dags", "plugins"):
        shutil.copytree(PROJECT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def _project(folder: Path) -> Path:
    """The copy, and the no-op DAGs in it."""
    copy_project(folder)
    shutil.copy(Path(__file__).with_name("noop_dags.py"), folder / "dags")
    return folder


def rentals(path: Path) -> Path:
    """A year of hourly rentals, made up in the shape of the real file."""
    chance = random.Random(7)
    moment, end = HOURS
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ("dteday", "hr", "holiday", "workingday", "weathersit", "temp", "atemp", "hum", "windspeed", "cnt")
        )
        while moment < end:
            day = moment.timetuple().tm_yday
            working = int(moment.weekday() < 5)
            temperature = 0.5 - 0.3 * math.cos(2 * math.pi * day / 365) + chance.gauss(0, 0.05)
            weather = chance.choice((1, 1, 1, 2, 2, 3))
            rush = sum(math.exp(-((moment.hour - hour) ** 2) / 6) for hour in ((8, 18) if working else (14,)))
            count = (20 + 300 * rush) * (0.3 + temperature) / weather**0.5 + chance.gauss(0, 10)
            writer.writerow(
                (
                    moment.date().isoformat(),
                    moment.hour,
                    0,
                    working,
                    weather,
                    round(min(max(temperature, 0.0), 1.0), 2),
                    round(min(max(temperature - 0.02, 0.0), 1.0), 4),
                    round(chance.uniform(0.3, 1.0), 2),
                    round(chance.uniform(0.0, 0.5), 4),
                    max(0, round(count)),
                )
            )
            moment += timedelta(hours=1)
    return path


def _keep_logs(logs: Path) -> None:
    kept = Path(".evergreen/bench/logs")
    shutil.rmtree(kept, ignore_errors=True)
    if logs.is_dir():
        shutil.copytree(logs, kept)
    _say(f"the benchmark failed; the stack's logs stand in {kept}")


def _told(memory: dict[str, float]) -> str:
    return ", ".join(f"{name} {size:.0f}" for name, size in sorted(memory.items(), key=lambda item: -item[1]))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that nothing is left running
    print(json.dumps(run(Path(sys.argv[1]) if len(sys.argv) > 1 else None)))
