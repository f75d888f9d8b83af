"""Point-in-time join of a million keys against 20 million versions, against pandas ``merge_asof`` on event time alone.

Each side sorts its own input, runs in a process of its own, and is measured by time and by the most memory that it held
beyond its input.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from statistics import median
from typing import Any

KEYS, VERSIONS, RUNS = 1_000_000, 20_000_000, 3


def run() -> dict[str, Any]:
    """Medians of runs in turns, and their ratio; memory too."""
    done: dict[str, list[dict[str, float]]] = {"ours": [], "peer": []}
    for _ in range(RUNS):
        for side, results in done.items():
            made = subprocess.run([sys.executable, __file__, side], stdout=subprocess.PIPE, check=True, text=True)
            results.append(json.loads(made.stdout.splitlines()[-1]))
    ours, peer = (median(each["seconds"] for each in done[side]) for side in ("ours", "peer"))
    held, peers = (median(each["mb"] for each in done[side]) for side in ("ours", "peer"))
    print(f"asof_join_large: ours held {held:,.0f} MB beyond its input, the peer {peers:,.0f}", file=sys.stderr)
    return {
        "name": "asof_join_large", "ours": ours, "peer": peer, "peer_name": "pandas.merge_asof, sorting",
        "ratio": ours / peer, "unit": "s", "memory_mb": held, "peer_memory_mb": peers,
    }  # fmt: skip


def _measured(side: str) -> dict[str, float]:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from train_overhead import Peak

    from evergreen.features.join import point_in_time

    dice, hour, year = np.random.default_rng(7), 3_600_000_000, 365 * 24 * 3_600_000_000
    event, instant = dice.integers(0, year, VERSIONS), pa.timestamp("us", tz="UTC")
    rows = {"entity": dice.integers(0, KEYS, VERSIONS), "value": dice.normal(size=VERSIONS)}
    asked = {"entity": dice.permutation(KEYS), "time": dice.integers(0, year, KEYS)}
    if side == "ours":
        known = event + dice.integers(0, 72 * hour, VERSIONS)
        versions = pa.table({
            **rows, "_event_time": pa.array(event).cast(instant), "_known_at": pa.array(known).cast(instant),
            "_deleted": np.zeros(VERSIONS, dtype=bool), "_commit": np.ones(VERSIONS, dtype=np.int64),
        })  # fmt: skip
        queries = pa.table({"entity": asked["entity"], "time": pa.array(asked["time"]).cast(instant)})
        del known, event, rows
        with Peak() as peak:
            start = time.perf_counter()
            point_in_time(queries, "time", versions, ["entity"], ["value"], None)
            seconds = time.perf_counter() - start
        return {"seconds": seconds, "mb": peak.mb}
    left = pd.DataFrame({"entity": asked["entity"], "time": pd.to_datetime(asked["time"], unit="us")})
    right = pd.DataFrame({**rows, "time": pd.to_datetime(event, unit="us")})
    del event, rows
    with Peak() as peak:
        start = time.perf_counter()
        pd.merge_asof(left.sort_values("time"), right.sort_values("time"), on="time", by="entity")
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "mb": peak.mb}


if __name__ == "__main__":
    print(json.dumps(_measured(sys.argv[1]) if len(sys.argv) > 1 else run()))
