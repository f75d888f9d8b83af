"""What several kinds of tests share: a database server and real data."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evergreen.stack.postgres import EmbeddedPostgres

sys.path.insert(0, str(Path(__file__).parent))  # for made_bikes

import made_bikes

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before OpenMP is loaded; see evergreen.stack.environment

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One PostgreSQL for the whole test run, fast rather than safe."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres") / "server", durable=False)
    server.start()
    yield server
    server.stop()
    server.remove()


@pytest.fixture(scope="module")
def postgres_url(postgres_server: EmbeddedPostgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """SQLAlchemy URL of a fresh, empty database for this test module."""
    name = "test_" + re.sub(r"\W", "_", request.module.__name__.lower())[-40:]
    postgres_server.drop_database(name)
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def bikes_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``hour.csv`` of the bike-sharing data set where it is at hand (EVERGREEN_TEST_DATA, or beside the clone).

    Else one of the same shape that the tests make, so that a clone alone runs every drill.
    """
    named = os.environ.get("EVERGREEN_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    real = folder / "bike_sharing" / "hour.csv"
    return real if real.is_file() else made_bikes.write(tmp_path_factory.mktemp("bikes") / "hour.csv")


@pytest.fixture(scope="session")
def bikes_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made ``hour.csv``, whatever is at hand."""
    return made_bikes.write(tmp_path_factory.mktemp("bikes") / "hour.csv")
