from __future__ import annotations

import gc
from pathlib import Path

import pytest

from evergreen.errors import UserError
from evergreen.settings import Settings
from evergreen_airflow.fleet import Fleet, declared


def test_files_of_one_process_read_the_workspace_once(workspace: Path) -> None:
    settings = Settings.from_env()
    assert declared(settings) is declared(settings)
    assert Fleet.of("train").workspace is Fleet.of("deploy").workspace


def test_a_changed_file_is_read_again(workspace: Path) -> None:
    settings = Settings.from_env()
    before = declared(settings)
    file = workspace / "models" / "bike_demand.yaml"
    file.write_text(file.read_text().replace("owner: data@example.com", "owner: somebody@example.com"))
    assert declared(settings) is not before
    assert declared(settings).models["bike_demand"].owner == "somebody@example.com"


def test_on_demand_views_have_no_dag(workspace: Path) -> None:
    assert [view.name for view in Fleet.of("build").materialized_views()] == ["demand"]


def test_a_task_of_another_file_builds_nothing(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "bike_demand.train")
    assert [model.name for model in Fleet.of("train").models()] == ["bike_demand"]
    assert not list(Fleet.of("deploy").models()) and not list(Fleet.of("ingest").datasets())


def test_a_calendar_that_is_no_date_says_so(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERGREEN_CALENDAR_FROM", "soon")
    with pytest.raises(UserError, match="EVERGREEN_CALENDAR_FROM must be an ISO date, got 'soon'"):
        Fleet.of("ingest")


def test_the_collector_works_again_after_a_fleet_was_built(workspace: Path) -> None:
    states = [gc.isenabled() for _ in Fleet.of("train").models()]
    assert states == [False] and gc.isenabled()
    fleet = Fleet.of("train")
    with pytest.raises(RuntimeError, match="a builder that fails"):
        for _ in fleet.models():
            raise RuntimeError("a builder that fails")
    gc.collect()
    assert gc.isenabled()
