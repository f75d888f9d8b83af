"""One stack for all end-to-end tests: bikes live their two years in it, the plant is for drills."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evergreen.replay.airflow_api import AirflowApi
from evergreen.stack.stack import Stack

sys.path.insert(0, str(Path(__file__).parent))  # for plant and world, which tests name

import plant
from world import World

PROJECT = Path(__file__).resolve().parents[2]
MODEL_STAGES = ("monitor", "train", "deploy", "rollback")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("e2e")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The stack with all DAGs known and nothing run yet."""
    folder = tmp_path_factory.mktemp("e2e")
    workspace, orders = folder / "workspace", folder / "orders"
    shutil.copytree(PROJECT / "include/examples/bikes", workspace)
    plant.declare(workspace)
    orders.mkdir()
    extra = {
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "15",
        "AIRFLOW_CONN_EVERGREEN_SECRET": f"generic://robot:{plant.SECRET}@nowhere",
        "EVERGREEN_DRILLS": str(orders),
    }
    stack = Stack(folder / "instance", workspace=workspace, calendar_from="2100-01-01", gateway=True, extra_env=extra)
    with stack:
        api = AirflowApi(stack.airflow_url, stack.airflow_user, stack.airflow_password)
        api.wait_for_dags(
            {f"{name}.ingest" for name in plant.DATASETS}
            | {"recent.build"}
            | {f"{model}.{stage}" for model in plant.MODELS for stage in MODEL_STAGES}
        )
        yield World(stack, workspace, orders, api)
        api.close()
    stack.remove()


@pytest.fixture(scope="session")
def grown(world: World) -> World:
    """With January's and February's readings published, their view built and both models watched."""
    for key in (plant.JANUARY, plant.FEBRUARY):
        world.lay("readings", key)
        world.run("readings.ingest", key)
        world.api.wait_for_key("recent.build", key)
        for model in plant.MODELS:
            world.api.wait_for_key(f"{model}.monitor", key, done="monitor")
    return world
