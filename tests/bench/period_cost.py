"""What a period costs after a long history against after a short one: ingest, build, monitor and decide.

Two lives with the same new rows: one after 30 periods of 10,000 rows, one after as many as are asked for. The history
is written into lake and store as the steps leave it, a commit a period, one row in a hundred late by up to a week; each
day ends with housekeeping.
"""

from __future__ import annotations

import csv
import io
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from world import HABITS, HABITS_SQL, World, servers

SHORT, ROWS, CUSTOMERS, MEASURED = 30, 10_000, 50_000, 5
BEGIN = datetime(2015, 1, 1, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)

DATASET = {
    "source": {"path": "{as_of}.csv"},
    "schedule": {"cron": "0 0 * * *"},
    "columns": {"moment": "timestamp", "customer": "int", "load": "float", "wind": "float", "late": "bool"},
    "event_time": "moment",
    "entity": ["customer"],
    "late_window": "7d",
    "availability_delay": "1h",
    "expectations": [{"expect": "column_values_to_be_between", "column": "wind", "args": {"max_value": 200}}],
}
MODEL = {
    "task": "binary",
    "label": {"dataset": "trips", "column": "late", "delay": "1d"},
    "features": ["habits"],
    "request": ["customer", "load", "wind"],
    "exclude": ["customer"],
    "window": "14d",
    "split": {"test": "4d", "validation": "2d"},
    "trainer": {"kind": "lightgbm", "rounds": 20, "threads": 1},
    "gate": {"min_rows": 50},
    "retraining": {"min_history": "7d"},
}


STAGES = (
    ("trips", "ingest", ("read", "validate", "publish")),
    ("habits", "build", ("build", "publish")),
    ("tardy", "monitor", ("monitor", "report", "decide", "ring")),
)


class Life:
    """One dataset, one view with an entity and without TTL, one model that serves."""

    def __init__(self, folder: Path, postgres: Any, mlflow: str, periods: int) -> None:
        self.world = World(folder, postgres.create_database(f"life_{periods}"), mlflow)
        self.periods = periods
        self.world.write("datasets/trips.yaml", DATASET)
        self.world.write("features/habits.yaml", HABITS)
        self.world.write("features/habits.sql", HABITS_SQL)
        self.world.write("models/tardy.yaml", MODEL)
        self.seconds: list[float] = []
        self.parts: dict[str, list[float]] = {}

    def live(self, number: int, *, measured: bool = True) -> None:
        """A period from its file to the retraining decision."""
        key = self.key(number)
        self._lay(number)
        began = time.perf_counter()
        for name, stage, steps in STAGES:
            start = time.perf_counter()
            self.world.run(name, stage, key, *steps)
            if measured:
                self.parts.setdefault(stage, []).append(time.perf_counter() - start)
        if measured:
            self.seconds.append(time.perf_counter() - began)

    def serve(self, number: int) -> None:
        """Trains and deploys a first champion."""
        key = self.key(number)
        self.world.run("tardy", "train", key, "claim", "train", "evaluate", "register", run_type="manual")
        done = self.world.run("tardy", "deploy", key, "verify", "roll_out", "settle")
        if "settle" not in done:
            raise RuntimeError(f"no champion: {done}")

    def key(self, number: int) -> str:
        """Of a period, counted from 0."""
        return f"{BEGIN + (number + 1) * DAY:%Y-%m-%d}"

    def forge(self, first: int, last: int) -> None:
        """Writes periods as the steps would have left them."""
        from evergreen.store.consumed import Consumed

        self._forge("datasets/trips", _trips, first, last)
        self._forge("features/habits", _habits, first, last)
        commit = self.world.lake.table("datasets/trips").version()
        Consumed(self.world.store).mark("features/habits", "datasets/trips", str(commit))

    def _forge(self, table: str, rows_of: Callable[[int, str], Any], first: int, last: int) -> None:
        import pyarrow as pa

        from evergreen.lake import delta
        from evergreen.store.coverage import Coverage

        root, path, coverage = self.world.lake.root, f"tables/{table}", Coverage(self.world.store)
        snapshot: Any = None
        for number in range(first, last):
            if number % 10 == 0 or snapshot is None:
                snapshot = delta.load(root, path)
            key, end = self.key(number), BEGIN + (number + 1) * DAY
            rows = rows_of(number, key)
            commit = snapshot.transaction("evergreen.commit") + 1
            rows = rows.append_column("_commit", pa.array([commit] * rows.num_rows, pa.int64()))
            tag = {"evergreen.tag": f"forged {number}"}
            snapshot.append(rows.select(snapshot.schema.names), {"evergreen.commit": commit}, tag)
            planned = {"table": table, "as_of": key, "as_of_time": end, "step_key": f"forged {number}", "reading": "",
                       "event_from": end - 8 * DAY, "event_to": end, "details": {}}  # fmt: skip
            coverage.plan([planned], expected={})
            coverage.finish(table, {key: f"forged {number}"})
            if self._tidy(table):
                snapshot = None

    def _tidy(self, table: str) -> bool:
        return bool(self.world.lake.upkeep(table).merge().files)

    def _lay(self, number: int) -> None:
        rows = _trips(number, self.key(number))
        text = io.StringIO()
        writer = csv.writer(text)
        names = ["moment", "customer", "load", "wind", "late"]
        writer.writerow(names)
        columns = [rows["moment"].cast("string").to_pylist(), *(rows[name].to_pylist() for name in names[1:])]
        writer.writerows(zip(*columns, strict=True))
        path = Path(self.world.settings.landing) / f"{self.key(number)}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.getvalue())


