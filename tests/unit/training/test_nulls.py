"""Each feature's share of nulls, and what the spec allows of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evergreen.spec.feature_view import FeatureView
from evergreen.training.nulls import null_shares, refusals

VIEW = FeatureView.model_validate({
    "name": "recent", "reads": ["trips", "weather"], "timestamp": "t", "transform": "recent.sql",
    "outputs": {"load": {"type": "float"}},
})  # fmt: skip
COMPUTED = FeatureView.model_validate(
    {"name": "ratio", "kind": "on_demand", "transform": "ratio.py:f", "outputs": {"part": {"type": "float"}}}
)


def test_null_and_not_a_number_count_among_the_rows_that_are_named() -> None:
    frame = pa.table({
        "x": pa.array([1.0, None, float("nan"), 4.0]), "word": pa.array(["a", None, None, "d"]),
        "whole": pa.array([1, 2, 3, 4]), "gone": pa.nulls(4, pa.float64()),
    })  # fmt: skip
    shares = null_shares(frame, np.array([0, 1, 2]), ["gone", "x", "word", "whole"])
    assert shares == {"gone": 1.0, "x": pytest.approx(2 / 3), "word": pytest.approx(2 / 3), "whole": 0.0}
    assert null_shares(frame, np.array([], dtype=np.int64), ["x"]) == {"x": 0.0}


@pytest.mark.parametrize(
    ("spec", "shares", "refused"),
    [
        ({}, {"distance": 0.95, "load": 0.95, "part": 0.95}, []),
        ({}, {"distance": 0.951, "load": 0.96, "part": 1.0}, ["distance", "load", "part"]),
        ({"max_null": 1.0}, {"load": 1.0}, []),
        ({"max_null": 0.1}, {"load": 0.2, "distance": 0.1}, ["load"]),
        ({"max_null": 0.1, "max_null_of": {"load": 0.5}}, {"load": 0.4, "distance": 0.4}, ["distance"]),
        ({"max_null": 0.5, "max_null_of": {"load": 0.0}}, {"load": 0.001, "distance": 0.4}, ["load"]),
    ],
)
def test_what_the_spec_does_not_allow_is_refused(model_of: Any, spec: Any, shares: Any, refused: list[str]) -> None:
    told = refusals(shares, model_of(**spec), {"recent": VIEW, "ratio": COMPUTED}, lambda dataset: True)
    assert [sentence.split()[0] for sentence in told] == refused


def test_a_feature_whose_source_has_no_rows_may_be_empty_unless_the_spec_says_otherwise(model_of: Any) -> None:
    views, shares = {"recent": VIEW}, {"load": 1.0}
    assert refusals(shares, model_of(), views, lambda dataset: dataset == "toys") == []
    assert refusals(shares, model_of(), views, lambda dataset: dataset == "weather") != []
    assert refusals(shares, model_of(max_null=0.99), views, lambda dataset: False) != []


def test_a_refusal_says_figure_bound_and_what_to_run(model_of: Any) -> None:
    views = {"recent": VIEW, "ratio": COMPUTED}
    shares = {"load": 0.978, "part": 0.99, "distance": 0.97}
    load, part, distance = refusals(shares, model_of(max_null_of={"part": 0.2}), views, lambda dataset: True)
    assert load == (
        "load is null in 97.8% of them (max_null 0.95). Run recent.build for the past (a backfill over the keys of "
        "trips), or look into features/recent.yaml."
    )
    assert part.startswith("part is null in 99.0% of them (max_null_of.part 0.2). Look into ratio.py:f, which computes")
    assert distance.endswith("Look into distance of datasets/toys.yaml, or name it under exclude.")
