"""Twenty million rows from a CSV file of two gigabytes: read, validated, published, built; each step in a process.

Memory is the most that any step's process held, modules included. The time of the steps together, with heavy modules
loaded before as a worker finds them, stands against DuckDB that reads the same file, runs the same checks, computes the
same features and writes both as Parquet, with as many threads.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from world import World, servers

ROWS, AT_ONCE = int(os.environ.get("EVERGREEN_BENCH_ROWS", "20000000")), 500_000
BEGIN, PERIOD = datetime(2015, 1, 5, tzinfo=UTC), timedelta(days=7)
KEY = f"{BEGIN + PERIOD:%Y-%m-%d}"
FLOATS = [f"x{number}" for number in range(8)]
PLACES = ("harbour", "station", "airport", "market", "bridge")
MEMORY_MB = 2048
STEPS = (("ingest", "read"), ("ingest", "validate"), ("ingest", "publish"), ("build", "build"), ("build", "publish"))

DATASET = {
    "source": {"path": "{as_of}.csv"},
    "schedule": {"cron": "0 0 * * 1"},
    "columns": {"moment": "timestamp", "meter": "string", "place": "string", **dict.fromkeys(FLOATS, "float")},
    "event_time": "moment",
    "entity": ["meter"],
    "availability_delay": "1h",
    "max_quarantined": 0.01,
    "expectations": [
        {"expect": "column_values_to_not_be_null", "column": "x0"},
        {"expect": "column_values_to_be_between", "column": "x1", "args": {"min_value": 0, "max_value": 99.999}},
        {"expect": "column_values_to_be_in_set", "column": "place", "args": {"value_set": list(PLACES)}},
        {"expect": "column_mean_to_be_between", "column": "x2", "args": {"min_value": 40, "max_value": 60}},
    ],
}  # fmt: skip
VIEW = {
    "reads": ["meters"],
    "entity": ["meter"],
    "timestamp": "moment",
    "transform": "shares.sql",
    "availability_delay": "1h",
    "outputs": {"total": {"type": "float"}, "share": {"type": "float"}},
}
SHARES = "SELECT meter, moment, x0 + x1 AS total, x0 / (x0 + x1 + 1) AS share FROM meters WHERE moment >= $start"


def run() -> list[dict[str, Any]]:
    """Peak memory and seconds of the steps, and of DuckDB."""
    with (
        tempfile.TemporaryDirectory(prefix="evergreen-bench-") as scratch,
        servers(Path(scratch)) as (postgres, mlflow),
    ):
        world = World(Path(scratch) / "world", postgres.create_database("world"), mlflow)
        world.write("datasets/meters.yaml", DATASET)
        world.write("features/shares.yaml", VIEW)
        world.write("features/shares.sql", SHARES)
        file = Path(world.settings.landing) / f"{KEY}.csv"
        began = time.perf_counter()
        _write(file)
        for name in ("great_expectations.expectations", "deltalake", "duckdb", "pandas", "pyarrow.dataset"):
            importlib.import_module(name)
        say(f"{ROWS:,} rows, {file.stat().st_size / 1e9:.1f} GB, laid in {time.perf_counter() - began:.0f} s")
        seconds, most, runs = 0.0, 0.0, {}
        for stage, step in STEPS:
            resource_name = "meters" if stage == "ingest" else "shares"
            if stage not in runs:
                runs[stage] = world.start(resource_name, stage, KEY)
            took, peak = _apart(runs[stage], step)
            seconds, most = seconds + took, max(most, peak)
            say(f"{stage} {step}: {took:.1f} s, {peak:,.0f} MB")
        took, peak = _forked(lambda: _peer(file, Path(scratch) / "peer"))
        say(f"DuckDB: {took:.1f} s, {peak:,.0f} MB")
    memory = {"name": "ingest_peak_memory", "ours": most, "peer": MEMORY_MB, "peer_name": "what it may hold",
              "ratio": most / MEMORY_MB, "unit": "MB", "rows": ROWS}  # fmt: skip
    speed = {"name": "ingest_speed", "ours": seconds, "peer": took, "peer_name": "DuckDB: read, check, compute, write",
             "ratio": seconds / took, "unit": "s", "rows": ROWS}  # fmt: skip
    return [memory, speed]


def say(text: str) -> None:
    """To stderr, at once."""
    print(f"ingest: {text}", file=sys.stderr, flush=True)


def _apart(run: Any, step: str) -> tuple[float, float]:
    """Calls a step in a process of its own; gives its seconds and its peak in megabytes."""
    return _forked(lambda: run.step(step), lambda output: run.outputs.__setitem__(step, output))


def _forked(work: Any, take: Any = None) -> tuple[float, float]:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        start = time.perf_counter()
        output = work()
        told = {
            "seconds": time.perf_counter() - start, "output": output,
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }  # fmt: skip
        with os.fdopen(write, "w") as stream:
            json.dump(told, stream)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        told = json.load(stream)
    os.waitpid(child, 0)
    if take is not None:
        take(told["output"])
    return told["seconds"], told["peak"]


def _write(file: Path) -> None:
    """The rows in the order of time, as a logger writes them; one in 100,000 breaks an expectation."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import csv

    file.parent.mkdir(parents=True, exist_ok=True)
    step = PERIOD / ROWS
    with file.open("wb") as stream:
        for first in range(0, ROWS, AT_ONCE):
            dice, count = np.random.default_rng(first), min(AT_ONCE, ROWS - first)
            number = np.arange(first, first + count)
            ticks = int(BEGIN.timestamp() * 1e6) + (number * (step / timedelta(microseconds=1))).astype("int64")
            moment = pa.array(ticks).cast(pa.timestamp("us")).cast(pa.string())
            values = {name: np.round(dice.uniform(0, 99.9, count), 4) for name in FLOATS}
            values["x1"][number % 100_000 == 7] = 1000.0
            meter = pa.DictionaryArray.from_arrays(pa.array(number % 50_000), [f"meter-{n:05d}" for n in range(50_000)])
            place = pa.DictionaryArray.from_arrays(pa.array(number % len(PLACES)), list(PLACES))
            table = pa.table(
                {"moment": moment, "meter": meter.cast(pa.string()), "place": place.cast(pa.string()), **values}
            )
            csv.write_csv(table, stream, csv.WriteOptions(include_header=not first, quoting_style="none"))


