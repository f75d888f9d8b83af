"""The policy by table: figures in, verdict and causes out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evergreen.monitoring.policy import PolicyInputs, decide, relative_loss
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
    recent_values=[(NOW, 0.74, 5000)],
    drifted=[False, False, True],
    labelled_from=NOW - timedelta(days=150),
    labelled_through=NOW,
    rows_since=10,
    code_changed=False,
    last_request_as_of=NOW - timedelta(days=10),
)


def test_calm_figures_ask_for_nothing_and_say_why():
    decision = decide(CALM)
    assert decision.verdict == "not_needed"
    assert decision.causes == []
    assert any("1 of the last 3 judged windows drifted" in reason for reason in decision.reasons)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"drifted": [True, False, True]}, "drift"),
        ({"recent_values": [(NOW, 0.60, 5000)]}, "decay"),
        ({"training_as_of": NOW - timedelta(days=30)}, "calendar"),
        ({"rows_since": 1000}, "new_rows"),
        ({"code_changed": True}, "code"),
    ],
)
def test_each_cause_alone_asks_for_a_training(change, kind):
    decision = decide(replace(CALM, **change))
    assert decision.verdict == "retrain"
    assert [cause.kind for cause in decision.causes] == [kind]


def test_the_first_champion_is_a_cause_once_history_suffices():
    young = replace(CALM, champion_as_of=None, training_as_of=None, labelled_from=NOW - timedelta(days=30))
    assert decide(young).verdict == "too_little_history"
    ripe = replace(young, labelled_from=NOW - timedelta(days=31))
    assert [cause.kind for cause in decide(ripe).causes] == ["first_champion"]


def test_history_may_be_asked_for_in_labelled_rows():
    spec = SPEC.model_copy(update={"min_history": Rows(5000)})
    young = replace(CALM, spec=spec, champion_as_of=None, training_as_of=None, labelled_rows=4999)
    decision = decide(young)
    assert decision.verdict == "too_little_history"
    assert decision.reasons == ["4999 labelled rows are known, retraining.min_history is 5000 rows"]
    assert decision.figures["labelled_rows"] == 4999
    assert decide(replace(young, labelled_rows=5000, labelled_from=NOW - timedelta(days=1))).verdict == "retrain"


def test_nothing_is_asked_for_while_delay_and_split_keep_all_rows_from_the_fit():
    young = replace(CALM, labelled_from=NOW - timedelta(days=90), kept_back=timedelta(days=111), rows_since=1000)
    decision = decide(young)
    assert decision.verdict == "too_little_history"
    assert "90.0 days of labelled rows are known, and label.delay and split keep 111d" in decision.reasons[0]
    assert decide(replace(young, labelled_from=NOW - timedelta(days=112))).verdict == "retrain"


def test_work_older_than_the_champion_is_historic_whatever_the_figures_say():
    decision = decide(replace(CALM, champion_as_of=NOW + timedelta(days=1), rows_since=10**6))
    assert decision.verdict == "historic"


def test_the_cool_down_runs_in_data_time():
    hot = replace(CALM, rows_since=1000, last_request_as_of=NOW - timedelta(days=6))
    assert decide(hot).verdict == "cooling_down"
    assert decide(replace(hot, last_request_as_of=NOW - timedelta(days=7))).verdict == "retrain"


def test_a_loss_is_a_loss_in_either_direction_of_the_metric():
    assert relative_loss("roc_auc", 0.8, 0.6) == pytest.approx(0.25)
    assert relative_loss("mean_absolute_error", 40.0, 50.0) == pytest.approx(0.25)
