"""Point-in-time join on event and known time, against pandas ``merge_asof`` on event time alone.

The peer gets DataFrames that are sorted already, as it demands; ours takes and gives Arrow tables, in any order.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from statistics import median

QUERIES, ROWS, ENTITIES, RUNS = 100_000, 200_000, 1_000, 15


def run() -> dict[str, object]:
    """Medians of interleaved runs: ``{"name", "ours", "peer", "peer_name", "ratio", "unit"}``."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from evergreen.features.join import point_in_time

    random = np.random.default_rng(7)
    hour, year = 3_600_000_000, 365 * 24 * 3_600_000_000
    event = np.sort(random.integers(0, year, ROWS))
    instant = pa.timestamp("us", tz="UTC")
    rows = pa.table(
        {
            "entity": random.integers(0, ENTITIES, ROWS),
            "value": random.normal(size=ROWS),
            "_event_time": pa.array(event).cast(instant),
            "_known_at": pa.array(event + random.integers(0, 72 * hour, ROWS)).cast(instant),
            "_deleted": np.zeros(ROWS, dtype=bool),
            "_commit": np.ones(ROWS, dtype=np.int64),
        }
    )
    queries = pa.table(
        {
            "entity": random.integers(0, ENTITIES, QUERIES),
            "time": pa.array(np.sort(random.integers(0, year, QUERIES))).cast(instant),
        }
    )
    left = queries.to_pandas()
    right = rows.select(["entity", "value", "_event_time"]).to_pandas().rename(columns={"_event_time": "time"})

    def ours() -> None:
        point_in_time(queries, "time", rows, ["entity"], ["value"], None)

    def peer() -> None:
        pd.merge_asof(left, right, on="time", by="entity")

    mine, theirs = [], []
    for _ in range(RUNS):
        mine.append(_seconds(ours))
        theirs.append(_seconds(peer))
    return {
        "name": "asof_join",
        "ours": median(mine),
        "peer": median(theirs),
        "peer_name": "pandas.merge_asof",
        "ratio": median(mine) / median(theirs),
        "unit": "s",
    }


def _seconds(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    print(json.dumps(run()))
