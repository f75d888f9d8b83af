"""An append after 3,000 commits against one after 10, with housekeeping every 24 commits and nothing old enough to go.

Both tables take the same rows in turns: a period of 200 with two late ones, compared with what stands there of theirs.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

SHORT, LONG, ROWS, LATE, NIGHT, MEASURED = 10, 3_000, 200, 2, 24, 40
BEGIN, HOUR = datetime(2015, 1, 1, tzinfo=UTC), timedelta(hours=1)
KEEP = timedelta(days=30)


def run() -> dict[str, Any]:
    """Medians of appends in turns, and their ratio; tells more on stderr."""
    from evergreen.lake.lake import Lake

    with tempfile.TemporaryDirectory(prefix="evergreen-bench-") as folder:
        lakes = {count: Lake(Path(folder) / str(count)) for count in (SHORT, LONG)}
        began = time.perf_counter()
        for count, lake in lakes.items():
            for number in range(count):
                _append(lake, number, forge=True)
                if number % NIGHT == NIGHT - 1:
                    _night(lake)
        print(f"append_late: {SHORT + LONG} commits in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        seconds: dict[int, list[float]] = {SHORT: [], LONG: []}
        for number in range(MEASURED):
            for count, lake in lakes.items():
                start = time.perf_counter()
                _append(lake, count + number)
                seconds[count].append(time.perf_counter() - start)
            if number % NIGHT == NIGHT - 1:
                _night(lakes[LONG])
    short, long = (median(seconds[count]) for count in (SHORT, LONG))
    return {
        "name": "append_late", "ours": 1000 * long, "peer": 1000 * short,
        "peer_name": f"the same after {SHORT} commits", "ratio": long / short, "unit": "ms", "commits": LONG,
    }  # fmt: skip


def _night(lake: Any) -> None:
    upkeep = lake.upkeep("t")
    upkeep.merge()
    upkeep.clean(KEEP)


def _append(lake: Any, number: int, *, forge: bool = False) -> None:
    import numpy as np
    import pyarrow as pa

    from evergreen.lake.rows import with_system_columns

    dice, stamp = np.random.default_rng(number), pa.timestamp("us", tz="UTC")
    start, hour = int((BEGIN + number * HOUR).timestamp() * 1e6), int(HOUR / timedelta(microseconds=1))
    events = start + dice.integers(0, hour, ROWS)
    events[:LATE] -= dice.integers(0, 24 * hour, LATE)
    rows = pa.table({"at": pa.array(events).cast(stamp), "who": dice.integers(0, 1000, ROWS), "v": dice.random(ROWS)})
    rows = with_system_columns(
        rows, identity=["who", "at"], event_time="at", known_at=rows["at"], as_of=f"{BEGIN + (number + 1) * HOUR:%FT%H}"
    )
    until = BEGIN + (number + 1) * HOUR
    if forge and number:
        _forge(lake, rows, number)
        return
    lake.table("t").append_versions(rows, tag=f"key {number}", until=until, as_of=f"{until:%FT%H}")


def _forge(lake: Any, rows: Any, number: int) -> None:
    """Writes a commit as an append leaves it, without looking at what stands there."""
    import pyarrow as pa

    from evergreen.lake import delta
    from evergreen.lake.tables import SEQUENCE

    snapshot = delta.load(lake.root, "tables/t")
    if snapshot is None:
        raise RuntimeError("the first commit is a real one")
    rows = rows.append_column("_commit", pa.array([number + 1] * rows.num_rows, pa.int64()))
    marks = {SEQUENCE: number + 1, f"evergreen.once/key {number}": number + 1}
    snapshot.append(rows.select(snapshot.schema.names), marks, {"evergreen.tag": f"key {number}"})


if __name__ == "__main__":
    print(json.dumps(run()))