def _trips(number: int, key: str) -> Any:
    import numpy as np
    import pyarrow as pa

    dice = np.random.default_rng(number)
    stamp = pa.timestamp("us", tz="UTC")
    start, day = int((BEGIN + number * DAY).timestamp() * 1e6), int(DAY / timedelta(microseconds=1))
    events = start + dice.integers(0, day, ROWS)
    late = dice.random(ROWS) < 0.01 if number > 7 else np.zeros(ROWS, dtype=bool)
    events[late] -= dice.integers(0, 7 * day, int(late.sum()))
    known = np.where(late, start + day, events + day // 24)
    load, wind = dice.random(ROWS), 20 * dice.random(ROWS)
    user = pa.table({
        "customer": dice.integers(0, CUSTOMERS, ROWS), "moment": pa.array(events).cast(stamp), "load": load,
        "wind": wind, "late": load + wind / 40 + dice.normal(0, 0.25, ROWS) > 0.8,
    })  # fmt: skip
    return _system(user, pa.array(events).cast(stamp), pa.array(known).cast(stamp), key, dice)


def _habits(number: int, key: str) -> Any:
    import numpy as np
    import pyarrow as pa

    dice = np.random.default_rng(1_000_000 + number)
    customers = np.unique(dice.integers(0, CUSTOMERS, ROWS))
    n = len(customers)
    end = pa.array([int((BEGIN + (number + 1) * DAY).timestamp() * 1e6)] * n).cast(pa.timestamp("us", tz="UTC"))
    user = pa.table(
        {"customer": customers, "until": end, "trips_of": dice.integers(1, 4, n), "mean_load": dice.random(n)}
    )
    return _system(user, end, end, key, dice)


def _system(user: Any, events: Any, known: Any, key: str, dice: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    n = user.num_rows

    def digests() -> Any:
        places = np.arange(0, 32 * (n + 1), 32, dtype=np.int32)
        return pa.StringArray.from_buffers(n, pa.py_buffer(places), pa.py_buffer(dice.bytes(16 * n).hex().encode()))

    made = {"_row_id": digests(), "_row_hash": digests(), "_event_time": events, "_known_at": known,
            "_deleted": np.zeros(n, dtype=bool), "_as_of": pa.array([key] * n)}  # fmt: skip
    for name, column in made.items():
        user = user.append_column(name, column if not isinstance(column, np.ndarray) else pa.array(column))
    return user


def run(periods: int) -> dict[str, Any]:
    """Medians over new periods of both lives, and their ratio; tells more on stderr."""
    with (
        tempfile.TemporaryDirectory(prefix="evergreen-bench-") as scratch,
        servers(Path(scratch)) as (postgres, mlflow),
    ):
        lives = [Life(Path(scratch) / str(n), postgres, mlflow, n) for n in (SHORT, periods)]
        for life in lives:
            began = time.perf_counter()
            life.live(0, measured=False)
            life.forge(1, life.periods - 3)
            for number in range(life.periods - 3, life.periods):
                life.live(number, measured=False)
            life.serve(life.periods - 1)
            life.live(life.periods, measured=False)
            print(f"period_cost: {life.periods} periods made in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        for number in range(1, MEASURED + 1):
            for life in lives:
                life.live(life.periods + number)
        for life in lives:
            parts = ", ".join(f"{stage} {median(each):.2f}" for stage, each in life.parts.items())
            print(f"period_cost: after {life.periods} periods {median(life.seconds):.2f} s ({parts})", file=sys.stderr)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    short, long = (median(life.seconds) for life in lives)
    return {
        "name": "period_cost", "ours": long, "peer": short, "peer_name": f"the same after {SHORT} periods",
        "ratio": long / short, "unit": "s", "periods": periods, "peak_mb": peak,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 3_000)))