def _peer(file: Path, folder: Path) -> None:
    import duckdb

    folder.mkdir()
    with duckdb.connect(str(folder / "peer.duckdb"), config={"threads": 2, "memory_limit": "2GB"}) as connection:
        types = {"moment": "TIMESTAMP", "meter": "VARCHAR", "place": "VARCHAR", **dict.fromkeys(FLOATS, "DOUBLE")}
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in types.items())
        places = ", ".join(f"'{place}'" for place in PLACES)
        good = f"x0 IS NOT NULL AND x1 BETWEEN 0 AND 99.999 AND place IN ({places})"
        source = f"read_csv('{file}', header = true, columns = {{{columns}}})"
        connection.execute(f"CREATE TABLE rows AS SELECT *, {good} AS good FROM {source}")
        mean, bad = connection.execute("SELECT avg(x2), count(*) FILTER (NOT good) FROM rows").fetchall()[0]
        assert 40 < mean < 60 and bad <= ROWS / 100
        kept = "SELECT * EXCLUDE good FROM rows WHERE good"
        connection.execute(f"COPY ({kept}) TO '{folder}/rows.parquet' (COMPRESSION zstd)")
        start = f"TIMESTAMP '{BEGIN:%Y-%m-%d}'"
        shares = (
            f"SELECT meter, moment, x0 + x1 AS total, x0 / (x0 + x1 + 1) AS share FROM ({kept}) WHERE moment >= {start}"
        )
        connection.execute(f"COPY ({shares}) TO '{folder}/shares.parquet' (COMPRESSION zstd)")


if __name__ == "__main__":
    print(json.dumps(run()))
