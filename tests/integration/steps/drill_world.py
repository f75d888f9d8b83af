"""A small world to drill in: a workspace, a landing folder, a lake, a store, MLflow; and runs of its DAGs.

A :class:`Run` stands for one DAG run: it freezes its workspace, and hands every step the outputs of those before, as
the operators do. :meth:`Run.step` calls a step in this process; :meth:`Run.kill` and :meth:`Run.stop` call it in a
process of its own, which dies or stops at a named point.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

from evergreen.settings import Settings
from evergreen.steps.contract import RunRef, StepInput, StepResult, run_step
from evergreen.steps.run import open_run
from evergreen.store.decisions import Decisions
from evergreen.store.ledger import Ledger
from evergreen.store.pins import Pins
from evergreen.store.requests import Requests
from evergreen.store.row_counts import RowCounts
from evergreen.store.store import Store
from evergreen.store.trainings import Trainings
from evergreen.tracking.mlflow_client import Tracking

KEYS = ("2024-01-08", "2024-01-15", "2024-01-22", "2024-01-29")
"""Ends of the weeks that the shared dataset holds; Mondays."""
FIRST, SECOND, THIRD = KEYS[1:]
"""Keys at which a model can be trained."""
HEADER = ("moment", "load", "wind", "late", "knows", "flat", "never", "huge")

DATASET: dict[str, Any] = {
    "source": {"path": "{as_of}.csv"},
    "schedule": {"cron": "0 0 * * 1"},
    "columns": {
        "moment": "timestamp", "load": "float", "wind": "float", "late": "bool", "knows": "float", "flat": "float",
        "never": "bool", "huge": "float",
    },
    "event_time": "moment",
    "late_window": "7d",
    "availability_delay": "1h",
    "expectations": [{"expect": "column_values_to_be_between", "column": "wind", "args": {"max_value": 200}}],
}  # fmt: skip
VIEW: dict[str, Any] = {
    "timestamp": "moment",
    "transform": "recent.sql",
    "lookback": "1d",
    "availability_delay": "1h",
    "outputs": {"recent_load": {"type": "float"}},
}
VIEW_SQL = """
select moment, avg(load) over (order by moment range between interval 6 hours preceding and current row) as recent_load
from {dataset} where moment >= $start::timestamptz - interval 1 day
qualify moment >= $start and moment < $end
"""
MODEL: dict[str, Any] = {
    "task": "binary",
    "request": ["load", "wind"],
    "split": {"test": "4d", "validation": "2d"},
    "trainer": {"kind": "lightgbm", "rounds": 10, "threads": 1, "params": {"min_data_in_leaf": 10}},
    "gate": {"min_rows": 50, "tolerance": 0.2},
    "monitoring": {"min_labels": 20},
    "retraining": {"min_history": "7d", "every": "7d"},
}
INGEST, BUILD = ("read", "validate", "publish"), ("build", "publish")
MONITOR, TRAIN, DEPLOY = (
    ("monitor", "report", "decide", "ring"), ("claim", "train", "evaluate", "register"),
    ("verify", "roll_out", "settle"),
)  # fmt: skip


def rows_of(key: str, *, shift: float = 0.0) -> list[list[str]]:
    """A week's rows, one every half hour, the same for the same key."""
    end = datetime.fromisoformat(key).replace(tzinfo=UTC)
    dice = random.Random(key)
    rows = []
    for number in range(336):
        at = end - timedelta(days=7) + timedelta(minutes=30 * number)
        load, wind = dice.random(), 20 * dice.random()
        late = load + wind / 40 + dice.gauss(0, 0.25) + shift > 0.8
        huge = 1.7e308 if late else -1.7e308
        rows.append([f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{load:.6f}", f"{wind:.6f}", str(late).lower(), str(float(late)),
                     "1.0", "false", repr(huge)])  # fmt: skip
    return rows


def csv_of(rows: Iterable[Sequence[str]], header: Sequence[str] = HEADER) -> str:
    return "\n".join(",".join(row) for row in [header, *rows]) + "\n"


def rounds(points: Mapping[str, Sequence[str]]) -> list[Any]:
    """Spreads kill points over few lives: each step is killed at one of its points a life; in the last, at all."""
    most = max(len(each) for each in points.values())
    lives = [{step: each[number : number + 1] for step, each in points.items()} for number in range(most)]
    named = [pytest.param(life, id=f"point {number}") for number, life in enumerate(lives, start=1)]
    return [*named, pytest.param(points, id="all in turn")]


