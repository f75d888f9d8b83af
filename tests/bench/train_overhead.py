"""The whole step ``train`` of two million rows against LightGBM alone on the same matrix.

Both fit 100 trees of 31 leaves on 20 columns with as many threads. The step reads its rows from the lake as they were
known, keeps the training set, encodes it, fits, judges its test part, keeps the bundle and logs to MLflow. The heavy
modules are loaded before, as a worker finds them.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from world import World, servers

ROWS, PERIODS, COLUMNS, TREES, LEAVES = 2_000_000, 40, 20, 100, 31
BEGIN, DAY = datetime(2015, 1, 1, tzinfo=UTC), timedelta(days=1)
NAMES = [f"x{number:02d}" for number in range(COLUMNS)]

LOOKED_UP = (
    ("evergreen.training.environment", "environment"),
    ("mlflow.utils.requirements_utils", "_init_modules_to_packages_map"),
)

DATASET = {
    "source": {"path": "{as_of}.csv"},
    "schedule": {"cron": "0 0 * * *"},
    "columns": {"moment": "timestamp", "number": "int", **dict.fromkeys(NAMES, "float"), "late": "bool"},
    "event_time": "moment",
    "entity": ["number"],
    "availability_delay": "1h",
}
MODEL = {
    "task": "binary",
    "label": {"dataset": "trips", "column": "late"},
    "request": NAMES,
    "window": f"{PERIODS}d",
    "split": {"test": "2d", "validation": "2d"},
    "trainer": {
        "kind": "lightgbm", "rounds": TREES, "early_stopping_rounds": TREES, "threads": 2,
        "params": {"num_leaves": LEAVES},
    },
    "gate": {"min_rows": 50},
    "retraining": {"min_history": "7d"},
}  # fmt: skip


def run() -> dict[str, Any]:
    """Seconds of the step and of the library alone, and their ratio; tells more on stderr."""
    with (
        tempfile.TemporaryDirectory(prefix="evergreen-bench-") as scratch,
        servers(Path(scratch)) as (postgres, mlflow),
    ):
        world = World(Path(scratch) / "world", postgres.create_database("world"), mlflow)
        world.write("datasets/trips.yaml", DATASET)
        world.write("models/tardy.yaml", MODEL)
        began = time.perf_counter()
        _forge(world)
        print(f"train_overhead: {ROWS:,} rows laid in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        key = f"{BEGIN + PERIODS * DAY:%Y-%m-%d}"
        for name in ("lightgbm", "sklearn.metrics", "mlflow.lightgbm", "pandas"):
            importlib.import_module(name)
        for module, name in LOOKED_UP:
            getattr(importlib.import_module(module), name)()
        with Peak() as peak:
            claimed = world.start("tardy", "train", key, run_type="manual")
            claimed.step("claim")
            start = time.perf_counter()
            made = claimed.step("train")
            ours = time.perf_counter() - start
        matrix, labels, size = _matrix(world, made["training_set"])
        peer = median(_alone(matrix, labels) for _ in range(3))
    print(
        f"train_overhead: the step {ours:.1f} s, LightGBM alone {peer:.1f} s on {len(labels):,} rows; the "
        f"peak was {peak.mb:,.0f} MB more than before, {peak.mb / size:.1f} times the frame's {size:,.0f} MB",
        file=sys.stderr,
    )
    return {
        "name": "train_overhead", "ours": ours, "peer": peer, "peer_name": "lightgbm.Dataset and lightgbm.train",
        "ratio": ours / peer, "unit": "s", "rows": ROWS, "peak_mb": peak.mb, "frame_mb": size,
    }  # fmt: skip


class Peak:
    """The most memory that this process held within a block, beyond what it held before."""

    def __enter__(self) -> Peak:
        self._before, self._most, self._over = _resident_mb(), 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def mb(self) -> float:
        """In megabytes."""
        return self._most - self._before

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self._most = max(self._most, _resident_mb())


def _resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _forge(world: World) -> None:
    """Publishes the periods as ingestion leaves them."""
    import numpy as np
    import pyarrow as pa

    from evergreen.ingest import load  # noqa: F401  what ingestion imports, so that the peak is the step's own
    from evergreen.lake.rows import with_system_columns
    from evergreen.steps.context import StepContext
    from evergreen.steps.contract import RunRef, StepInput
    from evergreen.steps.run import open_run
    from evergreen.steps.tables import table_of
    from evergreen.store.coverage import Coverage
    from evergreen.store.resources import Seen

    ref = RunRef(dag_id="trips.ingest", run_id="forged")
    key = f"{BEGIN + DAY:%Y-%m-%d}"
    run = open_run(world.settings, kind="dataset", resource="trips", run=ref, partition_key=key)
    inp = StepInput(step="read", kind="dataset", resource="trips", as_of=key, workspace=run.workspace, run=ref)
    table = table_of(StepContext(inp, world.settings), "dataset", "trips")
    each, stamp = ROWS // PERIODS, pa.timestamp("us", tz="UTC")
    for period in range(PERIODS):
        dice = np.random.default_rng(period)
        key, end = f"{BEGIN + (period + 1) * DAY:%Y-%m-%d}", BEGIN + (period + 1) * DAY
        start = int((BEGIN + period * DAY).timestamp() * 1e6)
        moments = pa.array(np.sort(start + dice.integers(0, 86_400_000_000, each))).cast(stamp)
        values = {name: dice.normal(size=each) for name in NAMES}
        score = sum(values[name] * (number % 5) for number, name in enumerate(NAMES)) + dice.normal(0, 8, each)
        rows = pa.table({"moment": moments, "number": np.arange(each), **values, "late": score > 0})
        known = pa.array(np.asarray(moments.cast("int64")) + 3_600_000_000).cast(stamp)
        rows = with_system_columns(rows, identity=["number", "moment"], event_time="moment", known_at=known, as_of=key)
        world.lake.table(table).append_versions(rows, tag=f"forged {period}", until=end, as_of=key)
        planned = {"table": table, "as_of": key, "as_of_time": end, "step_key": key, "reading": "",
                   "event_from": end - DAY, "event_to": end, "details": {}}  # fmt: skip
        Coverage(world.store).plan([planned], expected={})
        Coverage(world.store).finish(table, {key: key})
        Seen(world.store).note_as_of("trips", key, end)


def _matrix(world: World, sha: str) -> tuple[Any, Any, float]:
    """What the step fitted, as LightGBM takes it, and the whole frame's size in megabytes."""
    import numpy as np
    import pyarrow.compute as pc

    from evergreen.lake import trainingsets

    frame = trainingsets.get(world.lake, sha)
    size = frame.nbytes / 2**20
    frame = frame.filter(pc.less(frame["_event_time"], BEGIN + (PERIODS - 4) * DAY))
    return np.column_stack([frame[name].to_numpy() for name in NAMES]), frame["_label"].to_numpy(), size


def _alone(matrix: Any, labels: Any) -> float:
    import lightgbm

    params = {"objective": "binary", "num_leaves": LEAVES, "num_threads": 2, "deterministic": True,
              "force_row_wise": True, "verbosity": -1, "seed": 1}  # fmt: skip
    start = time.perf_counter()
    data = lightgbm.Dataset(matrix, labels, params=params)
    lightgbm.train(params, data, TREES)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps(run()))
