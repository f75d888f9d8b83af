"""One world for all drills: one store, one MLflow, one lake with four weeks of one dataset."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evergreen.stack.postgres import EmbeddedPostgres

sys.path.insert(0, str(Path(__file__).parent))  # for drill_world, which tests name in their signatures

from drill_world import BUILD, KEYS, World, csv_of, rows_of


@pytest.fixture(scope="session")
def bare_world(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: EmbeddedPostgres, mlflow_uri: str
) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("drills"), postgres_server.create_database("drills"), mlflow_uri)
    forge = world.forge  # gets ready beside what follows
    yield world
    forge.close()


@pytest.fixture(scope="session")
def world(bare_world: World) -> World:
    """With four weeks of ``trips`` and of its view ``recent`` published."""
    bare_world.dataset("trips")
    bare_world.view("trips", "recent")
    for key in KEYS:
        bare_world.lay("trips", key, csv_of(rows_of(key)))
        bare_world.ingest("trips", key)
        bare_world.open("recent", "build", key).steps(*BUILD)
    return bare_world
