"""Real candidates, from frame to verdict: good, leaky, constant, of one class, not a number."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from evergreen.errors import DataError
from evergreen.evaluation.baseline import naive
from evergreen.evaluation.compare import Predicted, facts_of, judge
from evergreen.evaluation.gate import decide
from evergreen.evaluation.rows import rows_to_judge
from evergreen.spec.model import Model
from evergreen.training.fit import fit
from evergreen.training.labels import LabelSummary

AS_OF = datetime(2013, 3, 1, tzinfo=UTC)


def frame_of(task="binary", n=2400, labels=None):
    rng = np.random.default_rng(0)
    times = [AS_OF - timedelta(days=60) + timedelta(minutes=36 * i) for i in range(n)]
    x, noise = rng.normal(size=n), rng.normal(size=n)
    truth = x + noise > 0 if task == "binary" else 100 + 20 * x + 20 * noise
    stamp = pa.timestamp("us", tz="UTC")
    return pa.table({
        "_row_id": [f"{i:05d}" for i in range(n)], "_event_time": pa.array(times, stamp),
        "_prediction_time": pa.array(times, stamp), "_label": pa.array(truth if labels is None else labels),
        "_label_known_at": pa.array(times, stamp), "x": pa.array(x), "other": pa.array(rng.normal(size=n)),
        "flat": pa.array(np.zeros(n)), "outcome": pa.array(truth.astype(float)),
    })  # fmt: skip


def decision_of(task="binary", features=("x", "other"), labels=None, champions=(), **fields):
    model = Model.model_validate({
        "name": "toy", "task": task, "label": {"dataset": "toys", "column": "y"}, "request": ["x"],
        "trainer": {"rounds": 60, **fields.pop("trainer", {})}, **fields,
    })  # fmt: skip
    frame = frame_of(task, labels=labels)
    fitted = fit(model, frame, list(features), as_of_time=AS_OF)
    rows = rows_to_judge(
        frame, as_of_time=AS_OF, test_from=fitted.parts.test_from, test_through=fitted.parts.test_through,
        trained_throughs=[fitted.trained_through], gap=model.gap,
    ).rows  # fmt: skip
    assert list(rows) == list(fitted.parts.test)
    judged = frame.take(rows)
    inputs = judge(
        model, labels=judged.column("_label"), event_times=judged.column("_event_time").to_pylist(),
        candidate=Predicted(fitted.predict(judged)), fitted_labels=fitted.labels, importance=fitted.importance,
        champions=[Predicted(make(judged), version=version) for version, make in champions],
    )  # fmt: skip
    return decide(inputs)


def test_a_good_candidate_is_accepted_without_a_champion():
    decision = decision_of()
    assert decision.verdict == "accept", decision.reasons
    assert decision.figures["candidate"]["roc_auc"] > 0.75
    assert decision.figures["baseline"]["values"]["roc_auc"] == 0.5
    assert decision.figures["judged_from"] == (AS_OF - timedelta(days=14)).isoformat()


def test_a_leaky_candidate_is_refused_and_its_feature_named():
    decision = decision_of(features=("x", "outcome"))
    assert decision.verdict == "refuse"
    assert "looks like a leak" in decision.reasons[0] and "outcome" in decision.reasons[0]
    assert decision_of("regression", features=("x", "outcome")).verdict == "refuse"


def test_a_constant_candidate_is_refused():
    decision = decision_of(features=("flat",))
    assert decision.verdict == "refuse"
    assert "predictions are constant" in decision.reasons[0]


def test_a_candidate_of_one_class_is_refused():
    decision = decision_of(labels=np.zeros(2400, bool))
    assert decision.verdict == "refuse"
    assert any("one class only" in reason for reason in decision.reasons)
    assert any("judged labels are of one class" in reason for reason in decision.reasons)


def test_a_candidate_whose_predictions_are_no_numbers_is_refused():
    decision = decision_of("regression", trainer={"params": {"objective": "poisson", "learning_rate": 1e10}})
    assert decision.verdict == "refuse"
    assert "predictions are NaN or infinite" in decision.reasons[0]


def test_a_candidate_worse_than_a_remembered_champion_is_refused():
    def oracle(judged):
        return np.clip(judged.column("outcome").to_numpy() * 0.5 + judged.column("x").to_numpy() * 0.2 + 0.3, 0, 1)

    def guesser(judged):
        return np.linspace(0, 1, judged.num_rows)

    decision = decision_of(champions=[(5, guesser), (4, oracle)])
    assert decision.verdict == "refuse"
    assert "version 4" in decision.reasons[0]
    assert [rival["version"] for rival in decision.figures["champions"]] == [5, 4]
    assert decision.figures["champions"][0]["gain"]["low"] > 0 > decision.figures["champions"][1]["gain"]["high"]
    assert decision_of(champions=[(5, guesser)]).verdict == "accept"


def test_champions_of_other_classes_are_judged_on_the_same_rows():
    model = Model.model_validate(
        {"name": "toy", "task": "multiclass", "label": {"dataset": "t", "column": "y"}, "request": ["x"]}
    )
    labels = pa.chunked_array([["a", "b", "c"] * 100])
    own = np.tile(np.eye(3) * 0.6 + 0.2 - np.eye(3) * 0.2 + 0.0, (100, 1))
    own /= own.sum(axis=1, keepdims=True)
    old = np.tile([[0.9, 0.1], [0.1, 0.9], [0.5, 0.5]], (100, 1))  # knows no c
    inputs = judge(
        model, labels=labels, event_times=[AS_OF], candidate=Predicted(own, ["a", "b", "c"]),
        champions=[Predicted(old, ["a", "b"], 1)], fitted_labels=LabelSummary(300, 0, 0, (0.4, 0.3, 0.3)),
    )  # fmt: skip
    assert inputs.candidate.get("accuracy") == 1
    assert inputs.champions[0].scores.get("accuracy") == pytest.approx(2 / 3)
    assert inputs.baseline.scores.get("accuracy") == pytest.approx(1 / 3)
    assert inputs.label_classes == 3


def test_no_rows_cannot_be_judged():
    model = Model.model_validate(
        {"name": "toy", "task": "binary", "label": {"dataset": "t", "column": "y"}, "request": ["x"]}
    )
    nothing = pa.chunked_array([pa.array([], pa.bool_())])
    summary = LabelSummary(10, 0.5, 0.5, (0.5, 0.5))
    inputs = judge(model, labels=nothing, event_times=[], candidate=Predicted(np.array([])), fitted_labels=summary)
    assert decide(inputs).verdict == "cannot_judge"
    with pytest.raises(DataError, match="as many predictions as labels"):
        judge(model, labels=nothing, event_times=[], candidate=Predicted(np.ones(3)), fitted_labels=summary)


def test_rows_that_any_of_the_judged_was_trained_on_are_left_out():
    frame = frame_of()
    span = {"as_of_time": AS_OF, "test_from": AS_OF - timedelta(days=14), "test_through": AS_OF}
    judged = rows_to_judge(frame, trained_throughs=[AS_OF - timedelta(days=20), AS_OF - timedelta(days=7)], **span)
    events = frame.column("_event_time").take(judged.rows).to_pylist()
    assert min(events) > AS_OF - timedelta(days=7)
    assert len(judged.rows) == 7 * 40 - 1
    assert judged.too_close == 7 * 40 + 1


@pytest.mark.parametrize("ago", [10, 14, 17])
def test_judged_rows_lie_at_least_the_gap_after_every_training(ago):
    frame = frame_of()
    span = {"as_of_time": AS_OF, "test_from": AS_OF - timedelta(days=14), "test_through": AS_OF}
    trained = [AS_OF - timedelta(days=30), AS_OF - timedelta(days=ago)]
    judged = rows_to_judge(frame, trained_throughs=trained, gap=timedelta(days=3), **span)
    events = frame.column("_event_time").take(judged.rows).to_pylist()
    assert min(events) == AS_OF - timedelta(days=min(ago - 3, 14)), "the row that lies exactly the gap after is judged"
    assert len(judged.rows) + judged.too_close == 14 * 40


def test_a_refusal_says_how_many_rows_the_gap_took():
    decision = decision_of(gate={"min_rows": 600})
    assert "are not judged" not in decision.reasons[0]
    model = Model.model_validate(
        {"name": "toy", "task": "binary", "label": {"dataset": "t", "column": "y", "delay": "2d"}, "request": ["x"]}
    )
    labels = pa.chunked_array([pa.array([True, False] * 5)])
    inputs = judge(
        model, labels=labels, event_times=[], candidate=Predicted(np.linspace(0, 1, 10)), too_close=300,
        fitted_labels=LabelSummary(10, 0.5, 0.5, (0.5, 0.5)), learnt_from={"nulls": {"x": 0.25, "y": 0.0}, "rows": {}},
    )  # fmt: skip
    judged = decide(inputs)
    assert judged.verdict == "cannot_judge"
    assert "300 more of the test part are not judged" in judged.reasons[0]
    assert "less than 2d (split.gap) before" in judged.reasons[0]
    assert (judged.figures["nulls"], judged.figures["gap"], judged.figures["too_close"]) == ({"x": 0.25}, "2d", 300)


def test_the_naive_guess_is_the_best_constant_of_its_metric():
    summary = LabelSummary(4, 2.5, 2.0, ())
    assert naive("regression", "mean_absolute_error", summary, 2).tolist() == [2, 2]
    assert naive("regression", "r2", summary, 1).tolist() == [2.5]
    assert naive("binary", "roc_auc", LabelSummary(4, 0.25, 0, (0.75, 0.25)), 1).tolist() == [0.25]
    assert naive("multiclass", "accuracy", LabelSummary(4, 0, 0, (0.75, 0.25)), 1).tolist() == [[0.75, 0.25]]


def test_facts_count_what_is_no_number_and_what_differs():
    facts = facts_of(np.array([1.0, 1.0, np.nan, np.inf, 3.0]))
    assert (facts.n, facts.n_not_finite, facts.n_distinct, facts.spread) == (5, 2, 2, 2)
    assert facts_of(np.tile([0.2, 0.8], (4, 1))).n_distinct == 1
