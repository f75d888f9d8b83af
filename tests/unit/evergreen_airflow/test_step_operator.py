from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException, AirflowSkipException

from evergreen.errors import DataError, NotReady, SpecErrors, Superseded, TransientError, UserError
from evergreen.steps.contract import StepInput, StepResult
from evergreen.steps.run import Run
from evergreen_airflow.links import LINKS, MlflowRunLink, ReportLink
from evergreen_airflow.operators import step as module
from evergreen_airflow.operators.step import StepOperator

ASSET = Asset(name="rides.table", uri="evergreen://rides/table")


class TaskInstance:
    """The part of Airflow's task instance that the operator talks to."""

    def __init__(self, outputs: dict[str, Any], waiting_since: datetime | None) -> None:
        self.outputs, self.waiting_since, self.pushed = outputs, waiting_since, {}  # type: ignore[var-annotated]

    def xcom_pull(self, task_ids: str) -> Any:
        return self.outputs.get(task_ids)

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.waiting_since


class Event:
    def __init__(self) -> None:
        self.extra: dict[str, Any] = {}
        self.partitions: list[str] = []

    def add_partitions(self, keys: list[str]) -> None:
        self.partitions += keys


class Steps:
    """Stands in for the library: gives what it is told to, remembers what it was called with."""

    def __init__(self) -> None:
        self.outcome: Any = StepResult(key="k", as_of="2011-03-01")
        self.opened: dict[str, Any] = {}
        self.called: StepInput | None = None

    def open_run(self, settings: Any, **how: Any) -> Run:
        self.opened = how
        return Run(as_of=how["partition_key"] or "2011-03-01", workspace="w" * 64)

    def run_step(self, inp: StepInput, settings: Any) -> StepResult:
        self.called = inp
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    fake = Steps()
    monkeypatch.setattr(module, "open_run", fake.open_run)
    monkeypatch.setattr(module, "run_step", fake.run_step)
    return fake


def context(
    *,
    key: str | None = "2011-04-01",
    conf: dict[str, Any] | None = None,
    params: dict[str, Any] | None = None,
    user: str | None = None,
    outputs: dict[str, Any] | None = None,
    waiting_since: datetime | None = None,
) -> Any:
    run = SimpleNamespace(
        dag_id="rides.ingest", run_id="r1", run_type=DagRunType.MANUAL, conf=conf, triggering_user_name=user
    )
    return {
        "dag_run": run,
        "partition_key": key,
        "params": params or {},
        "ti": TaskInstance(outputs or {}, waiting_since),
        "outlet_events": {ASSET: Event()},
    }


def operator(**more: Any) -> StepOperator:
    return StepOperator(task_id="publish", step="publish", kind="dataset", resource="rides", **more)


def execute(task: StepOperator, given: Any) -> Any:
    # Airflow guards execute against calls from outside a task; the function below it is what the task runs.
    return type(task).execute.__wrapped__(task, given)  # type: ignore[attr-defined]


def test_step_is_given_the_runs_key_workspace_inputs_and_actor(steps: Steps) -> None:
    steps.outcome = StepResult(key="k", as_of="2011-04-01", output={"version": 3})
    given = context(outputs={"read": {"rows": 5}}, user="ann")
    assert execute(operator(takes=("read", "validate")), given) == {"version": 3}
    assert steps.opened["partition_key"] == "2011-04-01"
    called = steps.called
    assert called is not None
    assert (called.step, called.kind, called.resource, called.as_of) == ("publish", "dataset", "rides", "2011-04-01")
    assert called.inputs == {"read": {"rows": 5}, "validate": {}}
    assert (called.actor, called.run.run_type, called.workspace) == ("ann", "manual", "w" * 64)


def test_conf_is_passed_on_as_data_with_the_forms_defaults_and_without_its_blanks(steps: Steps) -> None:
    conf = {"reason": "{{ conn.x.password }} {{ 7 * 7 }}"}
    execute(operator(), context(conf=conf, params={"action": "roll_back", "version": None, "note": ""}))
    assert steps.called is not None
    assert steps.called.conf == {"action": "roll_back", "reason": "{{ conn.x.password }} {{ 7 * 7 }}"}
    assert steps.called.actor == "evergreen"


def test_outlet_rings_with_the_steps_event_under_the_runs_key(steps: Steps) -> None:
    steps.outcome = StepResult(key="k", as_of="2011-04-01", event={"version": 3})
    given = context()
    execute(operator(outlets=[ASSET]), given)
    event = given["outlet_events"][ASSET]
    assert (event.extra, event.partitions) == ({"version": 3}, [])


def test_keyless_run_rings_under_the_key_it_chose(steps: Steps) -> None:
    given = context(key=None)
    execute(operator(outlets=[ASSET]), given)
    assert given["outlet_events"][ASSET].partitions == ["2011-03-01"]


def test_nothing_to_do_is_a_skipped_task_with_its_reason(steps: Steps) -> None:
    steps.outcome = StepResult(key="k", as_of="2011-04-01", skip="no open request", links={"report": "reports/a.html"})
    given = context()
    task = operator(outlets=[ASSET])
    with pytest.raises(AirflowSkipException, match="no open request"):
        execute(task, given)
    assert given["ti"].pushed == {"skipped": "no open request"}
    assert task.made == {"report": "reports/a.html"}


def test_what_somebody_decided_first_is_skipped(steps: Steps) -> None:
    steps.outcome = Superseded("seq 4 is taken")
    with pytest.raises(AirflowSkipException, match="seq 4 is taken"):
        execute(operator(), context())


