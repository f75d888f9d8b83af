"""A long life through the real scheduler: whether a period goes on costing what it cost when the window was first full.

One dataset, one materialized view, one LightGBM model that is trained on a window of periods and renewed twice within
it. A file is laid a period, all that comes of it is waited for, then housekeeping runs, as it does every night. The
periods after the window was first full and the model first trained are compared with as many at the end.

``LONG_LIFE_ROWS``, ``LONG_LIFE_PERIODS`` and ``LONG_LIFE_WINDOW`` make it smaller, ``LONG_LIFE_PLOT`` says where the
picture goes: of the full size to the page that shows it, of any other below ``.evergreen/bench``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import yaml
from life_overhead import PROJECT, copy_project, running
from task_memory import TaskMemory
from world import HABITS, HABITS_SQL

from evergreen.replay.example import Example

FULL = {"ROWS": 500_000, "PERIODS": 60, "WINDOW": 10}
SIZE = {name: int(os.environ.get(f"LONG_LIFE_{name}", number)) for name, number in FULL.items()}
ROWS, PERIODS, WINDOW = SIZE.values()
CUSTOMERS = max(1, ROWS // 10)
PATIENCE_SECONDS = 3600
BEGIN, DAY = datetime(2015, 1, 1, tzinfo=UTC), timedelta(days=1)
PICTURE = PROJECT / ("docs/explanation/long-life.svg" if SIZE == FULL else ".evergreen/bench/long-life.svg")

DATASET = {
    "source": {"path": "trips/{as_of}.csv"},
    "schedule": {"cron": "0 0 * * *"},
    "columns": {
        "moment": "timestamp", "customer": "int", "load": "float", "wind": "float", "price": "float", "late": "bool",
    },
    "event_time": "moment",
    "entity": ["customer"],
    "availability_delay": "1h",
    "expectations": [{"expect": "column_values_to_be_between", "column": "wind", "args": {"max_value": 200}}],
}  # fmt: skip
MODEL = {
    "task": "binary",
    "label": {"dataset": "trips", "column": "late", "delay": "1h"},
    "features": ["habits"],
    "request": ["customer", "load", "wind", "price"],
    "exclude": ["customer"],
    "window": f"{WINDOW}d",
    "split": {"test": "1d", "validation": "1d"},
    "trainer": {"kind": "lightgbm", "rounds": 20, "threads": 2},
    # Every candidate is accepted and only the calendar asks for one, so that as many are made early as late.
    "gate": {"min_rows": 50, "tolerance": 1},
    "retraining": {
        "every": f"{max(1, WINDOW // 2)}d", "min_history": f"{max(4, WINDOW // 2)}d",
        "drift": False, "decay": None, "code": False,
    },
}  # fmt: skip


class Trips(Example):
    """Made up: as many rows in every period, all of the same kind."""

    name = "long_life"
    model = "tardy"
    datasets = ("trips",)
    first_training = ""
    requests_per_period = 0

    def __init__(self) -> None:
        self.keys = [f"{BEGIN + (number + 1) * DAY:%Y-%m-%d}" for number in range(PERIODS)]

    def lay(self, key: str, landing: Path) -> list[tuple[str, str]]:
        """Writes the period's file."""
        import pyarrow.csv

        path = landing / "trips" / f"{key}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".tmp")
        pyarrow.csv.write_csv(_trips(self.keys.index(key)), scratch)
        scratch.rename(path)
        return [("trips", key)]


class Period(NamedTuple):
    """What a period took. Megabytes are resident, of the tasks' processes."""

    key: str
    wall_s: float
    tasks_s: float
    one_mb: float
    together_mb: float
    lake_mb: float
    stages_s: dict[str, float]
    champion: int | None
    is_renewed: bool
    housekeeping_s: float
    housekeeping_mb: float


def run() -> dict[str, Any]:
    """The worst of the ratios of time and memory; tells each period on stderr, and draws the series."""
    if PERIODS < 3 * WINDOW:
        raise SystemExit(f"long_life: LONG_LIFE_PERIODS must be at least three windows of {WINDOW}, got {PERIODS}")
    with tempfile.TemporaryDirectory(prefix="evergreen-bench-") as scratch:
        folder = Path(scratch)
        workspace, project = _workspace(folder / "workspace"), copy_project(folder / "project")
        with running(folder, workspace, project, extra_env={"EVERGREEN_HOUSEKEEPING": ""}) as stack:
            periods = _live(stack, workspace)
    return report(periods)


