"""The benchmarks: prints a table and writes ``.evergreen/bench/results.json``.

``make bench`` runs those that take minutes, ``make bench ARGS=large`` those that need time and disk, else the named.
Each runs in a process of its own below this one, so that none finds what another imported or started. Timings depend
on what else the machine does; the ratios less so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TARGETS = {
    "asof_join": 2.0, "task_build": 1.2, "parse_fleet": 1.5, "life_overhead": 1.5, "append_late": 1.5, "log_read": 2.0,
    "fleet_beat": 2.0,
}  # fmt: skip
LARGE = {"period_cost": 1.3, "asof_join_large": 1.5, "train_overhead": 1.3, "fleet_period": 1.5, "long_life": 1.3,
         "ingest_peak_memory": 1.0, "ingest_speed": 3.0}  # fmt: skip
SCRIPTS = {"ingest_peak_memory": "ingest", "ingest_speed": "ingest"}
"""Of benchmarks that do not stand in a script of their own name."""
NEEDS = {
    "period_cost": "20 GB of memory, 8 GB below the temporary folder, 20 minutes",
    "asof_join_large": "5 GB of memory, a minute",
    "fleet_period": "20 minutes",
    "ingest": "3 GB of memory, 12 GB below the temporary folder, 10 minutes",
    "long_life": "8 GB of memory, 15 GB below the temporary folder, half an hour",
    "train_overhead": "3 GB of memory, 3 GB below the temporary folder, 2 minutes",
}
RESULTS = Path(".evergreen/bench/results.json")


def main(chosen: list[str]) -> int:
    """Runs the chosen benchmarks, or all; gives the exit code."""
    results: list[dict[str, Any]] = []
    print(f"load average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    wanted = LARGE if chosen == ["large"] else chosen or TARGETS
    for name in dict.fromkeys(SCRIPTS.get(each, each) for each in wanted):
        if name in NEEDS:
            print(f"{name} needs {NEEDS[name]}; its files are removed afterwards", file=sys.stderr, flush=True)
        began = time.monotonic()
        script = Path(__file__).with_name(f"{name}.py")
        done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            print(f"{name} failed with exit code {done.returncode}", file=sys.stderr)
            return done.returncode
        told = json.loads(done.stdout.splitlines()[-1])
        results += told if isinstance(told, list) else [told]
        print(f"{name} took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(table(results))
    print(f"load average at the end: {os.getloadavg()[0]:.1f}; written to {RESULTS}")
    return 0


def table(results: list[dict[str, Any]]) -> str:
    """One line per benchmark; a ratio above its target is marked."""
    rows = [("benchmark", "ours", "peer", "unit", "ratio", "target", "", "peer is")]
    for each in results:
        target = (TARGETS | LARGE)[each["name"]]
        over = "over" if each["ratio"] > target else ""
        figures = (f"{each['ours']:.4g}", f"{each['peer']:.4g}", each["unit"], f"{each['ratio']:.2f}", f"{target:.1f}")
        rows.append((each["name"], *figures, over, each["peer_name"]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