@pytest.mark.parametrize(
    "error",
    [
        UserError("conf.version", "must be given"),
        DataError("bikes/2011.csv", "must have a column", value="x"),
        SpecErrors([UserError("models/a.yaml:3", "must be a number")]),
    ],
)
def test_a_persons_mistake_fails_at_once_with_its_message_alone(steps: Steps, error: UserError) -> None:
    steps.outcome = error
    with pytest.raises(AirflowFailException) as caught:
        execute(operator(), context())
    assert str(caught.value) == str(error)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


@pytest.mark.parametrize("error", [TransientError("disk full"), ConnectionError("gone"), KeyError("bug")])
def test_anything_else_is_left_to_airflows_retries(steps: Steps, error: Exception) -> None:
    steps.outcome = error
    with pytest.raises(type(error)):
        execute(operator(), context())


def test_what_is_not_ready_is_looked_for_again_without_a_slot(steps: Steps) -> None:
    steps.outcome = NotReady("no file yet")
    before = datetime.now(UTC)
    with pytest.raises(AirflowRescheduleException) as caught:
        execute(operator(), context())
    assert timedelta(seconds=4) < caught.value.reschedule_date - before < timedelta(seconds=30)


def test_a_wait_ends_with_what_was_waited_for(steps: Steps) -> None:
    steps.outcome = NotReady("bikes/2011-04-01.csv is not there.")
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    with pytest.raises(AirflowFailException, match=r"2011-04-01\.csv is not there\. Gave up after waiting 1:00:00"):
        execute(operator(wait_timeout=timedelta(hours=1)), context(waiting_since=long_ago))


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"output": {"x": "y" * 9000}}, "output of step publish must stay under 8192 bytes"),
        ({"event": {"x": "y" * 9000}}, "event of step publish must stay under 8192 bytes"),
        ({"output": {"x": float("nan")}}, "must be plain JSON"),
        ({"output": {"x": datetime(2011, 1, 1)}}, "must be plain JSON"),
    ],
)
def test_only_small_plain_json_leaves_a_task(steps: Steps, result: dict[str, Any], message: str) -> None:
    steps.outcome = StepResult(key="k", as_of="2011-04-01", **result)
    with pytest.raises(AirflowFailException, match=message):
        execute(operator(outlets=[ASSET]), context())


@pytest.mark.parametrize("name", ["{{ conn.x.password }}", "a b", "../etc", "Rides", "rides\n", ""])
def test_only_identifiers_are_kept_on_the_operator(name: str) -> None:
    with pytest.raises(ValueError, match="must be identifiers"):
        StepOperator(task_id="t", step="read", kind="dataset", resource=name)
    with pytest.raises(ValueError, match="must be identifiers"):
        StepOperator(task_id="t", step=name, kind="dataset", resource="rides")


def test_links_lead_to_what_the_step_made(steps: Steps) -> None:
    made = {"mlflow_run": "http://127.0.0.1:5000/#/runs/1", "report": "reports/bike_demand/2011-04-01T06:00/drift.html"}
    steps.outcome = StepResult(key="k", as_of="2011-04-01", links=made)
    task = operator()
    links = {link.name: link for link in LINKS.values()}
    assert [link.get_link(task, ti_key=None) for link in links.values()] == ["", ""]
    execute(task, context())
    assert links["MLflow run"].get_link(task, ti_key=None) == made["mlflow_run"]
    report = "/evergreen/reports/bike_demand/2011-04-01T06%3A00/drift.html"
    assert links["Report"].get_link(task, ti_key=None) == report


def test_a_link_is_never_a_script_or_a_path_outside_the_reports() -> None:
    assert MlflowRunLink().href("javascript:alert(1)") == ""
    assert ReportLink().href("tables/x") == ""


def test_a_failed_check_keeps_its_report_and_says_its_reasons_in_lines(
    steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    page = "reports/rides/2011-04-01/validation-ab.html"
    steps.outcome = DataError(
        "rides as of 2011-04-01", "temp must be low: got 7; 9 of 10 rows were set aside", remedy=f"See {page}."
    )
    task = operator()
    with (
        caplog.at_level("ERROR"),
        pytest.raises(AirflowFailException, match=r"/evergreen/reports/rides/2011-04-01/valid"),
    ):
        execute(task, context())
    assert task.made == {"report": page}
    assert [record.message for record in caplog.records][:2] == [
        "rides as of 2011-04-01 temp must be low: got 7",
        f"9 of 10 rows were set aside. See {ReportLink().address(page)}.",
    ]


def test_the_log_tells_the_result_line_by_line(steps: Steps, caplog: pytest.LogCaptureFixture) -> None:
    output = {"verdict": "not_needed", "reasons": ["no window drifted", "loss +0.1%"], "rows": 7}
    steps.outcome = StepResult(key="k", as_of="2011-04-01", output=output)
    with caplog.at_level("INFO", logger=module.__name__):
        execute(operator(), context())
    told = [record.message for record in caplog.records if record.name == module.__name__][1:]
    assert told == ["Verdict: not_needed", "* no window drifted", "* loss +0.1%", "rows 7"]


def test_a_known_warning_of_a_library_is_not_said_while_a_step_runs(
    steps: Steps, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def noisy(inp: StepInput, settings: Any) -> StepResult:
        warnings.warn_explicit("The `airflow.x` is deprecated", DeprecationWarning, "x.py", 1, "skops.io._utils")
        warnings.warn_explicit("something else", DeprecationWarning, "x.py", 1, "skops.io._utils")
        return StepResult(key="k", as_of="2011-04-01")

    monkeypatch.setattr(module, "run_step", noisy)
    execute(operator(), context())
    assert [str(each.message) for each in recwarn.list] == ["something else"]
