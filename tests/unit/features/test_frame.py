"""The frame of a model: what each row knew at its own prediction time, and no column more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from evergreen.errors import DataError, NotReady, SpecError
from evergreen.features.frame import build
from evergreen.features.signature import Signature, feature_columns, signature
from evergreen.spec.feature_view import FeatureView
from evergreen.spec.loading import Workspace
from evergreen.spec.model import Label, Model

INSTANT = pa.timestamp("us", tz="UTC")
NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "when.sql").write_text(
        "select hour(event_time) as hour, date_diff('minute', prediction_time, event_time) as ahead, "
        "upper(carrier) as who from request"
    )
    return tmp_path


def workspace(**changes: Any) -> Workspace:
    views = {
        "weather": {
            "reads": ["w"],
            "entity": ["origin"],
            "transform": "w.sql",
            "ttl": "6h",
            "outputs": {"temp": {"type": "float"}},
        },
        "when": {
            "kind": "on_demand",
            "transform": "when.sql",
            "outputs": {"hour": {"type": "int"}, "ahead": {"type": "int"}, "who": {"type": "string"}},
        },
    }
    model = {
        "task": "binary",
        "label": {"dataset": "flights", "column": "late"},
        "prediction_lead": "2h",
        "request": ["origin", "carrier", "distance"],
        "features": ["when", "weather"],
        "exclude": ["origin"],
        **changes,
    }
    return Workspace(
        views={name: FeatureView.model_validate({"name": name, **view}) for name, view in views.items()},
        models={"flight_late": Model.model_validate({"name": "flight_late", **model})},
    )


def flights(*rows: tuple[float, str, int | None]) -> pa.Table:
    count = len(rows)
    return pa.table(
        {
            "_row_id": pa.array([str(n) for n in range(count)], pa.string()),
            "_event_time": pa.array([at(hour) for hour, _, _ in rows], INSTANT),
            "_known_at": pa.array([at(hour + 5) for hour, _, _ in rows], INSTANT),
            "origin": pa.array([origin for _, origin, _ in rows], pa.string()),
            "carrier": pa.array(["ua"] * count, pa.string()),
            "distance": pa.array(range(count), pa.int32()),
            "late": pa.array([late for _, _, late in rows], pa.int64()),
            "arr_delay": pa.array([float("nan")] * count, pa.float64()),
        }
    )


def weather(*rows: tuple[str, float, float, float]) -> pa.Table:
    return pa.table(
        {
            "origin": pa.array([row[0] for row in rows], pa.string()),
            "temp": pa.array([row[3] for row in rows], pa.float64()),
            "_event_time": pa.array([at(row[1]) for row in rows], INSTANT),
            "_known_at": pa.array([at(row[2]) for row in rows], INSTANT),
            "_deleted": pa.array([False] * len(rows), pa.bool_()),
            "_commit": pa.array(range(len(rows)), pa.int64()),
        }
    )


def test_every_feature_is_what_was_known_at_the_rows_own_prediction_time(root):
    ws = workspace()
    tables = {"weather": weather(("EWR", -3, -3, 10.0), ("EWR", -1, 0.5, 20.0), ("JFK", -9, -9, 30.0))}
    rows = flights((2, "EWR", 1), (3, "EWR", 0), (2, "JFK", None), (2, "LGA", 1))
    frame = build(ws.models["flight_late"], ws, root, rows=rows, read_versions=tables.__getitem__)
    assert frame.to_pydict() == {
        "_row_id": ["0", "1", "2", "3"],
        "_event_time": [at(2), at(3), at(2), at(2)],
        "_prediction_time": [at(0), at(1), at(0), at(0)],
        "_label": [1, 0, None, 1],
        "_label_known_at": [at(7), at(8), None, at(7)],
        "origin": ["EWR", "EWR", "JFK", "LGA"],
        "carrier": ["ua"] * 4,
        "distance": [0, 1, 2, 3],
        "hour": [14, 15, 14, 14],
        "ahead": [120] * 4,
        "who": ["UA"] * 4,
        "temp": [10.0, 20.0, None, None],
    }
    assert feature_columns(ws.models["flight_late"], ws) == ["carrier", "distance", "hour", "ahead", "who", "temp"]


def test_the_signature_is_the_same_from_dataset_frame_and_json(root):
    ws = workspace()
    model, rows = ws.models["flight_late"], flights((2, "EWR", 1))
    frame = build(model, ws, root, rows=rows, read_versions={"weather": weather()}.__getitem__)
    made = signature(model, ws, frame.schema)
    assert made == signature(model, ws, rows.schema) == Signature.from_dict(made.to_dict())
    assert made.kinds == {
        "carrier": "categorical",
        "distance": "numeric",
        "hour": "numeric",
        "ahead": "numeric",
        "who": "categorical",
        "temp": "numeric",
    }
    assert made.looked_up == {"temp": "float"} and made.prediction_lead == timedelta(hours=2)


def test_no_rows_give_a_frame_of_no_rows(root):
    ws = workspace()
    frame = build(ws.models["flight_late"], ws, root, rows=flights(), read_versions={"weather": weather()}.__getitem__)
    assert frame.num_rows == 0 and str(frame.schema.field("distance").type) == "int64"


@pytest.mark.parametrize("raises", [True, False])
def test_views_of_which_nothing_is_published_are_named(root, raises):
    def read(name: str) -> None:
        if raises:
            raise NotReady(f"table {name} does not exist")

    ws = workspace()
    with pytest.raises(NotReady, match=r"flight_late needs feature tables .*: weather\. Run weather\.build first"):
        build(ws.models["flight_late"], ws, root, rows=flights((2, "EWR", 1)), read_versions=read)


def test_a_view_that_was_built_before_an_output_was_declared_says_so(root):
    ws, old = workspace(), weather(("EWR", 0, 0, 1.0)).drop_columns(["temp"])
    with pytest.raises(DataError, match=r"table features/weather must have the columns temp.*weather\.build again"):
        build(ws.models["flight_late"], ws, root, rows=flights((2, "EWR", 1)), read_versions=lambda _: old)


def test_what_is_not_declared_in_request_cannot_become_a_feature(root):
    (root / "features" / "when.sql").write_text("select arr_delay as hour, 1 as ahead, 'x' as who from request")
    ws = workspace()
    with pytest.raises(DataError, match=r"features/when.sql must be SQL.*arr_delay"):
        build(ws.models["flight_late"], ws, root, rows=flights((2, "EWR", 1)), read_versions=lambda _: weather())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"request": ("origin", "carrier", "weight")}, r"request must name columns of dataset flights, got 'weight'"),
        ({"features": ("nothing",)}, r"features must name feature views, got \['nothing'\]"),
        ({"label": Label(dataset="flights", column="temp")}, r"features/weather.yaml outputs must not be named temp"),
        ({"request": ("origin", "carrier", "_event_time")}, r"must not feed a model with _event_time, a timestamp"),
    ],
)
def test_a_model_that_does_not_fit_its_data_is_refused(root, changes, says):
    ws = workspace()
    model = ws.models["flight_late"].model_copy(update=changes)
    with pytest.raises(SpecError, match=says):
        build(model, ws, root, rows=flights((2, "EWR", 1)), read_versions=lambda _: weather())


def test_a_missing_label_column_is_refused(root):
    ws = workspace()
    rows = flights((2, "EWR", 1)).drop_columns(["late"])
    with pytest.raises(DataError, match="dataset flights must have the columns late, which model flight_late reads"):
        build(ws.models["flight_late"], ws, root, rows=rows, read_versions=lambda _: weather())
