from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, AssetAny
from airflow.serialization.serialized_objects import DagSerialization

from evergreen.spec.dataset import Dataset
from evergreen.spec.loading import Workspace, load
from evergreen.spec.model import Model
from evergreen_airflow import assets
from evergreen_airflow.operators.evidently_report import EvidentlyReportOperator
from evergreen_airflow.operators.great_expectations_check import GreatExpectationsCheckOperator
from evergreen_airflow.operators.mlflow_promote import MlflowPromoteOperator
from evergreen_airflow.operators.mlflow_register import MlflowRegisterOperator
from evergreen_airflow.operators.mlflow_rollback import MlflowRollbackOperator
from evergreen_airflow.operators.step import StepOperator
from evergreen_airflow.plugin import EvergreenPlugin
from evergreen_airflow.stages.build import build
from evergreen_airflow.stages.deploy import deploy
from evergreen_airflow.stages.ingest import ingest
from evergreen_airflow.stages.monitor import driving_assets, monitor
from evergreen_airflow.stages.rollback import rollback
from evergreen_airflow.stages.train import train
from evergreen_airflow.timetable import DataClockTimetable

START = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def bikes(project: Path) -> Workspace:
    return load(project / "include/examples/bikes")


@pytest.fixture
def flights(project: Path) -> Workspace:
    return load(project / "include/examples/flights")


def tasks(dag: DAG) -> list[str]:
    """Task ids in the order in which they run."""
    order, left = [], {task.task_id: set(task.upstream_task_ids) for task in dag.tasks}
    while left:
        order.append(next(task_id for task_id, before in left.items() if before <= set(order)))
        del left[order[-1]]
    return order


def outlets(dag: DAG) -> dict[str, list[Asset]]:
    return {task_id: task.outlets for task_id, task in dag.task_dict.items() if task.outlets}


def rung_by(dag: DAG) -> Any:
    return dag.schedule.asset_condition


def test_stages_of_a_life_are_joined_by_assets(bikes: Workspace) -> None:
    model = bikes.models["bike_demand"]
    first = ingest(bikes.datasets["rides"], start=START)
    view = build(bikes.views["demand"])
    watch = monitor(model, bikes.datasets, bikes.views)
    learn, roll_out, back = train(model), deploy(model), rollback(model)

    assert [dag.dag_id for dag in (first, view, watch, learn, roll_out, back)] == [
        "rides.ingest", "demand.build", "bike_demand.monitor", "bike_demand.train", "bike_demand.deploy",
        "bike_demand.rollback",
    ]  # fmt: skip
    assert tasks(first) == ["read", "validate", "publish"]
    assert tasks(view) == ["build", "publish"]
    assert tasks(watch) == ["monitor", "report", "decide", "ring"]
    assert tasks(learn) == ["claim", "train", "evaluate", "register"]
    assert tasks(roll_out) == ["verify", "roll_out", "settle"]
    assert tasks(back) == ["act"]

    assert outlets(first) == {"publish": [assets.table("rides")]} and rung_by(view) == assets.table("rides")
    assert outlets(view) == {"publish": [assets.table("demand")]}
    assert rung_by(watch) == AssetAny(assets.table("rides"), assets.table("demand"))
    assert outlets(watch) == {"ring": [assets.retrain_request("bike_demand")]}
    assert rung_by(learn) == assets.retrain_request("bike_demand")
    assert outlets(learn) == {"register": [assets.candidate("bike_demand")]}
    assert rung_by(roll_out) == assets.candidate("bike_demand")
    assert outlets(roll_out) == {"settle": [assets.champion("bike_demand")]}
    assert outlets(back) == {"act": [assets.champion("bike_demand")]}


def test_asset_names_say_whose_and_what() -> None:
    asset = assets.candidate("bike_demand")
    assert (asset.name, asset.uri) == ("bike_demand.candidate", "evergreen://bike_demand/candidate")


def test_every_step_is_given_the_outputs_of_all_before_it(bikes: Workspace) -> None:
    dag = train(bikes.models["bike_demand"])
    assert [(task.step, task.takes) for task in dag.task_dict.values()] == [
        ("claim", ()), ("train", ("claim",)), ("evaluate", ("claim", "train")),
        ("register", ("claim", "train", "evaluate")),
    ]  # fmt: skip


