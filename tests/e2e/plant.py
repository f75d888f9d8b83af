"""A small workspace to drill in: a power plant's hourly readings, a month a file, beside the bikes' workspace.

Every free text of it, and of the runs' confs, holds :data:`BAIT`: what Airflow would render in a template field.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

BAIT = "{{ conn.evergreen_secret.password }}"
SECRET = "correct-horse-battery-staple"
JANUARY, FEBRUARY = "2024-02-01", "2024-03-01"
"""Keys: the ends of the two months that there are files for."""
HEADER = "moment,wind,power"

DATASET: dict[str, Any] = {
    "description": f"Readings {BAIT}",
    "owner": f"plant {BAIT}",
    "schedule": {"cron": "0 0 1 * *"},
    "columns": {"moment": "timestamp", "wind": "float", "power": "float"},
    "select": f"select moment, wind, power from source -- {BAIT}",
    "event_time": "moment",
    "availability_delay": "1h",
    "expectations": [{"expect": "column_values_to_be_between", "column": "wind", "args": {"max_value": 100}}],
}
VIEW: dict[str, Any] = {
    "description": f"Power of late {BAIT}",
    "owner": f"plant {BAIT}",
    "reads": ["readings"],
    "timestamp": "moment",
    "transform": "recent.sql",
    "lookback": "1d",
    "outputs": {"recent_power": {"type": "float", "description": f"Mean of six hours {BAIT}"}},
}
VIEW_SQL = f"""-- {BAIT}
select moment, avg(power) over last_hours as recent_power from readings
window last_hours as (order by moment range between interval 6 hours preceding and current row)
qualify moment >= $start and moment < $end
"""
MODEL: dict[str, Any] = {
    "description": f"Power from wind {BAIT}",
    "owner": f"plant {BAIT}",
    "team": BAIT,
    "task": "regression",
    "label": {"dataset": "readings", "column": "power"},
    "request": ["wind"],
    "features": ["recent"],
    "split": {"test": "7d", "validation": "3d"},
    "trainer": {"kind": "lightgbm", "rounds": 10, "threads": 1, "params": {"min_data_in_leaf": 10}},
    "gate": {"min_rows": 50, "tolerance": 0.9},
    "retraining": {"min_history": "3650d"},  # only people ask
}
MODELS = ("calm", "windy")
DATASETS = ("readings", "repaired", "awaited", "brittle", "killed", "spared")


def declare(workspace: Path) -> None:
    """Writes the plant's resources beside what stands in the workspace."""
    for name in DATASETS:
        source = {"path": f"{name}/{{as_of}}.csv", "when_missing": "wait" if name == "awaited" else "fail"}
        write(workspace / f"datasets/{name}.yaml", {"source": source, **DATASET})
    (workspace / "features/recent.sql").write_text(VIEW_SQL)
    write(workspace / "features/recent.yaml", VIEW)
    for name in MODELS:
        write(workspace / f"models/{name}.yaml", MODEL)


def write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def rows_of(key: str) -> list[str]:
    """A month's rows, one an hour, the same for the same key."""
    end = datetime.fromisoformat(key).replace(tzinfo=UTC)
    at = (end - timedelta(days=1)).replace(day=1)
    dice = random.Random(key)
    rows = []
    while at < end:
        wind = 20 * dice.random()
        rows.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{wind:.3f},{wind**2 + dice.gauss(0, 5):.3f}")
        at += timedelta(hours=1)
    return rows


def csv_of(rows: Iterable[str]) -> str:
    return "\n".join([HEADER, *rows]) + "\n"
