"""Frames as the features package builds them, from a known law."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

AS_OF = datetime(2013, 3, 1, tzinfo=UTC)
FEATURES = ["distance", "carrier", "is_weekend", "seen_at"]


def build_frame(n: int = 1200, *, task: str = "binary", seed: int = 3, days: int = 60) -> Any:
    import numpy as np
    import pyarrow as pa

    rng = np.random.default_rng(seed)
    start = AS_OF - timedelta(days=days)
    events = [start + timedelta(seconds=days * 86400 * i / n) for i in range(n)]
    distance = rng.normal(size=n)
    carriers = np.array(["AA", "B6", "UA", "ZW"])[rng.integers(0, 4, n)]
    signal = distance + (carriers == "UA") * 1.5 + rng.normal(size=n) * 0.7
    label: Any = {
        "binary": signal > 0.5,
        "regression": 10 + 3 * signal,
        "multiclass": np.array(["early", "late", "on_time"])[np.digitize(signal, [-0.5, 1.0])],
    }[task]
    return pa.table({
        "_row_id": [f"{i:06d}" for i in range(n)],
        "_event_time": pa.array(events, pa.timestamp("us", tz="UTC")),
        "_prediction_time": pa.array([e - timedelta(hours=2) for e in events], pa.timestamp("us", tz="UTC")),
        "_label": pa.array(label),
        "_label_known_at": pa.array([e + timedelta(hours=6) for e in events], pa.timestamp("us", tz="UTC")),
        "distance": pa.array([None if i % 50 == 7 else float(d) for i, d in enumerate(distance)]),
        "carrier": pa.array([None if i % 40 == 3 else str(c) for i, c in enumerate(carriers)]),
        "is_weekend": pa.array([e.weekday() >= 5 for e in events]),
        "seen_at": pa.array(events, pa.timestamp("us", tz="UTC")),
    })  # fmt: skip


def build_model(task: str = "binary", **fields: Any) -> Any:
    from evergreen.spec.model import Model

    document: dict[str, Any] = {
        "name": "toy", "task": task, "label": {"dataset": "toys", "column": "late", "delay": "6h"},
        "request": FEATURES, "trainer": {"kind": "lightgbm", "rounds": 40},
    }  # fmt: skip
    return Model.model_validate(document | fields)


@pytest.fixture
def frame_of() -> Callable[..., Any]:
    return build_frame


@pytest.fixture
def model_of() -> Callable[..., Any]:
    return build_model


@pytest.fixture
def as_of() -> datetime:
    return AS_OF


@pytest.fixture
def features() -> list[str]:
    return FEATURES
