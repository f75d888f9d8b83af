"""What a task's log says of a step, line by line."""

from __future__ import annotations

from typing import Any

import pytest

from evergreen.steps.contract import StepResult
from evergreen_airflow.account import WIDTH, account, addressed, paragraphs, report_in

BASE = "http://airflow.example:8080/team"


@pytest.fixture(autouse=True)
def base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", f"{BASE}/")


def told(**parts: Any) -> list[str]:
    return account(StepResult(key="k", as_of="2013-02-01", **parts))


def test_a_verdict_stands_above_its_reasons_one_a_line() -> None:
    output = {
        "verdict": "refuse",
        "reasons": ["roc_auc 0.61 is below gate.metrics.roc_auc.min 0.7. Improve it.", "It was fitted on one class."],
        "request": 7,
    }
    assert told(output=output, links={"mlflow_run": "http://127.0.0.1:5000/#/experiments/1/runs/2"}) == [
        "Verdict: refuse",
        "* roc_auc 0.61 is below gate.metrics.roc_auc.min 0.7. Improve it.",
        "* It was fitted on one class.",
        "request 7",
        "MLflow run: http://127.0.0.1:5000/#/experiments/1/runs/2",
    ]


def test_a_comparison_says_whether_there_is_drift_and_where_its_page_is() -> None:
    page = "reports/flight_late/2013-02-01T06:00/drift-ab12.html"
    output = {"drift": None, "report": page, "reasons": ["12 rows, drift.min_rows is 300"]}
    assert told(output=output, links={"report": page}) == [
        "Drift: none",
        "* 12 rows, drift.min_rows is 300",
        f"Report: {BASE}/evergreen/reports/flight_late/2013-02-01T06%3A00/drift-ab12.html",
    ]
    assert told(output={"drift": None, "reason": "there was no champion"})[1] == "* there was no champion"
    assert told(output={"drift": True})[0] == "Drift: yes"


def test_figures_are_told_by_groups_and_what_only_steps_read_is_not() -> None:
    output = {
        "rows_read": 744,
        "good": "staging/0f/ab.parquet",
        "training_set": "0123456789abcdef" * 4,
        "trained_through": "2013-01-31T22:59:00+00:00",
        "share": 0.123456789,
        "causes": ["drift", "decay"],
        "figures": {"champion_3": 0.86, "first_1": None, "path": "models/x"},
        "empty": {},
        "requests": [],
    }
    assert told(output=output) == [
        "rows read 744, trained through 2013-01-31T22:59:00+00:00, share 0.123457, causes drift decay",
        "Figures: champion 3 0.86, first 1 none",
    ]


def test_broken_expectations_are_told_one_a_line() -> None:
    failures = [{"rule": "temp must be between 0 and 1", "unexpected": 4, "observed": "7.0"}]
    verdict = {"rows": 744, "bad_rows": 4, "failures": failures, "success": False}
    assert told(output={"verdict": verdict, "good": "staging/x", "quarantined": "staging/y"}) == [
        "Verdict: success no, rows 744, bad rows 4",
        "* rule temp must be between 0 and 1, unexpected 4, observed 7.0",
    ]


def test_a_skip_says_why_line_by_line() -> None:
    skip = "no retraining is requested: 0 of the last 3 windows drifted; mae 4.1 against 4.0 at the gate: loss +2 %"
    assert told(skip=skip) == [
        "Nothing to do: no retraining is requested: 0 of the last 3 windows drifted",
        "* mae 4.1 against 4.0 at the gate: loss +2 %",
    ]


def test_no_line_scrolls_sideways_but_an_address() -> None:
    reason = "word " * 60
    lines = told(output={"reasons": [reason]}, links={"report": f"reports/{'a' * 150}.html"})
    assert max(map(len, lines[:-1])) <= WIDTH
    assert " ".join(line.strip() for line in lines[:-1]) == f"* {reason.strip()}"
    assert lines[-1] == f"Report: {BASE}/evergreen/reports/{'a' * 150}.html"


def test_a_reports_path_in_a_message_is_an_address() -> None:
    message = (
        "rides as of 2011-02-01 temp must be low. Nothing was published. See reports/rides/2011-02-01/v-1.html; repair"
    )
    assert paragraphs(message) == [
        "rides as of 2011-02-01 temp must be low. Nothing was published. See",
        f"  {BASE}/evergreen/reports/rides/2011-02-01/v-1.html",
        "repair",
    ]
    assert report_in(message) == "reports/rides/2011-02-01/v-1.html" and report_in("no report") is None
    again = addressed(addressed("See reports/a/b.html."))
    assert again == f"See {BASE}/evergreen/reports/a/b.html."
    assert addressed("lakereports/a.html, x/reports/a.html, reports/a.txt") == (
        "lakereports/a.html, x/reports/a.html, reports/a.txt"
    )


def test_nothing_to_tell_is_nothing() -> None:
    assert told() == [] and told(links={"elsewhere": "x"}) == []
    assert paragraphs("") == [""]