OPERATORS = {
    "read": "SourceReadOperator", "validate": "GreatExpectationsOperator", "publish": "DeltaPublishOperator",
    "build": "FeatureBuildOperator", "monitor": "PerformanceOperator", "report": "EvidentlyDriftOperator",
    "decide": "RetrainingPolicyOperator", "ring": "RetrainingRequestOperator", "claim": "RetrainingRequestOperator",
    "train": "MlflowTrainOperator", "evaluate": "GateOperator", "register": "MlflowVersionOperator",
    "verify": "CandidateVerifyOperator", "roll_out": "MlflowRollOutOperator", "settle": "MlflowSettleOperator",
    "act": "MlflowActOperator",
}  # fmt: skip
LINKED = {
    "validate": "Report", "report": "Report", "train": "MLflow run", "register": "MLflow run", "roll_out": "MLflow run",
    "settle": "MLflow run", "act": "MLflow run",
}  # fmt: skip


def life(bikes: Workspace) -> list[DAG]:
    model = bikes.models["bike_demand"]
    watch = monitor(model, bikes.datasets, bikes.views)
    return [
        ingest(bikes.datasets["rides"], start=START), build(bikes.views["demand"]), watch, train(model), deploy(model),
        rollback(model),
    ]  # fmt: skip


def test_every_task_says_by_its_operator_and_links_what_it_does(bikes: Workspace) -> None:
    every = [task for dag in life(bikes) for task in dag.tasks]
    assert {task.task_id: type(task).__name__ for task in every} == OPERATORS
    assert {task.task_id: link.name for task in every for link in task.operator_extra_links} == LINKED
    for task in every:
        assert isinstance(task, StepOperator) and task.step == task.task_id
        assert "execute" not in vars(type(task)) and len(type(task).__name__) <= 26  # what Airflow's graph shows of it


def test_operators_of_one_tool_look_alike_in_the_dags_and_alone(bikes: Workspace) -> None:
    colours = {task.task_id: task.ui_color for dag in life(bikes) for task in dag.tasks}
    assert colours["validate"] == GreatExpectationsCheckOperator.ui_color
    assert colours["report"] == EvidentlyReportOperator.ui_color
    alone = {each.ui_color for each in (MlflowRegisterOperator, MlflowPromoteOperator, MlflowRollbackOperator)}
    assert {colours[task] for task in ("train", "register", "roll_out", "settle", "act")} == alone
    assert len({colours["validate"], colours["report"], *alone, colours["publish"]}) == 4


def test_airflow_is_told_the_operators_and_that_their_links_are_ours(bikes: Workspace) -> None:
    told = DagSerialization.to_dict(train(bikes.models["bike_demand"]))["dag"]["tasks"]
    shown = {each["__var"]["task_id"]: each["__var"] for each in told}
    assert shown["train"]["task_type"] == "MlflowTrainOperator"
    assert list(shown["train"]["_operator_extra_links"]) == ["MLflow run"]
    assert "_operator_extra_links" not in shown["claim"]
    ours = {type(link) for link in EvergreenPlugin.operator_extra_links}
    assert {type(link) for dag in life(bikes) for task in dag.tasks for link in task.operator_extra_links} <= ours


def test_ingestion_has_the_calendar_of_its_dataset_and_names_the_end_of_the_interval(flights: Workspace) -> None:
    dataset = flights.datasets["flights"]
    dag = ingest(dataset, start=START)
    timetable = dag.schedule
    assert isinstance(timetable, DataClockTimetable)
    assert (timetable.cron, timetable.zone, timetable.start) == (dataset.schedule.cron, dataset.timezone, START)
    assert dag.catchup is False
    assert dag.task_dict["read"].wait_timeout == dataset.source.wait_timeout


def test_no_task_is_left_out_of_a_run_that_is_dated_before_the_calendar_starts(flights: Workspace) -> None:
    dag = ingest(flights.datasets["flights"], start=datetime(2100, 1, 1, tzinfo=UTC))
    assert dag.start_date is None and [task.start_date for task in dag.tasks] == [None, None, None]


def test_monitor_is_not_woken_by_what_has_another_cadence(bikes: Workspace) -> None:
    model, rides = bikes.models["bike_demand"], bikes.datasets["rides"]
    weekly = rides.model_copy(
        update={"name": "stations", "schedule": rides.schedule.model_copy(update={"cron": "0 0 * * 1"})}
    )
    elsewhere = rides.model_copy(update={"name": "stations", "timezone": "America/New_York"})
    view = bikes.views["demand"].model_copy(update={"reads": ("stations",)})
    for other in (weekly, elsewhere):
        datasets: dict[str, Dataset] = {"rides": rides, "stations": other}
        assert driving_assets(model, datasets, {**bikes.views, "demand": view}) == [assets.table("rides")]
    alike = {"rides": rides, "stations": rides.model_copy(update={"name": "stations"})}
    both = driving_assets(model, alike, {**bikes.views, "demand": view})
    assert both == [assets.table("rides"), assets.table("demand")]


