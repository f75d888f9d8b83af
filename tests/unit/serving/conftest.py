"""A small model per version: regression of a line, version 2 predicts 100 more than version 1, and so on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

AS_OF = datetime(2013, 3, 1, tzinfo=UTC)
FEATURES = ["carrier", "flight", "distance", "lateness", "hour"]
ROW = {"carrier": "UA", "flight": 7, "distance": 0.5, "lateness": 0.1, "event_time": "2013-02-03T17:30:00Z"}
CALENDAR = """
select extract(hour from event_time) as hour,
  unnest(case when distance = -666 then [error('a broken view')] when distance = -667 then [0, 0] else [0] end) as zero
from request
"""
"""Refuses one distance by its value; of another it makes two rows, which is a fault of the view's own."""


@cache
def fitted(version: int, task: str) -> Any:
    import numpy as np
    import pyarrow as pa

    from evergreen.spec.model import Model
    from evergreen.training.fit import fit

    n = 800
    rng = np.random.default_rng(version)
    events = [AS_OF - timedelta(hours=n - i) for i in range(n)]
    distance = rng.normal(size=n)
    label: Any = 100.0 * version + distance
    if task == "multiclass":
        label = np.array(["early", "late", "on_time"])[np.digitize(distance, [-0.5, 1.0])]
    instant = pa.timestamp("us", tz="UTC")
    frame = pa.table({
        "_row_id": [str(i) for i in range(n)],
        "_event_time": pa.array(events, instant),
        "_prediction_time": pa.array(events, instant),
        "_label": pa.array(label),
        "_label_known_at": pa.array([e + timedelta(hours=1) for e in events], instant),
        "carrier": rng.choice(["AA", "B6", "UA"], n).tolist(),
        "flight": pa.array(rng.integers(1, 99, n)),
        "distance": pa.array(distance),
        "lateness": pa.array(rng.normal(size=n)),
        "hour": pa.array([e.hour for e in events]),
    })  # fmt: skip
    model = Model.model_validate({
        "name": "toy", "task": task, "label": {"dataset": "toys", "column": "y"},
        "request": ["carrier", "flight", "distance"], "trainer": {"kind": "lightgbm", "rounds": 20, "threads": 1},
    })  # fmt: skip
    return fit(model, frame, FEATURES, as_of_time=AS_OF), frame


def save_bundle(
    folder: Path,
    version: int,
    *,
    task: str = "regression",
    sql: str = CALENDAR,
    python: str | None = None,
    label: str | None = None,
) -> Path:
    """``python`` replaces the view's SQL; its first function is called."""
    from evergreen.features.signature import Signature
    from evergreen.spec.feature_view import FeatureView
    from evergreen.training.bundle import save

    trained, frame = fitted(version, task)
    named = "calendar.sql" if python is None else f"calendar.py:{python.partition('def ')[2].partition('(')[0]}"
    view = FeatureView.model_validate({
        "name": "calendar", "kind": "on_demand", "transform": named, "description": "d",
        "outputs": {"hour": {"type": "int", "description": "d"}, "zero": {"type": "int", "description": "d"}},
    })  # fmt: skip
    described = Signature(
        {"carrier": "string", "flight": "int", "distance": "float"},
        {"lateness": "float"},
        {"hour": "int", "zero": "int"},
        tuple(FEATURES),
        prediction_lead_seconds=7200,
    )
    facts = {"signature": described.to_dict(), "identity": ["carrier", "flight", "at"], "event_time": "at"}
    facts |= {} if label is None else {"label": {"column": "y", "type": label}}
    text = sql if python is None else python
    save(
        folder, trained, model="toy", training_id=f"t{version}", golden=frame.take(trained.parts.test), facts=facts,
        on_demand=[view.model_dump(mode="json")], files={f"features/{named.partition(':')[0]}": text.encode()},
    )  # fmt: skip
    return folder


def freeze_bundle(lake: Any, folder: Path) -> str:
    from evergreen.lake.workspace import freeze

    return freeze(lake, {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()})


@pytest.fixture
def lake(tmp_path: Path) -> Any:
    from evergreen.lake.lake import Lake

    return Lake(tmp_path / "lake")


@pytest.fixture
def bundle_of(tmp_path: Path) -> Callable[..., Path]:
    """Writes a version's bundle into a folder."""
    return lambda version, **how: save_bundle(Path(mkdtemp(dir=tmp_path)), version, **how)


@pytest.fixture
def frozen(lake: Any, bundle_of: Callable[..., Path]) -> Callable[..., str]:
    """Freezes a version's bundle into the lake and gives its digest."""
    return lambda version, **how: freeze_bundle(lake, bundle_of(version, **how))


@pytest.fixture
def row() -> dict[str, Any]:
    return dict(ROW)
