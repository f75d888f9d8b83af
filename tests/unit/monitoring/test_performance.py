"""Labels that come late count once they are mature; what the gateway answered is told apart."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from evergreen.monitoring.performance import measure, score_table

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


def figures(known: pa.Table, *, mature_by: datetime, **more: object) -> dict[tuple[str, int], tuple[float | None, int]]:
    found = measure(
        task="regression",
        metric="mean_absolute_error",
        scores=scores(known.num_rows),
        labels=known,
        label="cnt",
        mature_by=mature_by,
        min_labels=2,
        classes={},
        **more,
    )
    return {(row.role, row.version): (row.value, row.n_labelled) for row in found}


def test_both_versions_are_judged_on_the_same_rows():
    found = figures(labels([11.0, 13.0, 10.0]), mature_by=START + timedelta(days=1))
    assert found[("champion", 2)] == (pytest.approx(4 / 3), 3)
    assert found[("first", 1)] == (pytest.approx(4 / 3), 3)


def test_labels_that_are_missing_or_not_mature_do_not_count():
    found = figures(labels([11.0, None, 13.0, 99.0]), mature_by=START + timedelta(hours=3))
    assert found[("champion", 2)] == (pytest.approx(1.0), 2)


def test_too_few_labels_give_no_figure():
    assert figures(labels([11.0, None]), mature_by=START + timedelta(days=1))[("champion", 2)] == (None, 1)


def test_logged_answers_are_joined_by_row_and_by_feedback():
    logged = pa.table(
        {
            "request_id": ["a", "b", "c"],
            "version": pa.array([2, 2, 2], pa.int64()),
            "row_id": ["r0", "r1", "elsewhere"],
            "prediction": [json.dumps(10.0), json.dumps(20.0), json.dumps(0.0)],
        }
    )
    feedback = pa.table({"request_id": ["b"], "label": [json.dumps(26.0)]})
    found = figures(
        labels([11.0, None]), mature_by=START + timedelta(days=1), logged=logged, feedback=feedback
    )  # r0 from the dataset, r1 from the caller, the third of another period
    assert found[("logged", 2)] == (pytest.approx((1 + 6) / 2), 2)
