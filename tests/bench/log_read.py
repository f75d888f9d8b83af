"""One period's answers out of a log of a million in 3,000 segments, against a log that holds that period alone.

The log is what housekeeping leaves of it each night; the period's own segments are not merged on either side. Rows are
looked up as monitoring does, by their identities and the period's time.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

ANSWERS, SEGMENTS, PERIODS, RUNS = 1_000_000, 3_000, 100, 11
BEGIN, DAY = datetime(2015, 1, 1, tzinfo=UTC), timedelta(days=1)


def run() -> dict[str, Any]:
    """Medians of reads in turns, and their ratio; tells more on stderr."""
    from evergreen.lake.lake import Lake

    asked = PERIODS - 1
    with tempfile.TemporaryDirectory(prefix="evergreen-bench-") as folder:
        whole, alone = Lake(Path(folder) / "whole"), Lake(Path(folder) / "alone")
        began = time.perf_counter()
        of_period = SEGMENTS // PERIODS
        for number in range(SEGMENTS):
            if number % of_period == 0:
                whole.upkeep("predictions/m").merge()
            for lake in [whole, alone] if number // of_period == asked else [whole]:
                lake.table("predictions/m").append_once(_segment(number), f"segment {number}")
        print(f"log_read: {SEGMENTS} segments in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        wanted = [_row_id(asked * of_period * _each() + number) for number in range(of_period * _each())]
        seconds: dict[Lake, list[float]] = {whole: [], alone: []}
        for _ in range(RUNS):
            for lake, taken in seconds.items():
                start = time.perf_counter()
                rows = _read(lake, asked, wanted)
                taken.append(time.perf_counter() - start)
                if rows != len(wanted):
                    raise RuntimeError(f"{rows} of {len(wanted)} answers were found")
    ours, peer = median(seconds[whole]), median(seconds[alone])
    return {
        "name": "log_read", "ours": 1000 * ours, "peer": 1000 * peer, "peer_name": "a log of that period alone",
        "ratio": ours / peer, "unit": "ms", "answers": ANSWERS,
    }  # fmt: skip


def _read(lake: Any, period: int, wanted: list[str]) -> int:
    import pyarrow as pa

    found = lake.table("predictions/m").read(
        ["request_id", "version", "row_id", "prediction"],
        match={"row_id": pa.array(wanted)},
        between={"event_time": (BEGIN + period * DAY, BEGIN + (period + 1) * DAY)},
    )
    return int(found.num_rows)


def _each() -> int:
    return ANSWERS // SEGMENTS


def _row_id(number: int) -> str:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def _segment(number: int) -> Any:
    import pyarrow as pa

    from evergreen.serving.shipping import COLUMNS, table_of

    numbers = range(number * _each(), (number + 1) * _each())
    length = DAY / (SEGMENTS // PERIODS * _each())
    rows = [
        {
            "request_id": f"{each:032x}-0", "at": (BEGIN + each * length + DAY).isoformat(), "version": 1, "seq": 1,
            "row_id": _row_id(each), "event_time": (BEGIN + each * length).isoformat(), "prediction": "0.25",
            "row": json.dumps({"customer": each, "load": each / 7, "wind": 3.5}), "fallback": None,
        }
        for each in numbers
    ]  # fmt: skip
    table: pa.Table = table_of(rows, COLUMNS["predictions"])
    return table


if __name__ == "__main__":
    print(json.dumps(run()))
