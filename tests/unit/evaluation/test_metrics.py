import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evergreen.evaluation.bootstrap import gains, weighted
from evergreen.evaluation.metrics import better, compute, gain
from evergreen.spec.model import METRICS_OF_TASK


def test_binary_figures_against_worked_values():
    scores = compute("binary", np.array([0.0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])).values
    assert scores["roc_auc"] == 0.75  # the example of scikit-learn's documentation
    assert scores["average_precision"] == pytest.approx(0.8333333)
    assert scores["accuracy"] == 0.75
    assert scores["brier"] == pytest.approx((0.01 + 0.16 + 0.4225 + 0.04) / 4)
    assert scores["log_loss"] == pytest.approx(-(math.log(0.9) + math.log(0.6) + math.log(0.35) + math.log(0.8)) / 4)


def test_regression_figures_against_worked_values():
    scores = compute("regression", np.array([3, -0.5, 2, 7]), np.array([2.5, 0.0, 2, 8])).values
    assert scores["mean_absolute_error"] == 0.5
    assert scores["root_mean_squared_error"] == pytest.approx(math.sqrt(0.375))
    assert scores["r2"] == pytest.approx(0.948608, abs=1e-6)


def test_multiclass_figures_against_worked_values():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.5, 0.3]])
    scores = compute("multiclass", np.array([0.0, 1, 2]), p).values
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["f1_macro"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert scores["log_loss"] == pytest.approx(-(math.log(0.7) + math.log(0.8) + math.log(0.3)) / 3)


def test_a_class_that_the_model_does_not_know_is_always_wrong():
    p = np.array([[0.1, 0.9], [0.1, 0.9]])
    scores = compute("multiclass", np.array([1.0, -1.0]), p).values
    assert scores["accuracy"] == 0.5
    assert scores["log_loss"] == pytest.approx(-(math.log(0.9) + math.log(1e-15)) / 2)


def test_one_class_leaves_ranking_metrics_unsaid_with_the_reason():
    scores = compute("binary", np.ones(5), np.linspace(0, 1, 5))
    assert scores.values["roc_auc"] is None and scores.values["average_precision"] is None
    assert scores.reasons["roc_auc"] == "all 5 labels are of one class"
    assert scores.values["log_loss"] is not None
    assert compute("regression", np.ones(3), np.arange(3.0)).reasons == {"r2": "all 3 labels are the same"}


def test_predictions_that_are_no_numbers_leave_everything_unsaid():
    scores = compute("regression", np.arange(3.0), np.array([1, math.nan, math.inf]))
    assert set(scores.values.values()) == {None}
    assert scores.reasons["r2"] == "2 of 3 predictions are not finite numbers"
    assert compute("binary", np.array([]), np.array([])).reasons["roc_auc"] == "there are no rows"


def test_better_follows_the_metrics_direction():
    assert better("roc_auc", 0.8, 0.7) and not better("mean_absolute_error", 0.8, 0.7)
    assert gain("mean_absolute_error", 3, 5) == 2 and gain("r2", 0.5, 0.75) == -0.25


CASES = [(task, metric) for task, metrics in METRICS_OF_TASK.items() for metric in metrics]


def vectors(task, seed, n=40):
    rng = np.random.default_rng(seed)
    if task == "regression":
        return rng.normal(size=n), rng.normal(size=n)
    if task == "binary":
        return rng.integers(0, 2, n).astype(float), rng.integers(0, 6, n) / 5  # with ties
    p = rng.dirichlet(np.ones(3), n)
    return rng.integers(0, 3, n).astype(float), p


@pytest.mark.parametrize(("task", "metric"), CASES)
@given(seed=st.integers(0, 10_000))
def test_weighting_rows_is_the_same_as_repeating_them(task, metric, seed):
    y, p = vectors(task, seed)
    counts = np.random.default_rng(seed + 1).multinomial(len(y), np.ones(len(y)) / len(y))
    repeated = np.repeat(np.arange(len(y)), counts)
    expected = [compute(task, y, p).get(metric), compute(task, y[repeated], p[repeated]).get(metric)]
    if None in expected:
        return
    got = weighted(metric, y, p, np.stack([np.ones(len(y)), counts], axis=1))
    if metric == "f1_macro" and len(set(y) | set(p.argmax(1))) != len(set(y[repeated]) | set(p[repeated].argmax(1))):
        got[1] = expected[1]  # a class that no draw holds counts as 0 here, and not at all in scikit-learn
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("task", "metric"), CASES)
def test_the_interval_of_a_model_with_itself_is_nothing(task, metric):
    y, p = vectors(task, 1)
    interval = gains(metric, y, p, {"same": p}, seed=1)["same"]
    assert (interval.low, interval.high, interval.share_worse) == (0, 0, 0)


def test_the_interval_finds_the_gain_and_is_the_same_for_the_same_seed():
    rng = np.random.default_rng(0)
    y = rng.normal(size=400)
    good, bad = y + rng.normal(size=400) * 0.5, y + rng.normal(size=400)
    one = gains("mean_absolute_error", y, good, {"bad": bad, "nan": bad * math.nan}, seed=5)
    assert one == gains("mean_absolute_error", y, good, {"bad": bad, "nan": bad * math.nan}, seed=5)
    assert one["nan"] is None
    difference = np.abs(bad - y).mean() - np.abs(good - y).mean()
    assert 0 < one["bad"].low < difference < one["bad"].high
    # The normal approximation of a paired mean's interval, within a fifth of its width.
    spread = 1.96 * (np.abs(bad - y) - np.abs(good - y)).std() / 20
    assert one["bad"].high - one["bad"].low == pytest.approx(2 * spread, rel=0.2)
