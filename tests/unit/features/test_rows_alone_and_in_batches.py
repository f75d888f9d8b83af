"""One row gives one feature: in training, alone and in a batch, whatever other rows of the same call lack."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from evergreen.features.on_demand import OnDemand, compute
from evergreen.features.request import read_rows, request_frame
from evergreen.features.signature import Signature
from evergreen.spec.feature_view import FeatureView

SIGNATURE = Signature(
    request={"zone": "int", "big": "int", "open": "bool", "share": "float", "name": "string"},
    looked_up={},
    computed={"label": "string", "parity": "int", "negated": "bool", "kinds": "string"},
    features=("label", "parity", "negated", "kinds"),
)
CODE = """
import pandas as pd


def made(request):
    def kind(value):
        return "missing" if pd.isna(value) else type(value).__name__.replace("bool_", "bool").replace("int64", "int")

    return pd.DataFrame({
        "label": ["none" if pd.isna(zone) else f"zone-{zone}" for zone in request["zone"]],
        "parity": pd.array([None if pd.isna(big) else int(big) % 2 for big in request["big"]], dtype="Int64"),
        "negated": pd.array([None if pd.isna(each) else not each for each in request["open"]], dtype="boolean"),
        "kinds": [f"{kind(row.zone)} {kind(row.open)}" for row in request.itertuples()],
    }, index=request.index)
"""
PLAIN = {"zone": 101, "big": 9007199254740993, "open": True, "share": 0.5, "name": "a"}
ROWS = [
    PLAIN,
    {**PLAIN, "zone": None, "open": None},
    {**PLAIN, "big": -9007199254740993, "open": False, "zone": 0},
    dict.fromkeys(PLAIN),
    {**PLAIN, "big": None, "share": None, "name": None},
    {**PLAIN, "zone": 2**63 - 1},
]
WANTED = {
    "label": ["zone-101", "none", "zone-0", "none", "zone-101", f"zone-{2**63 - 1}"],
    "parity": [1, 1, 1, None, None, 1],
    "negated": [False, None, True, None, False, False],
}
NOW = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture
def view(tmp_path: Path) -> FeatureView:
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "made.py").write_text(CODE)
    outputs = {name: {"type": kind} for name, kind in SIGNATURE.computed.items()}
    return FeatureView.model_validate(
        {"name": "made", "kind": "on_demand", "transform": "made.py:made", "outputs": outputs}
    )


def features(ready: OnDemand, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return request_frame(SIGNATURE, rows, [ready], now=NOW).select(list(SIGNATURE.features)).to_pylist()


def test_a_row_gives_the_same_alone_and_beside_any_other(tmp_path: Path, view: FeatureView) -> None:
    with OnDemand(view, tmp_path) as ready:
        batch = features(ready, ROWS)
        assert {name: [row[name] for row in batch] for name in WANTED} == WANTED
        assert [features(ready, [row])[0] for row in ROWS] == batch
        for other in range(len(ROWS)):
            assert [features(ready, [row, ROWS[other]])[0] for row in ROWS] == batch


def test_a_row_gives_in_training_what_it_gives_when_asked(tmp_path: Path, view: FeatureView) -> None:
    from evergreen.features.frame import request_table

    read = read_rows(SIGNATURE, ROWS, now=NOW)
    trained = compute(view, tmp_path, request_table(read, tuple(SIGNATURE.request)))
    with OnDemand(view, tmp_path) as ready:
        assert trained.to_pylist() == features(ready, ROWS)