class Forge:
    """The process that forks a process per step (see ``drill_forge.py``)."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, itertools.count()
        folder.mkdir(parents=True)
        self._log = (folder / "forge.log").open("w")
        command = [sys.executable, str(Path(__file__).with_name("drill_forge.py"))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, start_new_session=True
        )
        self._ready = False

    def start(self, inp: StepInput, environment: Mapping[str, str]) -> Forked:
        return self._start({"input": inp.model_dump(mode="json")}, environment)

    def erase(self, environment: Mapping[str, str], **how: Any) -> Forked:
        return self._start({"erase": how}, environment)

    def _start(self, order: Mapping[str, Any], environment: Mapping[str, str]) -> Forked:
        answer = self._folder / f"{next(self._count)}.json"
        return Forked(self, self.ask({**order, "environment": dict(environment), "answer": str(answer)}), answer)

    def ask(self, order: Mapping[str, Any]) -> Any:
        assert self._process.stdin and self._process.stdout
        if not self._ready:
            assert self._process.stdout.readline() == "ready\n", (self._folder / "forge.log").read_text()
            self._ready = True
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        self._log.close()


@dataclass
class Forked:
    """A step in a process of its own."""

    forge: Forge
    process: int
    answer: Path

    def wait(self, *, stopped: bool = False) -> int | str:
        """Exit code (negative: the signal that ended it), or ``"stopped"``."""
        code: int | str = self.forge.ask({"wait": self.process, "stopped": stopped})
        return code

    def go_on(self) -> dict[str, Any]:
        """Continues a stopped process and returns what it answered."""
        os.kill(self.process, signal.SIGCONT)
        return self.answered()

    def answered(self) -> dict[str, Any]:
        assert self.wait() == 0
        document: dict[str, Any] = json.loads(self.answer.read_text())
        return document


class World:
    """Everything that a drill needs; resources have names of their own, so that drills do not meet."""

    def __init__(self, folder: Path, store_url: str, mlflow_uri: str) -> None:
        self.settings = Settings(
            home=folder / "home", workspace=folder / "workspace", landing=str(folder / "landing"),
            lake=str(folder / "lake"), store_url=store_url, mlflow_uri=mlflow_uri,
        )  # fmt: skip
        for name in ("datasets", "features", "models"):
            (folder / "workspace" / name).mkdir(parents=True)
        self.store = Store(store_url)
        self.store.migrate()
        self._folder = folder
        self._numbers = itertools.count(1)

    @cached_property
    def forge(self) -> Forge:
        """Started when a step is first to be killed or stopped."""
        return Forge(self._folder / "forge")

    @property
    def lake(self) -> Any:
        from evergreen.lake.lake import Lake

        return Lake(self.settings.lake)

    @property
    def environment(self) -> dict[str, str]:
        """The settings as a process is given them."""
        return {f"EVERGREEN_{each.name.upper()}": str(getattr(self.settings, each.name)) for each in fields(Settings)}

    def write(self, path: str, content: Mapping[str, Any] | str) -> None:
        text = content if isinstance(content, str) else yaml.safe_dump(dict(content), sort_keys=False)
        (self.settings.workspace / path).write_text(text)

    def new_name(self, stem: str) -> str:
        return f"{stem}_{next(self._numbers)}"

    def dataset(self, name: str | None = None, **changes: Any) -> str:
        """Declares a dataset with a landing folder of its own."""
        name = name or self.new_name("trips")
        source = {"path": f"{name}/{{as_of}}.csv", **changes.pop("source", {})}
        self.write(f"datasets/{name}.yaml", {**DATASET, **changes, "source": source})
        return name

    def view(self, dataset: str, name: str | None = None) -> str:
        name = name or self.new_name("recent")
        self.write(f"features/{name}.sql", VIEW_SQL.format(dataset=dataset))
        self.write(f"features/{name}.yaml", {**VIEW, "reads": [dataset], "transform": f"{name}.sql"})
        return name

    def model(self, name: str | None = None, **changes: Any) -> str:
        """Declares a model of the shared dataset and view."""
        name = name or self.new_name("late")
        label = {"dataset": "trips", "column": "late", **changes.pop("label", {})}
        self.write(f"models/{name}.yaml", {"features": ["recent"], **MODEL, **changes, "label": label})
        return name

    def lay(self, dataset: str, key: str, content: str | bytes) -> Path:
        """Lays a source file."""
        path = Path(self.settings.landing) / dataset / f"{key}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def open(self, resource: str, stage: str, key: str, **how: Any) -> Run:
        return Run(self, resource, stage, key, **how)

    def ingest(self, dataset: str, key: str) -> dict[str, StepResult]:
        return self.open(dataset, "ingest", key).steps(*INGEST)

    def train(self, model: str, key: str, **how: Any) -> Run:
        """A training that a person asks for, up to its registration."""
        run = self.open(model, "train", key, run_type="manual", **how)
        run.steps(*TRAIN)
        return run

    def champion(self, model: str, key: str, **how: Any) -> int:
        """Trains and deploys; returns the version that serves."""
        self.train(model, key, **how)
        deployed = self.open(model, "deploy", key).steps(*DEPLOY)
        version: int = deployed["settle"].output["version"]
        return version


class Run:
    """One DAG run of a resource's stage."""

    def __init__(
        self, world: World, resource: str, stage: str, key: str, *, run_type: str = "asset_triggered",
        conf: Mapping[str, Any] | None = None, actor: str = "evergreen",
    ) -> None:  # fmt: skip
        self.world, self.resource, self.key = world, resource, key
        self.kind: Any = {"ingest": "dataset", "build": "feature_view"}.get(stage, "model")
        self.ref = RunRef(
            dag_id=f"{resource}.{stage}", run_id=f"{run_type}__{key}__{next(world._numbers)}", run_type=run_type
        )
        self.conf, self.actor = dict(conf or {}), actor
        self.outputs: dict[str, dict[str, Any]] = {}

    def input(self, step: str) -> StepInput:
        """What the operator would call the step with now."""
        run = open_run(
            self.world.settings, kind=self.kind, resource=self.resource, run=self.ref, partition_key=self.key
        )
        return StepInput(
            step=step, kind=self.kind, resource=self.resource, as_of=run.as_of, workspace=run.workspace, run=self.ref,
            inputs=dict(self.outputs), conf=self.conf, actor=self.actor,
        )  # fmt: skip

    def step(self, step: str) -> StepResult:
        """Calls the step here; what it gives is handed on to those after it."""
        inp = self.input(step)
        result = run_step(inp.model_copy(update={"inputs": {k: v for k, v in inp.inputs.items() if k != step}}),
                          self.world.settings)  # fmt: skip
        if result.skip is None:
            self.outputs[step] = result.output
        return result

    def steps(self, *names: str) -> dict[str, StepResult]:
        """Calls steps in order; a skip ends it, as it skips what follows in a DAG."""
        results: dict[str, StepResult] = {}
        for name in names:
            results[name] = self.step(name)
            if results[name].skip is not None:
                break
        return results

    def fork(self, step: str, **environment: str) -> Forked:
        return self.world.forge.start(self.input(step), {**self.world.environment, **environment})

    def kill(self, step: str, point: str) -> None:
        """Calls the step in a process that kills itself at the point."""
        assert self.fork(step, EVERGREEN_KILL_AT=point).wait() == -signal.SIGKILL, f"{point} was not reached"

    def stop(self, step: str, point: str) -> Forked:
        """Calls the step in a process that stops at the point, and waits until it has."""
        forked = self.fork(step, EVERGREEN_STOP_AT=point)
        assert forked.wait(stopped=True) == "stopped", f"{point} was not reached"
        return forked

    def drill(self, step: str, points: Sequence[str]) -> StepResult:
        """Calls the step again and again, killed at each of the points in turn; the last call is left alone."""
        for point in points:
            self.kill(step, point)
        return self.step(step)


