"""A gateway's round over a thousand models at rest against one over ten: what it asks of the store, and looks at.

Both fleets serve from the bundles of one toy model, each from a database of its own in one PostgreSQL. The gateway
goes round twice a second, whether anything happens or not. Before anything is measured it follows each fleet until it
serves all of it.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
FEW, MANY, ROUNDS = 10, 1_000, 300
DAY = datetime(2013, 2, 1, tzinfo=UTC)


def run() -> dict[str, Any]:
    """Median milliseconds of a settled round over both fleets, and their ratio; tells more on stderr."""
    from evergreen.lake.lake import Lake
    from evergreen.stack.postgres import EmbeddedPostgres

    sys.path.insert(0, str(TESTS))  # for made_fleet
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory(prefix="evergreen-bench-") as scratch:
        folder = Path(scratch)
        lake = Lake(folder / "lake")
        bundles = _bundles(folder, lake)
        postgres = EmbeddedPostgres(folder / "postgres", durable=False)
        postgres.start()
        try:
            followers = [_settled(folder, lake, postgres, bundles, models) for models in (FEW, MANY)]
            seconds: list[list[float]] = [[], []]
            for _ in range(ROUNDS):
                for follower, found in zip(followers, seconds, strict=True):
                    began = time.perf_counter()
                    is_behind = follower.follow()
                    found.append(time.perf_counter() - began)
                    if is_behind or follower.faults:
                        raise RuntimeError(f"the fleet is not at rest: {follower.faults}")
            for follower in followers:
                follower._store.close()
        finally:
            postgres.stop()
            postgres.remove()
    few, many = (1000 * median(each) for each in seconds)
    print(f"fleet_beat: {MANY} models {many:.2f} ms a round, {FEW} models {few:.2f} ms", file=sys.stderr)
    return {
        "name": "fleet_beat", "ours": many, "peer": few, "peer_name": f"the same over {FEW} models",
        "ratio": many / few, "unit": "ms", "models": MANY,
    }  # fmt: skip


def _settled(folder: Path, lake: Any, postgres: Any, bundles: list[str], models: int) -> Any:
    """A follower that has loaded and acknowledged a whole fleet."""
    import made_fleet
    from evergreen.serving.follow import Follower
    from evergreen.serving.routes import Routes
    from evergreen.store.store import Store
    from evergreen.store.trainings import Trainings

    store = Store(postgres.create_database(f"fleet_{models}"), connections=2)
    store.migrate()
    trainings, made = Trainings(store), []
    for number, bundle in enumerate(bundles, start=1):
        name = f"toy-{number}"
        trainings.start(name, "toy", "2013-02-01", DAY, spec_digest="s", workspace="w", inputs={}, seed=1)
        made.append(trainings.finish(name, run_id="r", trained_through=DAY, training_set="t", bundle=bundle))
        trainings.adopt(name)
    made_fleet.add(store, [f"toy_{number:04d}" for number in range(models)], made)
    routes = Routes(folder / f"gateway-{models}")
    follower = Follower(store, lake, routes, instance="bench", url="http://x")
    began = time.perf_counter()
    while follower.follow():
        pass
    if len(routes.targets()) != models or not all(target.is_complete for target in routes.targets().values()):
        raise RuntimeError(f"of {models} models {len(routes.targets())} are served: {follower.faults}")
    print(f"fleet_beat: {models} models taken up in {time.perf_counter() - began:.1f} s", file=sys.stderr)
    return follower


def _bundles(folder: Path, lake: Any) -> list[str]:
    """Two versions of the toy model of the gateway's own tests."""
    spec = importlib.util.spec_from_file_location("serving_parts", TESTS / "unit/serving/conftest.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(TESTS / "unit/serving/conftest.py")
    parts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(parts)
    return [parts.freeze_bundle(lake, parts.save_bundle(folder / f"toy-{version}", version)) for version in (1, 2)]


if __name__ == "__main__":
    print(json.dumps(run()))
