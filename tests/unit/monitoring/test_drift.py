"""Drift follows the effect, not the sample size."""

import numpy as np
import pyarrow as pa

from evergreen.monitoring.drift import compare
from evergreen.spec.model import Drift


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


def test_the_same_distribution_does_not_drift_at_any_size():
    spec = Drift(min_rows=300)
    for n in (400, 5000):
        report = compare(sample(n, 0, 1), sample(n, 0, 2), spec)
        assert report.drifted is False
    assert "<html" in report.html.lower()


def test_a_large_shift_drifts_and_names_its_columns():
    report = compare(sample(2000, 0, 1), sample(2000, 2, 2), Drift(min_rows=300))
    assert report.drifted is True
    assert report.figures["columns"]["a"] > 0.2
    assert any(reason.startswith("empty was left out") for reason in report.reasons)


def test_too_few_rows_cannot_be_judged():
    report = compare(sample(2000, 0, 1), sample(10, 2, 2), Drift(min_rows=300))
    assert report.drifted is None
    assert "min_rows is 300" in report.reasons[0]