def content(world: World, name: str) -> dict[str, Any]:
    """All that a reader of the lake and of the store can see of a dataset."""
    quarantine = world.lake.table(f"quarantine/{name}").read().to_pylist()
    counts = RowCounts(world.store).of(name)
    return {
        "versions": world.lake.table(f"datasets/{name}").read_versions().to_pylist(),
        "quarantine": sorted(({**row, "source": None} for row in quarantine), key=str),
        "counts": [
            (c.as_of, c.rows_read, c.good, c.quarantined, c.superseded,
             {**c.details, "content": None, "fingerprint": None}) for c in counts
        ],
    }  # fmt: skip


def state(world: World, model: str) -> dict[str, Any]:
    """All that the store and MLflow say of a model, in counts and versions."""
    tracking = Tracking(world.settings.mlflow_uri)
    (training,) = Trainings(world.store).of(model)
    ledger = Ledger(world.store)
    assert ledger.verify_chain(model) == []
    return {
        "requests": [request.state for request in Requests(world.store).of(model)],
        "gate": [decision.verdict for decision in Decisions(world.store).of(model)],
        "adopted": training.adopted_version,
        "versions": tracking.versions_of_training(model, training.training_id),
        "pins": {table for table, _ in Pins(world.store).of(training.training_id)},
        "training set": training.training_set,
        "ledger": [(entry.seq, entry.version, entry.action) for entry in ledger.entries(model)],
        "aliases": tracking.aliases(model),
    }
