"""Drift follows the effect, not the sample size; one odd value or column never stops it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.monitoring.drift import DriftReport, compare
from evergreen.spec.model import Drift

SPEC = Drift(min_rows=300)


def sample(n: int, shift: float, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "a": rng.normal(shift, 1, n),
            "b": rng.normal(shift, 1, n),
            "c": rng.choice(["x", "y"], n, p=[0.5, 0.5] if not shift else [0.95, 0.05]),
            "empty": pa.nulls(n, pa.float64()),
        }
    )


def one(reference: Sequence[Any], current: Sequence[Any], kind: pa.DataType | None = None, **spec: Any) -> DriftReport:
    """A comparison of one column ``x``."""
    tables = [pa.table({"x": pa.array(values, kind)}) for values in (reference, current)]
    return compare(tables[0], tables[1], Drift(**{"min_rows": 300, **spec}))


def distance(report: DriftReport) -> float:
    return float(report.figures["columns"]["x"])


def test_the_same_distribution_does_not_drift_at_any_size() -> None:
    for n in (400, 5000):
        report = compare(sample(n, 0, 1), sample(n, 0, 2), SPEC)
        assert report.drifted is False
        assert report.html is not None and "<html" in report.html.lower()


def test_a_large_shift_drifts_and_names_its_columns() -> None:
    report = compare(sample(2000, 0, 1), sample(2000, 2, 2), SPEC)
    assert report.drifted is True and report.verdict == "drift"
    assert report.figures["columns"]["a"] > 0.2
    assert any("empty on both sides: empty" in reason for reason in report.reasons)


def test_too_few_rows_cannot_be_judged() -> None:
    report = compare(sample(2000, 0, 1), sample(10, 2, 2), SPEC)
    assert report.drifted is None
    assert "min_rows is 300" in report.reasons[0]


def test_no_rows_are_neither_drift_nor_no_drift_whatever_the_spec_asks_for() -> None:
    report = compare(sample(2000, 0, 1), sample(0, 0, 2), Drift(min_rows=1))
    assert (report.drifted, report.verdict) == (None, "cannot judge")


def test_the_distance_is_1_where_no_value_is_shared_and_0_where_all_are_alike() -> None:
    assert distance(one(["a"] * 1000, ["b"] * 1000)) == pytest.approx(1, abs=0.01)
    assert distance(one(["a"] * 1000, ["a"] * 1000)) == 0


def test_the_distance_is_lins_in_bits() -> None:
    # p = (1/2, 1/2), q = (1, 0): H(3/4, 1/4) - 1/2 = 0.8112781 - 0.5 bits, of which sampling explains next to nothing.
    assert distance(one(["a", "b"] * 2500, ["a"] * 5000)) == pytest.approx(0.3112781**0.5, abs=0.001)


def test_a_bool_with_one_null_stays_a_bool() -> None:
    chance = np.random.default_rng(0)
    training, week = (chance.random(n) < 0.3 for n in (4000, 1000))
    with_null = [None, *map(bool, week[1:])]
    for left, right in ((training.tolist(), with_null), ([None, *training.tolist()], week.tolist())):
        report = one(left, right, pa.bool_())
        assert report.drifted is False
        assert distance(report) < 0.02
    ints = one([int(value) for value in training], [None if v is None else int(v) for v in with_null], pa.int64())
    assert ints.drifted is False and distance(ints) < 0.02


def test_a_column_without_a_value_has_the_kind_of_the_other_side() -> None:
    chance = np.random.default_rng(0)
    tables = [pa.table({"x": chance.normal(0, 1, 500), "y": pa.nulls(500)}) for _ in range(2)]
    filled = tables[1].set_column(1, "y", pa.array(chance.normal(0, 1, 500)))
    assert compare(tables[0], filled, SPEC).figures["columns"]["y"] > 0.9, "a feature that came to life is another one"
    assert compare(tables[0], tables[1], SPEC).figures["columns"].keys() == {"x"}


def test_numbers_that_came_as_text_are_compared_with_text() -> None:
    same = compare(pa.table({"x": ["1", "2"] * 500}), pa.table({"x": pa.array([1, 2] * 500, pa.int64())}), SPEC)
    assert same.drifted is False


@pytest.mark.parametrize("odd", [float("inf"), float("-inf"), 1e17, 1.7e308, -1.7e308, 5e-324, float("nan")])
@pytest.mark.parametrize("where", ["period", "training", "both"])
def test_one_odd_value_never_stops_the_report(odd: float, where: str) -> None:
    chance = np.random.default_rng(0)
    before, after = chance.normal(10, 1, 1000).tolist(), chance.normal(10, 1, 1000).tolist()
    if where in ("training", "both"):
        before[7] = odd
    if where in ("period", "both"):
        after[3] = odd
    report = one(before, after)
    assert report.drifted is False
    assert report.html is not None and "<html" in report.html.lower()
    told = any("infinite" in reason and "x" in reason for reason in report.reasons)
    assert told == (abs(odd) == float("inf"))


@pytest.mark.parametrize("all_of_it", [float("inf"), 1e17, 1.7e308, 2**62, -(2**63), 0.0])
def test_a_column_of_one_odd_value_is_compared_like_any_other(all_of_it: float) -> None:
    usual = one([all_of_it] * 400, [all_of_it] * 400)
    assert (usual.drifted, distance(usual)) == (False, 0)
    changed = one([1.0, 2.0, 3.0, 4.0] * 100, [float(all_of_it)] * 400)
    assert changed.drifted is True
    assert changed.html is not None and usual.html is not None


def test_infinite_values_that_become_many_are_drift() -> None:
    chance = np.random.default_rng(0)
    before, after = chance.normal(10, 1, 1000).tolist(), chance.normal(10, 1, 1000).tolist()
    after[:400] = [float("inf")] * 400
    report = one(before, after)
    assert report.drifted is True
    assert any("400" in reason and "infinite" in reason for reason in report.reasons)


@pytest.mark.parametrize(("before", "after"), [(300, 300), (3000, 300), (300, 5000), (5000, 5000)])
@pytest.mark.parametrize("categories", [2, 40, 400, 4000])
def test_stable_categories_are_no_drift_however_many(before: int, after: int, categories: int) -> None:
    chance = np.random.default_rng(categories)
    names = np.array([f"shop {number}" for number in range(categories)])
    weights = 1 / np.arange(1, categories + 1)
    for shares in (None, weights / weights.sum()):
        weeks = [
            one(chance.choice(names, before, p=shares).tolist(), chance.choice(names, after, p=shares).tolist())
            for _ in range(5)
        ]
        assert [week.drifted for week in weeks] == [False] * 5
        assert np.mean([distance(week) for week in weeks]) < 0.1


def test_ids_that_never_come_again_are_no_drift() -> None:
    report = one([f"id {n}" for n in range(1000)], [f"id {n}" for n in range(1000, 2000)])
    assert report.drifted is False


def test_many_categories_that_do_change_are_drift() -> None:
    chance = np.random.default_rng(1)
    names = [f"shop {number}" for number in range(400)]
    report = one(chance.choice(names[:300], 3000).tolist(), chance.choice(names[100:], 3000).tolist())
    assert report.drifted is True and distance(report) > 0.4


def test_a_changed_share_among_few_rows_is_drift() -> None:
    assert one(["a", "b"] * 150, ["a", "b", "b", "b", "b"] * 60).drifted is True


def test_columns_that_lost_their_values_are_broken_data_and_named() -> None:
    chance = np.random.default_rng(0)
    names = [f"measured_value_number_{number}" for number in range(500)]
    full = {name: chance.normal(0, 1, 400) for name in names}
    gone = {name: chance.normal(0, 1, 400) if n >= 400 else pa.nulls(400, pa.float64()) for n, name in enumerate(names)}
    report = compare(pa.table(full), pa.table(gone), SPEC)
    assert (report.drifted, report.verdict) == (None, "broken data")
    assert any(reason.startswith("broken data: 400 of 500 columns") and names[0] in reason for reason in report.reasons)
    assert report.figures["n_broken"] == 400
    assert len(json.dumps(report.reasons)) < 4000
    assert len(json.dumps(report.figures)) < 8000


def test_one_column_that_lost_its_values_is_named_and_the_rest_is_judged() -> None:
    chance = np.random.default_rng(0)
    before = {name: chance.normal(0, 1, 500) for name in "abcdef"}
    after = {name: chance.normal(0, 1, 500) for name in "abcdef"} | {"f": [None] * 490 + [1.0] * 10}
    report = compare(pa.table(before), pa.table(after), SPEC)
    assert report.drifted is False
    assert any(reason.startswith("broken data: 1 of 6 columns") for reason in report.reasons)
    assert "f" not in report.figures["columns"]


def test_a_column_that_is_mostly_empty_as_before_is_not_broken() -> None:
    before, after = [1.0] * 20 + [None] * 480, [1.0] * 12 + [None] * 488
    report = one(before, after)
    assert (report.drifted, report.figures["n_broken"]) == (False, 0)


def test_more_nulls_are_drift() -> None:
    chance = np.random.default_rng(0)
    before, after = chance.normal(0, 1, 1000).tolist(), chance.normal(0, 1, 1000).tolist()
    report = one(before, [None] * 500 + after[500:])
    assert report.drifted is True


def test_names_as_long_as_they_like_and_many_columns_stay_small() -> None:
    chance = np.random.default_rng(0)
    names = [f"{'n' * 150}{number}" for number in range(300)]
    before, after = ({name: chance.normal(shift, 1, 300) for name in names} for shift in (0, 3))
    after |= {name: np.full(300, np.inf) for name in names[:150]}
    report = compare(pa.table(before), pa.table(after), SPEC)
    assert report.drifted is True
    assert len(json.dumps(report.reasons)) < 4000
    assert report.figures["n_columns"] == 300 and report.figures["n_drifted"] == 300


def test_the_page_tells_the_same_distances_as_the_figures() -> None:
    report = compare(sample(2000, 0, 1), sample(2000, 2, 2), SPEC)
    assert report.html is not None
    shown = [float(score) for score in re.findall(r'"drift_score": ([0-9.]+)', report.html)]
    assert shown == pytest.approx(list(report.figures["columns"].values()), abs=1e-4)
    assert "Jensen-Shannon distance less its sampling error" in report.html


_VALUES: list[st.SearchStrategy[Any]] = [
    st.floats(),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.text(max_size=5),
    st.datetimes(),
]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_stands_in_a_column_there_is_a_verdict_and_a_page(data: st.DataObject) -> None:
    kinds = st.sampled_from(_VALUES)
    same = data.draw(st.booleans())
    kind = data.draw(kinds)
    tables = []
    for _ in range(2):
        values = data.draw(st.lists(st.none() | (kind if same else data.draw(kinds)), min_size=1, max_size=12))
        tables.append(pa.table({"x": pa.array(values)}))
    report = compare(tables[0], tables[1], Drift(min_rows=1, sample=100))
    assert report.verdict in ("drift", "no drift", "cannot judge", "broken data")
    assert json.dumps(report.figures, allow_nan=False)
    assert report.html is not None or "both sides" in " ".join(report.reasons)