def report(periods: Sequence[Period]) -> dict[str, Any]:
    """The result and the picture of a life's periods."""
    first, last = compared(periods)
    early, late = periods[first], periods[last]
    ratios = {
        "wall": _sum(late, "wall_s") / _sum(early, "wall_s"),
        "tasks": _sum(late, "tasks_s") / _sum(early, "tasks_s"),
        "memory of one task": _most(late, "one_mb") / _most(early, "one_mb"),
        "memory of all tasks": _most(late, "together_mb") / _most(early, "together_mb"),
    }
    beside = {
        "housekeeping": _sum(late, "housekeeping_s") / _sum(early, "housekeeping_s"),
        "median wall": median(each.wall_s for each in late) / median(each.wall_s for each in early),
    }
    picture = Path(os.environ.get("LONG_LIFE_PLOT", PICTURE))
    draw(periods, first, last, picture)
    numbers = [f"{part.start + 1} to {part.stop} ({_renewed(periods[part])} renewals)" for part in (first, last)]
    told, aside = (", ".join(f"{name} {ratio:.2f}" for name, ratio in each.items()) for each in (ratios, beside))
    _say(f"periods {numbers[1]} against {numbers[0]}: {told}; not judged: {aside}; drawn in {picture}")
    return {
        "name": "long_life", "ours": _sum(late, "wall_s") / WINDOW, "peer": _sum(early, "wall_s") / WINDOW,
        "peer_name": f"periods {first.start + 1} to {first.stop} of {PERIODS}", "ratio": max(ratios.values()),
        "unit": "s", "rows": ROWS, "window": WINDOW, "ratios": ratios, "not_judged": beside,
        "peak_mb": {"first": _most(early, "together_mb"), "last": _most(late, "together_mb")},
        "compared": {"first": [first.start + 1, first.stop], "last": [last.start + 1, last.stop]},
        "periods": [period._asdict() for period in periods],
    }  # fmt: skip


def compared(periods: Sequence[Period]) -> tuple[slice, slice]:
    """Where the early and the late periods stand; each as many as the window has."""
    trained = next((number for number, period in enumerate(periods, start=1) if period.champion is not None), None)
    start = max(WINDOW, trained or PERIODS)
    if start + 2 * WINDOW > PERIODS:
        raise RuntimeError(f"the first model was there after {trained} of {PERIODS} periods: too late to compare")
    return slice(start, start + WINDOW), slice(PERIODS - WINDOW, PERIODS)


def _live(stack: Any, folder: Path) -> list[Period]:
    from evergreen.replay.airflow_api import AirflowApi
    from evergreen.replay.demo import Life
    from evergreen.settings import Settings
    from evergreen.spec.loading import load
    from evergreen.store.ledger import Ledger
    from evergreen.store.store import Store

    settings = Settings.from_env(stack.env)
    api = AirflowApi(
        stack.airflow_url, stack.airflow_user, stack.airflow_password, poll_seconds=0.5,
        patience_seconds=PATIENCE_SECONDS,
    )  # fmt: skip
    store, example = Store(settings.store_url), Trips()
    life = Life(example, load(folder), api, store, Path(settings.landing), None, _say)
    api.wait_for_dags(life.dags() | {"evergreen.housekeeping"})
    ledger, periods = Ledger(store), []
    with TaskMemory(stack.state.parts["scheduler"].pid) as memory:
        for number, key in enumerate(example.keys, start=1):
            example.lay(key, life.landing)
            memory.take()
            began = datetime.now(UTC)
            life.live(key)
            stages, end = _stages(api, sorted(life.dags()), key)
            most = memory.take()
            tidied = api.trigger("evergreen.housekeeping")
            api.wait_for_run("evergreen.housekeeping", tidied)
            champion = ledger.champion(example.model)
            periods.append(Period(
                key, (end - began).total_seconds(), sum(stages.values()), most.one, most.together,
                _megabytes(Path(settings.lake)), stages, None if champion is None else champion.version,
                champion is not None and champion.as_of == key,
                sum(_durations(api, "evergreen.housekeeping", tidied)), memory.take().one,
            ))  # fmt: skip
            _say(f"{number}: {json.dumps(periods[-1]._asdict())}")
    api.close()
    return periods


