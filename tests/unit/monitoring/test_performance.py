"""Labels that come late count once they are mature; what the gateway answered is told apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evergreen.monitoring.labels import Feedback
from evergreen.monitoring.performance import Judged, measure, score_table

START = datetime(2013, 3, 1, tzinfo=UTC)
INSTANT = pa.timestamp("us", tz="UTC")


def hours(n: int) -> pa.Array:
    return pa.array([START + timedelta(hours=hour) for hour in range(n)], INSTANT)


def frame(n: int) -> pa.Table:
    return pa.table({"_row_id": [f"r{i}" for i in range(n)], "_event_time": hours(n)})


def labels(values: list[float | None]) -> pa.Table:
    return frame(len(values)).append_column("cnt", pa.array(values, pa.float64()))


def scores(n: int) -> pa.Table:
    predictions = {1: np.full(n, 10.0), 2: np.full(n, 12.0)}
    return score_table(frame(n), {"champion": 2, "first": 1}, predictions, as_of="2013-03-02")


def judged(known: pa.Table, *, mature_by: datetime = START + timedelta(days=1), **more: Any) -> Judged:
    return measure(
        **{
            "task": "regression",
            "metric": "mean_absolute_error",
            "scores": scores(known.num_rows),
            "labels": known,
            "label": "cnt",
            "mature_by": mature_by,
            "min_labels": 2,
            "classes": {},
            **more,
        }
    )


def figures(known: pa.Table, **how: Any) -> dict[tuple[str, int], tuple[float | None, int]]:
    return {(row.role, row.version): (row.value, row.n_labelled) for row in judged(known, **how).figures}


def answers(*predictions: float, version: int = 2) -> pa.Table:
    """What the gateway answered to requests ``q0``, ``q1``, … for rows ``r0``, ``r1``, …."""
    n = len(predictions)
    return pa.table(
        {
            "request_id": [f"q{i}" for i in range(n)],
            "version": pa.array([version] * n, pa.int64()),
            "row_id": [f"r{i}" for i in range(n)],
            "prediction": [json.dumps(each) for each in predictions],
        }
    )


def sent(*labels: tuple[str, object], at: Sequence[str] | None = None) -> Feedback:
    """Feedback of callers: (request, label), a second apart unless said otherwise."""
    times = at or [(START + timedelta(seconds=second)).isoformat() for second in range(len(labels))]
    table = {
        "request_id": [request for request, _ in labels],
        "at": list(times),
        "label": [json.dumps(label) for _, label in labels],
    }
    return Feedback.of(pa.table(table))


def test_both_versions_are_judged_on_the_same_rows() -> None:
    found = figures(labels([11.0, 13.0, 10.0]))
    assert found[("champion", 2)] == (pytest.approx(4 / 3), 3)
    assert found[("first", 1)] == (pytest.approx(4 / 3), 3)


def test_labels_that_are_missing_or_not_mature_do_not_count() -> None:
    found = figures(labels([11.0, None, 13.0, 99.0]), mature_by=START + timedelta(hours=3))
    assert found[("champion", 2)] == (pytest.approx(1.0), 2)


def test_too_few_labels_give_no_figure() -> None:
    assert figures(labels([11.0, None]))[("champion", 2)] == (None, 1)


def test_logged_answers_are_joined_by_row_and_by_feedback() -> None:
    logged = pa.concat_tables([answers(10.0, 20.0), answers(0.0).set_column(2, "row_id", [["elsewhere"]])])
    found = figures(labels([11.0, None]), logged=logged, feedback=sent(("q1", 26.0)))
    assert found[("logged", 2)] == (pytest.approx((1 + 6) / 2), 2), "r0 from the dataset, r1 from the caller"


def test_a_label_that_a_caller_sends_early_waits_like_the_others() -> None:
    known = labels([None, None])
    found = figures(
        known, logged=answers(10.0, 20.0), feedback=sent(("q0", 11.0), ("q1", 26.0)),
        mature_by=START + timedelta(hours=1),
    )  # fmt: skip
    assert found[("logged", 2)] == (pytest.approx(1.0), 1)


@pytest.mark.parametrize(
    ("task", "metric", "predictions", "given", "classes", "value"),
    [
        ("binary", "accuracy", [0.9, 0.1, 0.9, 0.1, 0.9, 0.1, 0.9, 0.1],
         [True, False, 1, 0, 1.0, "no", "Yes", "false"], [0, 1], 1.0),
        ("regression", "mean_absolute_error", [1.0, 2.0, 3.0], [1, "2", " 3.0 "], [], 0.0),
        ("multiclass", "accuracy", [[0.9, 0.1], [0.1, 0.9]], ["a", "b"], ["a", "b"], 1.0),
        ("multiclass", "accuracy", [[0.9, 0.1], [0.1, 0.9]], ["1", 2.0], [1, 2], 1.0),
        ("multiclass", "accuracy", [[0.9, 0.1], [0.1, 0.9]], [1, 2], ["1", "2"], 1.0),
        ("multiclass", "accuracy", [[0.9, 0.1], [0.1, 0.9]], ["a", "new"], ["a", "b"], 0.5),
    ],
)  # fmt: skip
def test_labels_whose_meaning_is_plain_count(
    task: str, metric: str, predictions: list[Any], given: list[Any], classes: list[Any], value: float
) -> None:
    found = judged(
        labels([None] * len(given)), task=task, metric=metric, classes={2: classes}, logged=answers(*predictions),
        feedback=sent(*((f"q{i}", label) for i, label in enumerate(given))), scores=scores(0),
    )  # fmt: skip
    (logged,) = found.figures
    assert (logged.value, logged.n_labelled) == (value, len(given))
    assert found.set_aside == []


@pytest.mark.parametrize(
    ("task", "metric", "classes", "wrong"),
    [
        ("binary", "accuracy", [0, 1], [2, "maybe", 0.5, [1], {"late": True}, float("nan"), 10**400, ""]),
        ("regression", "mean_absolute_error", [], [True, "many", float("inf"), float("nan"), [3], 10**400, ""]),
        ("multiclass", "accuracy", ["a", "b"], [True, ["a"], {"a": 1}, float("nan")]),
        ("multiclass", "accuracy", [1, 2], [True, "one", 1.5, [1]]),
    ],
)
def test_labels_that_do_not_fit_are_set_aside_counted_and_named(
    task: str, metric: str, classes: list[Any], wrong: list[Any]
) -> None:
    right = {"binary": 1, "regression": 1.0, "multiclass": classes[0] if classes else None}[task]
    prediction: Any = [0.9, 0.1] if task == "multiclass" else 1.0
    n = len(wrong) + 1
    found = judged(
        labels([None] * n), task=task, metric=metric, classes={2: classes}, logged=answers(*[prediction] * n),
        feedback=sent(("q0", right), *((f"q{i}", label) for i, label in enumerate(wrong, start=1))), scores=scores(0),
    )  # fmt: skip
    (logged,) = found.figures
    assert (logged.n_rows, logged.n_labelled) == (n, 1)
    assert logged.value == (0.0 if task == "regression" else 1.0)
    assert [text.split(":")[0] for text in found.set_aside] == [f"request q{i}" for i in range(1, n)]


def test_a_label_of_the_dataset_that_does_not_fit_stops_nothing() -> None:
    found = judged(labels([11.0, float("inf"), float("nan"), 13.0]), logged=answers(10.0, 10.0, 10.0, 10.0))
    assert {(row.role, row.value, row.n_labelled) for row in found.figures} == {
        ("champion", 1.0, 2), ("first", 2.0, 2), ("logged", 2.0, 2),
    }  # fmt: skip
    assert len(found.set_aside) == 1 and "r1" in found.set_aside[0]


def test_the_newest_label_counts_in_whatever_order_they_are_read() -> None:
    said = [("q0", 30.0), ("q0", 11.0), ("q1", 12.0)]
    times = ["2013-03-01T00:00:05+00:00", "2013-03-01T00:00:05.000001+00:00", "2013-03-01T00:00:01+00:00"]
    for order in permutations(range(3)):
        feedback = sent(*(said[i] for i in order), at=[times[i] for i in order])
        found = figures(labels([None, None]), logged=answers(10.0, 10.0), feedback=feedback)
        assert found[("logged", 2)] == (pytest.approx((1 + 2) / 2), 2)


def test_labels_of_one_instant_give_the_same_answer_in_any_order() -> None:
    for said in permutations([("q0", 11.0), ("q0", 30.0), ("q0", None)]):
        feedback = sent(*said, at=["2013-03-01T00:00:05+00:00"] * 3)
        first = figures(labels([None]), logged=answers(10.0), feedback=feedback)
        assert first[("logged", 2)] == (None, 0), "null sorts last as JSON text"


def test_a_label_can_be_taken_back() -> None:
    found = figures(labels([None]), logged=answers(10.0), feedback=sent(("q0", 11.0), ("q0", None)))
    assert found[("logged", 2)] == (None, 0)


def test_a_newer_label_that_does_not_fit_leaves_the_older_one() -> None:
    found = judged(labels([None]), logged=answers(10.0), feedback=sent(("q0", 11.0), ("q0", "oops")), scores=scores(0))
    (logged,) = found.figures
    assert (logged.value, logged.n_labelled) == (1.0, 1)
    assert len(found.set_aside) == 1
