"""What a run works on is fixed by its first task; its key is one that the calendar writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from evergreen.errors import UserError
from evergreen.settings import Settings
from evergreen.spec.base import Kind
from evergreen.steps.contract import RunRef
from evergreen.steps.run import open_run

EXAMPLES = Path(__file__).parents[3] / "include" / "examples"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    shutil.copytree(EXAMPLES / "flights", tmp_path / "workspace")
    return Settings.from_env(
        {
            "EVERGREEN_WORKSPACE": str(tmp_path / "workspace"),
            "EVERGREEN_HOME": str(tmp_path / "home"),
            "EVERGREEN_LAKE": str(tmp_path / "lake"),
        }
    )


def opened(settings: Settings, kind: Kind, resource: str, key: str, run_id: str = "r") -> str:
    run = RunRef(dag_id=f"{resource}.x", run_id=run_id)
    return open_run(settings, kind=kind, resource=resource, run=run, partition_key=key).as_of


@pytest.mark.parametrize(
    ("kind", "resource"), [("dataset", "flights"), ("feature_view", "recent_lateness"), ("model", "flight_late")]
)
def test_an_instant_of_the_calendar_has_one_key_in_every_dag(settings: Settings, kind: Kind, resource: str) -> None:
    assert opened(settings, kind, resource, "2013-02-01") == "2013-02-01"
    for other in ("2013-02-01T00:00", "2013-02-01T05:00Z", "2013-02-01T00:00-05:00"):
        with pytest.raises(UserError) as caught:
            opened(settings, kind, resource, other, run_id=other)
        assert str(caught.value) == (
            f"{resource}: partition key must be written as the schedule of flights writes it, got {other!r}. "
            'Trigger with "2013-02-01".'
        )


def test_a_key_off_the_calendar_is_left_to_the_step(settings: Settings) -> None:
    assert opened(settings, "model", "flight_late", "2013-02-03T07:00") == "2013-02-03T07:00"


def test_what_is_no_key_is_refused(settings: Settings) -> None:
    with pytest.raises(UserError, match="partition key must be an ISO date or date-time, got 'yesterday'"):
        opened(settings, "model", "flight_late", "yesterday")


def test_a_key_is_fixed_for_all_tasks_of_a_run(settings: Settings) -> None:
    assert opened(settings, "dataset", "flights", "2013-02-01") == "2013-02-01"
    assert opened(settings, "dataset", "flights", "yesterday") == "2013-02-01"


@pytest.mark.parametrize(("kind", "resource"), [("dataset", "flights"), ("model", "flight_late")])
def test_a_key_of_an_interval_that_is_not_over_is_refused_by_every_dag(
    settings: Settings, kind: Kind, resource: str
) -> None:
    with pytest.raises(UserError) as caught:
        opened(settings, kind, resource, "2162-02-01")
    assert str(caught.value) == (
        f"{resource}: partition key must be the end of an interval that is over, got '2162-02-01'. "
        "Trigger with a key that is not in the future."
    )
