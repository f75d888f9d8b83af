"""A run without a key works on the newest as_of that its resource has, or says which key to give."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen.errors import UserError
from evergreen.settings import Settings
from evergreen.steps.contract import RunRef
from evergreen.steps.run import open_run
from evergreen.store.resources import Seen
from evergreen.store.store import Store

EXAMPLES = Path(__file__).parents[3] / "include" / "examples"


@pytest.fixture
def settings(tmp_path: Path, store: Store, postgres_url: str) -> Settings:
    shutil.copytree(EXAMPLES / "flights", tmp_path / "workspace")
    return Settings.from_env(
        {
            "EVERGREEN_WORKSPACE": str(tmp_path / "workspace"),
            "EVERGREEN_HOME": str(tmp_path / "home"),
            "EVERGREEN_LAKE": str(tmp_path / "lake"),
            "EVERGREEN_STORE_URL": postgres_url,
        }
    )


def keyless(settings: Settings, run_id: str) -> str:
    run = RunRef(dag_id="flights.ingest", run_id=run_id)
    return open_run(settings, kind="dataset", resource="flights", run=run, partition_key=None).as_of


def test_the_first_run_of_a_resource_is_told_a_key_of_its_own_calendar(settings: Settings) -> None:
    with pytest.raises(UserError) as caught:
        keyless(settings, "first")
    assert str(caught.value) == (
        "flights: partition key must be given for the first run of a resource. "
        'Trigger with a partition key such as "2013-02-01", the end of the interval to work on.'
    )


def test_the_newest_as_of_is_written_as_the_schedule_writes_it_now(settings: Settings, store: Store) -> None:
    Seen(store).note_as_of("flights", "2013-02-01", datetime(2013, 2, 1, 5, tzinfo=UTC))
    assert keyless(settings, "daily") == "2013-02-01"
    file = settings.workspace / "datasets" / "flights.yaml"
    file.write_text(file.read_text().replace('"0 0 1,16 * *"', '"0 */6 * * *"'))
    assert keyless(settings, "subdaily") == "2013-02-01T00:00"
    assert keyless(settings, "daily") == "2013-02-01"
