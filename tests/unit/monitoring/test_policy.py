"""The policy by table: figures in, verdict and causes out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evergreen.monitoring.evidence import Asked, Value, Window
from evergreen.monitoring.policy import PolicyDecision, PolicyInputs, decide, relative_loss
from evergreen.spec.amounts import Rows
from evergreen.spec.model import Retraining

NOW = datetime(2013, 6, 1, tzinfo=UTC)
SPEC = Retraining(
    drift=True,
    decay=0.1,
    every=timedelta(days=30),
    new_rows=1000,
    cool_down=timedelta(days=7),
    min_history=timedelta(days=31),
)
CALM = PolicyInputs(
    spec=SPEC,
    metric="roc_auc",
    as_of_time=NOW,
    champion_as_of=NOW - timedelta(days=10),
    training_as_of=NOW - timedelta(days=10),
    gate_value=0.75,
    as_of="2013-06-01",
    code="now",
    version=3,
    values=[Value("2013-06-01", 0.74, 5000)],
    windows=[Window("2013-05-01", False), Window("2013-05-16", False), Window("2013-06-01", True)],
    labelled_from=NOW - timedelta(days=150),
    labelled_through=NOW,
    rows_since=10,
    code_changed=False,
    last_request_as_of=NOW - timedelta(days=10),
)


def test_calm_figures_ask_for_nothing_and_say_why() -> None:
    decision = decide(CALM)
    assert decision.verdict == "not_needed"
    assert decision.causes == []
    assert any("1 of the last 3 judged windows drifted" in reason for reason in decision.reasons)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"windows": [Window("a", True), Window("b", False), Window("c", True)]}, "drift"),
        ({"values": [Value("2013-06-01", 0.60, 5000)]}, "decay"),
        ({"training_as_of": NOW - timedelta(days=30)}, "calendar"),
        ({"rows_since": 1000}, "new_rows"),
        ({"code_changed": True}, "code"),
    ],
)
def test_each_cause_alone_asks_for_a_training(change: dict[str, Any], kind: str) -> None:
    decision = decide(replace(CALM, **change))
    assert decision.verdict == "retrain"
    assert [cause.kind for cause in decision.causes] == [kind]


def test_the_first_champion_is_a_cause_once_history_suffices() -> None:
    young = replace(CALM, champion_as_of=None, training_as_of=None, labelled_from=NOW - timedelta(days=30))
    assert decide(young).verdict == "too_little_history"
    ripe = replace(young, labelled_from=NOW - timedelta(days=31))
    assert [cause.kind for cause in decide(ripe).causes] == ["first_champion"]


def test_history_may_be_asked_for_in_labelled_rows() -> None:
    spec = SPEC.model_copy(update={"min_history": Rows(5000)})
    young = replace(CALM, spec=spec, champion_as_of=None, training_as_of=None, labelled_rows=4999)
    decision = decide(young)
    assert decision.verdict == "too_little_history"
    assert decision.reasons == ["4999 labelled rows are known, retraining.min_history is 5000 rows"]
    assert decision.figures["labelled_rows"] == 4999
    assert decide(replace(young, labelled_rows=5000, labelled_from=NOW - timedelta(days=1))).verdict == "retrain"


def test_nothing_is_asked_for_while_delay_and_split_keep_all_rows_from_the_fit() -> None:
    young = replace(CALM, labelled_from=NOW - timedelta(days=90), kept_back=timedelta(days=111), rows_since=1000)
    decision = decide(young)
    assert decision.verdict == "too_little_history"
    assert "90.0 days of labelled rows are known, and label.delay and split keep 111d" in decision.reasons[0]
    assert decide(replace(young, labelled_from=NOW - timedelta(days=112))).verdict == "retrain"


def test_work_older_than_the_champion_is_historic_whatever_the_figures_say() -> None:
    decision = decide(replace(CALM, champion_as_of=NOW + timedelta(days=1), rows_since=10**6))
    assert decision.verdict == "historic"


def test_the_cool_down_runs_in_data_time() -> None:
    hot = replace(CALM, rows_since=1000, last_request_as_of=NOW - timedelta(days=6))
    assert decide(hot).verdict == "cooling_down"
    assert decide(replace(hot, last_request_as_of=NOW - timedelta(days=7))).verdict == "retrain"


def test_a_loss_is_a_loss_in_either_direction_of_the_metric() -> None:
    assert relative_loss("roc_auc", 0.8, 0.6) == pytest.approx(0.25)
    assert relative_loss("mean_absolute_error", 40.0, 50.0) == pytest.approx(0.25)


def after(inputs: PolicyInputs, decision: PolicyDecision, *, days: float, **asked: Any) -> PolicyInputs:
    """The same figures so many days later, when a request of that decision has ended and nothing else happened."""
    request = Asked(7, inputs.as_of_time, decision.found, **asked)
    return replace(
        inputs, as_of_time=inputs.as_of_time + timedelta(days=days), asked=[*inputs.asked, request],
        last_request_as_of=inputs.as_of_time,
    )  # fmt: skip


DRIFTED = replace(CALM, windows=[Window("a", True), Window("b", False), Window("c", True)])
DECAYED = replace(CALM, values=[Value("2013-06-01", 0.60, 5000)])
CHANGED = replace(CALM, code_changed=True)


@pytest.mark.parametrize("inputs", [DRIFTED, DECAYED, CHANGED], ids=["drift", "decay", "code"])
def test_evidence_that_a_request_was_made_of_asks_for_no_second_one(inputs: PolicyInputs) -> None:
    first = decide(inputs)
    assert first.verdict == "retrain"
    for days in (8, 15):
        again = decide(after(inputs, first, days=days))
        assert again.verdict == "not_needed"
        assert any("request" in reason for reason in again.reasons)


def test_windows_that_drift_later_are_new_evidence_and_count_without_the_spent_ones() -> None:
    later = after(DRIFTED, decide(DRIFTED), days=8)
    one = replace(later, windows=[*DRIFTED.windows, Window("d", True)])
    assert decide(one).verdict == "not_needed", "c was acted on, so d is the only one"
    two = replace(one, windows=[*one.windows, Window("e", True)])
    asked = decide(two)
    assert asked.verdict == "retrain"
    assert asked.found == {"drift": ["d", "e"]}


def test_a_later_period_that_decays_is_new_evidence() -> None:
    later = after(DECAYED, decide(DECAYED), days=8)
    again = decide(replace(later, values=[*DECAYED.values, Value("2013-06-16", 0.61, 4000)]))
    assert (again.verdict, again.found) == ("retrain", {"decay": ["2013-06-16"]})


def test_the_same_period_with_more_labels_is_the_same_evidence() -> None:
    later = after(DECAYED, decide(DECAYED), days=8)
    assert decide(replace(later, values=[Value("2013-06-01", 0.55, 9000)])).verdict == "not_needed"


def test_an_older_period_that_decayed_does_not_count_once_a_newer_one_has_a_figure() -> None:
    assert decide(replace(DECAYED, values=[*DECAYED.values, Value("2013-06-16", 0.75, 4000)])).verdict == "not_needed"


def test_other_code_is_new_evidence() -> None:
    later = after(CHANGED, decide(CHANGED), days=8)
    assert decide(replace(later, code="edited again")).found == {"code": ["edited again"]}


def test_code_that_could_not_be_judged_asks_again_when_the_gate_has_rows_to_judge_it_by() -> None:
    first = decide(replace(CHANGED, min_rows=200))
    early = replace(after(CHANGED, first, days=8, is_unjudged=True, labels_since=199), min_rows=200)
    assert decide(early).verdict == "not_needed"
    assert decide(replace(early, asked=[replace(early.asked[0], labels_since=200)])).verdict == "retrain"


def test_the_calendar_counts_from_when_it_asked_last() -> None:
    due = replace(CALM, training_as_of=NOW - timedelta(days=30))
    first = decide(due)
    assert first.found == {"calendar": ["2013-06-01"]}
    assert decide(after(due, first, days=29)).verdict == "not_needed"
    assert decide(after(due, first, days=30)).verdict == "retrain"


def test_rows_are_told_to_count_from_the_last_request_for_them() -> None:
    many = replace(CALM, rows_since=1000)
    later = after(many, decide(many), days=8)
    assert any("since the last request for them" in reason for reason in decide(replace(later, rows_since=999)).reasons)


def test_the_first_champion_is_not_asked_for_twice_of_the_same_rows_and_code() -> None:
    none = replace(CALM, champion_as_of=None, training_as_of=None, version=None, labelled_rows=500)
    first = decide(none)
    assert first.verdict == "retrain"
    again = after(none, first, days=1)
    assert decide(again).verdict == "nothing_new"
    assert "request 7" in decide(again).reasons[0]
    assert decide(replace(again, labelled_rows=501)).verdict == "retrain"
    assert decide(replace(again, code="mended")).verdict == "retrain"


def test_evidence_is_not_spent_while_the_policy_cools_down() -> None:
    hot = replace(DRIFTED, last_request_as_of=NOW - timedelta(days=1))
    assert decide(hot).verdict == "cooling_down"
    assert decide(replace(hot, as_of_time=NOW + timedelta(days=6))).verdict == "retrain"


def test_nothing_judged_is_no_evidence() -> None:
    assert decide(replace(CALM, windows=[], values=[])).verdict == "not_needed"
