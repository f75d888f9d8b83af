"""The operators that anybody may use in a DAG of their own, on real files and a real lake."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from evergreen.lake.lake import Lake
from evergreen_airflow.operators.evidently_report import EvidentlyReportOperator
from evergreen_airflow.operators.great_expectations_check import GreatExpectationsCheckOperator
from evergreen_airflow.operators.mlflow_promote import MlflowPromoteOperator
from evergreen_airflow.operators.mlflow_register import MlflowRegisterOperator
from evergreen_airflow.operators.mlflow_rollback import MlflowRollbackOperator
from evergreen_airflow.rows import read_rows

BETWEEN = {"expect": "column_values_to_be_between", "column": "temp", "args": {"min_value": 0, "max_value": 1}}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("EVERGREEN_LAKE", str(tmp_path / "lake"))
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def context() -> Any:
    pushed: dict[str, Any] = {}
    run = SimpleNamespace(dag_id="mine", run_id="r", partition_key=None, triggering_user_name=None)
    ti = SimpleNamespace(task_id="t", pushed=pushed, xcom_push=lambda key, value: pushed.update({key: value}))
    return {"dag_run": run, "ti": ti, "params": {"day": "2011-01-31"}}


def csv(path: Path, temps: list[float]) -> str:
    path.write_text("\n".join(["temp,city", *(f"{each},a" for each in temps)]) + "\n")
    return str(path)


def execute(task: Any, given: Any) -> Any:
    return type(task).execute.__wrapped__(task, given)


def test_a_check_that_holds_returns_figures_and_a_report(tmp_path: Path, lake: Lake, context: Any) -> None:
    task = GreatExpectationsCheckOperator(
        task_id="t", source=csv(tmp_path / "a.csv", [0.2, 0.4]), expectations=[BETWEEN]
    )
    result = execute(task, context)
    assert (result["success"], result["rows"], result["failed"]) == (True, 2, 0)
    assert b"temp" in lake.blobs.get(result["report"])
    assert task.operator_extra_links[0].get_link(task, ti_key=None).startswith("/evergreen/reports/expectations/")


def test_a_broken_check_fails_after_its_report_was_kept(tmp_path: Path, lake: Lake, context: Any) -> None:
    source = csv(tmp_path / "a.csv", [0.2, 7.0])
    with pytest.raises(AirflowFailException, match="1 of 1 expectations broken: temp must be between 0 and 1"):
        execute(GreatExpectationsCheckOperator(task_id="t", source=source, expectations=[BETWEEN]), context)
    assert lake.blobs.exists(context["ti"].pushed["verdict"]["report"])
    told = GreatExpectationsCheckOperator(
        task_id="t", source=source, expectations=[BETWEEN], fail_on_error=False
    )  # fmt: skip
    assert execute(told, context)["failed"] == 1


def test_a_wrong_expectation_says_which_and_why(tmp_path: Path, lake: Lake, context: Any) -> None:
    source = csv(tmp_path / "a.csv", [0.2])
    for wrong, message in (
        ({**BETWEEN, "colour": 1}, r"expectations\[0\]\.colour"),
        ({}, r"expectations\[0\]\.expect"),
    ):
        with pytest.raises(AirflowFailException, match=message):
            execute(GreatExpectationsCheckOperator(task_id="t", source=source, expectations=[wrong]), context)


def test_what_cannot_be_read_is_named(tmp_path: Path, lake: Lake, context: Any) -> None:
    missing = str(tmp_path / "none.csv")
    with pytest.raises(AirflowFailException, match=r"none\.csv must be a readable csv file"):
        execute(GreatExpectationsCheckOperator(task_id="t", source=missing, expectations=[BETWEEN]), context)
    assert read_rows(csv(tmp_path / "b.csv", [1.0]), ["city"]).column_names == ["city"]


def test_drift_is_reported_by_effect_size(tmp_path: Path, lake: Lake, context: Any) -> None:
    reference = csv(tmp_path / "a.csv", [each / 100 for each in range(100)] * 4)
    current = csv(tmp_path / "b.csv", [3 + each / 100 for each in range(100)] * 4)
    task = EvidentlyReportOperator(task_id="t", reference=reference, current=current, columns=["temp"])
    result = execute(task, context)
    assert result["drifted"] is True and result["figures"]["columns"]["temp"] > 0.5
    assert b"<html" in lake.blobs.get(result["report"]).lower()
    alike = EvidentlyReportOperator(task_id="t", reference=reference, current=reference, fail_on_drift=True)
    assert execute(alike, context)["drifted"] is False
    few = EvidentlyReportOperator(task_id="t", reference=reference, current=reference, min_rows=1000)
    assert (execute(few, context)["drifted"], few.made) == (None, {})
    strict = EvidentlyReportOperator(
        task_id="t", reference=reference, current=current, columns=["temp"], fail_on_drift=True
    )
    with pytest.raises(AirflowFailException, match="Drift: 1 of 1 columns drifted"):
        execute(strict, context)
    assert lake.blobs.exists(context["ti"].pushed["report"])


def test_arguments_are_templates_of_the_dags_author(context: Any) -> None:
    task = GreatExpectationsCheckOperator(
        task_id="t", source="bikes/{{ params.day }}.csv", expectations=[{**BETWEEN, "column": "{{ params.day }}"}]
    )
    task.render_template_fields(context)
    assert task.source == "bikes/2011-01-31.csv" and task.expectations[0]["column"] == "2011-01-31"
    assert MlflowRegisterOperator.template_fields == ("model", "run_id", "training_id")


def test_a_version_that_came_as_other_text_is_refused(context: Any) -> None:
    promote = MlflowPromoteOperator(task_id="t", model="m", version="latest", reason="r", as_of="2011-02-01")
    back = MlflowRollbackOperator(task_id="t", model="m", version="latest", reason="r", as_of="2011-02-01")
    for task in (promote, back):
        with pytest.raises(AirflowFailException, match="version must be a whole number, got 'latest'"):
            execute(task, context)


def test_an_act_without_a_key_asks_for_one(context: Any) -> None:
    task = MlflowRollbackOperator(task_id="t", model="m", reason="r")
    with pytest.raises(AirflowFailException, match="m: as_of must be given in a run without a partition key"):
        execute(task, context)
    wrong = MlflowRollbackOperator(task_id="t", model="m", reason="r", as_of="Monday")
    with pytest.raises(AirflowFailException, match="m: as_of must be an ISO date or date-time, got 'Monday'"):
        execute(wrong, context)