def _stages(api: Any, dags: Sequence[str], key: str) -> tuple[dict[str, float], datetime]:
    """Seconds of all tasks of a period by stage, once all its runs have ended, and the last one's end."""
    stages: dict[str, float] = {}
    ends = []
    for dag in dags:
        if not api.runs(dag, key):
            continue
        api.wait_for_key(dag, key)
        for each in api.runs(dag, key):
            ends.append(datetime.fromisoformat(each["end_date"]))
            stage = dag.rpartition(".")[2]
            stages[stage] = stages.get(stage, 0.0) + sum(_durations(api, dag, each["dag_run_id"]))
    return stages, max(ends)


def _durations(api: Any, dag: str, run_id: str) -> list[float]:
    tasks = api.get(f"/dags/{dag}/dagRuns/{run_id}/taskInstances")["task_instances"]
    return [task["duration"] or 0.0 for task in tasks]


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def _sum(periods: Sequence[Period], name: str) -> float:
    return sum(getattr(period, name) for period in periods)


def _most(periods: Sequence[Period], name: str) -> float:
    return max(getattr(period, name) for period in periods)


def _renewed(periods: Sequence[Period]) -> int:
    return sum(period.is_renewed for period in periods)


def draw(periods: Sequence[Period], first: slice, last: slice, path: Path) -> None:
    """Seconds, memory and the lake's size by period, the compared ones shaded, renewals marked; as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "long_life"  # the same figures give the same file
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(3, 1, figsize=(9, 8), sharex=True, layout="constrained")
    numbers = range(1, len(periods) + 1)
    lines = (
        ("seconds", (("wall_s", "file to end", 1), ("tasks_s", "tasks, summed", 1), ("housekeeping_s", "tidying", 1))),
        ("GB resident", (("together_mb", "all tasks", 1024), ("one_mb", "largest task", 1024))),
        ("GB on disk", (("lake_mb", "lake", 1024),)),
    )
    for panel, (unit, series) in zip(panels, lines, strict=True):
        for name, label, scale in series:
            panel.plot(numbers, [getattr(period, name) / scale for period in periods], marker=".", label=label)
        for part in (first, last):
            panel.axvspan(part.start + 0.5, part.stop + 0.5, color="#2c7a4b", alpha=0.1, linewidth=0)
        panel.set_ylabel(unit)
        panel.set_ylim(0, 1.25 * panel.get_ylim()[1])  # room for the legend
        panel.grid(alpha=0.3)
        panel.legend(loc="upper left", ncols=len(series))
    renewed = [number for number, period in zip(numbers, periods, strict=True) if period.is_renewed]
    panels[0].plot(renewed, [0] * len(renewed), "^", color="#2c7a4b", clip_on=False)
    panels[0].set_title(f"{PERIODS} periods of {ROWS:,} rows, window of {WINDOW} (triangles: the model was renewed)")
    panels[-1].set_xlabel("period")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _trips(number: int) -> Any:
    import numpy as np
    import pyarrow as pa

    dice = np.random.default_rng(number)
    start = int((BEGIN + number * DAY).timestamp() * 1e6)
    moments = start + np.sort(dice.choice(86_400_000, ROWS, replace=False)) * 1000
    load, wind = dice.random(ROWS), 20 * dice.random(ROWS)
    return pa.table({
        "moment": pa.array(moments).cast(pa.timestamp("us", tz="UTC")),
        "customer": dice.integers(0, CUSTOMERS, ROWS), "load": load, "wind": wind,
        "price": dice.gamma(2.0, 10.0, ROWS).round(2), "late": load + wind / 40 + dice.normal(0, 0.25, ROWS) > 0.8,
    })  # fmt: skip


def _workspace(folder: Path) -> Path:
    from evergreen.errors import SpecErrors
    from evergreen.spec.loading import load

    files = {"datasets/trips.yaml": DATASET, "features/habits.yaml": HABITS, "models/tardy.yaml": MODEL}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False))
    (folder / "features/habits.sql").write_text(HABITS_SQL)
    errors = load(folder).errors
    if errors:
        raise SpecErrors(errors)
    return folder


def _say(text: str) -> None:
    print(f"long_life: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that nothing is left running
    began = time.monotonic()
    result = run()
    _say(f"{PERIODS} periods took {time.monotonic() - began:.0f} s")
    print(json.dumps(result))
