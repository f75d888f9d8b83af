"""Many models on one dataset: a period in which all are watched and none is renewed, and one in which all are.

Through Airflow, against no-op DAGs of the same tasks in the same run under the same stack. The fits themselves are
measured alone, one after the other, and added to the peer's side of the period in which all are renewed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from life_overhead import EXAMPLE, copy_project, rentals, running

MODELS = 200
WARM, RENEWED, WATCHED = 0, 1, 2
"""Months: after the second all models are trained first, after the third none is."""
PATIENCE_SECONDS = 3600


def run(models: int) -> dict[str, Any]:
    """Seconds of both periods and of both sides; the ratio is the worse of the two."""
    from evergreen.replay.bikes import Bikes
    from evergreen.stack.report import memory_mb

    with tempfile.TemporaryDirectory(prefix="evergreen-bench-") as scratch:
        folder = Path(scratch)
        bikes = Bikes(rentals(folder / "hour.csv"), months=3)
        workspace, project = _workspace(folder / "workspace", models), _project(folder / "project", models)
        with running(folder, workspace, project) as stack:
            found = _live(stack, bikes, models)
            memory = memory_mb(stack.state)
    (watched, idle), (renewed, busy), fits = found[WATCHED], found[RENEWED], found["fits"]
    ratios = {"watched": watched / idle, "renewed": renewed / (busy + fits)}
    print(
        f"fleet_period: {models} models; watched {watched:.0f} s ({watched / models:.2f} a model) against {idle:.0f} s "
        f"of no-ops, ratio {ratios['watched']:.2f}; renewed {renewed:.0f} s ({renewed / models:.2f} a model) against "
        f"{busy:.0f} s of no-ops and {fits:.0f} s of fits, ratio {ratios['renewed']:.2f}; the stack holds "
        f"{sum(memory.values()):.0f} MB",
        file=sys.stderr,
    )
    return {
        "name": "fleet_period", "ours": renewed / models, "peer": (busy + fits) / models,
        "peer_name": "no-op DAGs and the fits", "ratio": max(ratios.values()), "unit": "s", "models": models,
        "watched_s": watched / models, "ratios": ratios,
    }  # fmt: skip


def _live(stack: Any, bikes: Any, models: int) -> dict[Any, Any]:
    from evergreen.replay.airflow_api import AirflowApi
    from evergreen.settings import Settings
    from evergreen.steps.lineage import retrain

    os.environ.update({name: text for name, text in stack.env.items() if name not in os.environ})
    settings = Settings.from_env(stack.env)
    api = AirflowApi(stack.airflow_url, stack.airflow_user, stack.airflow_password, poll_seconds=1.0)
    names = _names(models)
    last = {RENEWED: "deploy", WATCHED: "monitor", WARM: "monitor"}
    api.wait_for_dags({f"{name}.deploy" for name in names} | {"noop.watch_ingest"}, seconds=600)
    found: dict[Any, Any] = {}
    for number, key in enumerate(bikes.keys):
        bikes.lay(key, Path(settings.landing))
        ours = _seconds(api, "rides.ingest", [f"{name}.{last[number]}" for name in names], key)
        other = "noop.watch" if last[number] == "monitor" else "noop.renew"
        noop = _seconds(api, f"{other}_ingest", [f"{other}_{name}" for name in names], key)
        found[number] = (ours, noop)
        print(f"fleet_period: {key} {ours:.0f} s through Airflow, {noop:.0f} s of no-ops", file=sys.stderr, flush=True)
    retrain(settings, names[0], 1)
    began = time.process_time()
    for name in names[:5]:
        retrain(settings, name, 1)
    found["fits"] = (time.process_time() - began) / 5 * models / (os.cpu_count() or 1)
    api.close()
    return found


def _seconds(api: Any, first: str, last: list[str], key: str) -> float:
    """Seconds from the trigger to the end of the last of many runs, by Airflow's own record."""
    start = datetime.now(UTC)
    api.trigger(first, key=key)
    ends = [
        api.wait_for_key(each, key, seconds=PATIENCE_SECONDS, done="monitor" if each.endswith(".monitor") else None)[
            "end_date"
        ]
        for each in last
    ]
    return max(datetime.fromisoformat(end) - start for end in ends).total_seconds()


def _names(models: int) -> list[str]:
    return [f"bike_{number:03d}" for number in range(models)]


def _workspace(folder: Path, models: int) -> Path:
    """The example with so many copies of its model, which nothing but a first champion asks to be trained."""
    shutil.copytree(EXAMPLE, folder)
    file = folder / "models/bike_demand.yaml"
    model = yaml.safe_load(file.read_text())
    file.unlink()
    model["gate"]["tolerance"] = 1
    model["retraining"] = {"min_history": "59d", "drift": False, "decay": None, "code": False}
    for name in _names(models):
        (folder / f"models/{name}.yaml").write_text(yaml.safe_dump(model, sort_keys=False))
    return folder


def _project(folder: Path, models: int) -> Path:
    """Our DAG files and plugins, and no-op DAGs of the same tasks beside them."""
    copy_project(folder)
    text = Path(__file__).with_name("noop_dags.py").read_text()
    (folder / "dags/noop_fleet.py").write_text(text + NOOPS.format(names=_names(models)))
    return folder


NOOPS = """

found = []
for kind in ("watch", "renew"):
    found.append(chain(f"{{kind}}_ingest", 3, rings=f"{{kind}}_dataset", schedule=calendar))
    found.append(chain(f"{{kind}}_build", 2, rings=f"{{kind}}_view", schedule=on(asset(f"{{kind}}_dataset"))))
    for name in {names}:
        both = on(asset(f"{{kind}}_dataset") & asset(f"{{kind}}_view"))
        if kind == "watch":
            found.append(chain(f"{{kind}}_{{name}}", 4, rings=f"{{kind}}_{{name}}_request", schedule=both))
            continue
        found.append(chain(f"{{kind}}_monitor_{{name}}", 4, rings=f"{{kind}}_{{name}}_request", schedule=both))
        found.append(
            chain(
                f"{{kind}}_train_{{name}}", 4, rings=f"{{kind}}_{{name}}_candidate",
                schedule=on(asset(f"{{kind}}_{{name}}_request")),
            )
        )
        found.append(
            chain(
                f"{{kind}}_{{name}}", 3, rings=f"{{kind}}_{{name}}_champion",
                schedule=on(asset(f"{{kind}}_{{name}}_candidate")),
            )
        )
globals().update({{dag.dag_id: dag for dag in found}})
"""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that nothing is left running
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else MODELS)))