def test_monitor_of_a_model_whose_dataset_is_missing_listens_to_it_alone(bikes: Workspace) -> None:
    assert driving_assets(bikes.models["bike_demand"], {}, bikes.views) == [assets.table("rides")]


def test_what_is_skipped_rings_all_the_same(bikes: Workspace) -> None:
    for dag in (ingest(bikes.datasets["rides"], start=START), build(bikes.views["demand"])):
        rules = {task_id: task.trigger_rule.value for task_id, task in dag.task_dict.items()}
        assert rules.pop("publish") == "none_failed"
        assert set(rules.values()) == {"all_success"}


def test_trainings_of_one_model_never_run_side_by_side(bikes: Workspace) -> None:
    model = bikes.models["bike_demand"]
    dags = [monitor(model, bikes.datasets, bikes.views), train(model), deploy(model)]
    assert [dag.max_active_runs for dag in dags] == [1, 1, 1]


def test_tags_and_owner_say_what_a_dag_is(bikes: Workspace) -> None:
    model = bikes.models["bike_demand"]
    assert train(model).tags == {"evergreen", "train", "model", "data@example.com"}
    assert train(model, broken=True).tags == {"evergreen", "train", "model", "data@example.com", "spec-broken"}
    assert "last valid version is in use" in str(train(model, broken=True).doc_md)
    assert {task.owner for task in train(model).tasks} == {"data@example.com"}
    nobody = model.model_copy(update={"owner": "  "})
    assert {task.owner for task in train(nobody).tasks} == {"evergreen"}
    assert max(map(len, train(model.model_copy(update={"owner": "x" * 900})).tags)) == 100


def test_description_is_text_and_never_markup_or_a_file_to_open(bikes: Workspace, tmp_path: Path) -> None:
    secret = tmp_path / "secret.md"
    secret.write_text("top secret")
    words = f"<script>x</script> [click](javascript:x) {secret}"
    model = bikes.models["bike_demand"].model_copy(update={"description": words})
    page = str(train(model).doc_md)
    assert "top secret" not in page and "<script>" not in page and "[click](" not in page
    assert train(model).description == words


def test_acts_of_a_person_are_checked_by_the_form(bikes: Workspace) -> None:
    params = rollback(bikes.models["bike_demand"]).params
    act = {"action": "promote", "version": 3, "reason": "better on Sundays"}
    for name, value in act.items():
        params[name] = value
    assert params.validate() == {**act, "request": None}
    end = {"action": "withdraw", "version": None, "request": 12, "reason": "a holiday"}
    for name, value in end.items():
        params[name] = value
    assert params.validate() == end
    wrongs = (
        ("action", "destroy"),
        ("version", 0),
        ("version", "3"),
        ("request", 0),
        ("request", "12"),
        ("reason", ""),
    )
    for name, wrong in wrongs:
        fresh = rollback(bikes.models["bike_demand"]).params
        fresh["reason"] = "r"
        with pytest.raises(ValueError, match=r"Invalid input|is not|non-empty|too short|less than"):
            fresh[name] = wrong
            fresh.validate()


def test_faults_are_retried_soon_and_ever_later(bikes: Workspace) -> None:
    for task in train(bikes.models["bike_demand"]).tasks:
        assert (task.retries, task.retry_delay.total_seconds(), task.retry_exponential_backoff) == (3, 5, 3)
        assert task.execution_timeout is not None


def test_models_of_a_fleet_share_their_datasets_asset(bikes: Workspace) -> None:
    copies: list[Model] = [bikes.models["bike_demand"].model_copy(update={"name": f"copy_{n}"}) for n in range(2)]
    conditions = [rung_by(monitor(each, bikes.datasets, bikes.views)) for each in copies]
    assert conditions[0].objects[0] is conditions[1].objects[0]


def test_housekeeping_has_a_calendar_or_none_and_a_bad_one_is_named() -> None:
    from airflow.sdk import CronTriggerTimetable

    from evergreen.errors import UserError
    from evergreen_airflow.stages.housekeeping import housekeeping

    assert isinstance(housekeeping("17 2 * * *").schedule, CronTriggerTimetable)
    assert housekeeping(" ").schedule is None
    with pytest.raises(
        UserError, match=r"EVERGREEN_HOUSEKEEPING must be a cron expression of five fields.* Empty is for by hand only"
    ):
        housekeeping("every night")
