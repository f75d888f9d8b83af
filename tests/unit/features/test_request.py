"""Requests: the same columns as in training, and every mistake named by row and field."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evergreen.errors import UserError
from evergreen.features.on_demand import OnDemand
from evergreen.features.request import RequestErrors, request_frame
from evergreen.features.signature import Signature
from evergreen.spec.feature_view import FeatureView

SIGNATURE = Signature(
    request={
        "origin": "string",
        "distance": "int",
        "wind": "float",
        "holiday": "bool",
        "day": "date",
        "seen": "timestamp",
    },
    looked_up={"temp": "float"},
    computed={"hour": "int"},
    features=("distance", "wind", "holiday", "hour", "temp"),
    prediction_lead_seconds=7200,
)
ROW = {
    "origin": "EWR",
    "distance": 3,
    "wind": 2,
    "holiday": False,
    "day": "2013-02-01",
    "seen": "2013-02-01T10:00:00-05:00",
    "event_time": "2013-02-01T17:30:00Z",
}


@pytest.fixture
def when(tmp_path: Path):
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "when.sql").write_text("select hour(event_time) as hour from request")
    view = FeatureView.model_validate(
        {"name": "when", "kind": "on_demand", "transform": "when.sql", "outputs": {"hour": {"type": "int"}}}
    )
    with OnDemand(view, tmp_path) as ready:
        yield ready


def test_rows_come_in_the_models_columns_and_order(when):
    frame = request_frame(SIGNATURE, [ROW, {**ROW, "temp": 4, "event_time": "2013-02-01T18:30:00"}], [when])
    assert frame.schema.names == ["_event_time", "_prediction_time", *SIGNATURE.types]
    assert frame["hour"].to_pylist() == [17, 18]
    assert frame["temp"].to_pylist() == [None, 4.0]
    assert frame["wind"].to_pylist() == [2.0, 2.0]
    assert frame["seen"].to_pylist()[0] == datetime(2013, 2, 1, 15, tzinfo=UTC)
    assert frame["_prediction_time"].to_pylist()[0] == datetime(2013, 2, 1, 15, 30, tzinfo=UTC)


def test_without_an_event_time_it_is_now_plus_the_lead(when):
    now = datetime(2013, 2, 1, 3, tzinfo=UTC)
    row = {name: value for name, value in ROW.items() if name != "event_time"}
    frame = request_frame(SIGNATURE, [row], [when], now=now)
    assert frame["_event_time"].to_pylist() == [now + timedelta(hours=2)]
    with pytest.raises(RequestErrors, match=r"rows\[0\].event_time must be sent"):
        request_frame(SIGNATURE, [row], [when])


@pytest.mark.parametrize(
    ("sent", "meant"), [(1, True), (0, False), ("yes", True), ("N", False), ("true", True), (0.0, False)]
)
def test_a_truth_value_is_read_as_ingestion_reads_it(when, sent, meant):
    assert request_frame(SIGNATURE, [{**ROW, "holiday": sent}], [when])["holiday"].to_pylist() == [meant]


def test_nulls_are_values(when):
    row = dict.fromkeys(ROW) | {"event_time": ROW["event_time"]}
    frame = request_frame(SIGNATURE, [row], [when])
    assert frame.select(list(SIGNATURE.request)).to_pylist() == [dict.fromkeys(SIGNATURE.request)]


def test_all_mistakes_are_named_by_row_and_field(when):
    second = {**ROW, "distance": 1.5, "wind": "strong", "holiday": 2, "day": "tomorrow", "origin": 7, "arr_delay": 3}
    first = {name: value for name, value in ROW.items() if name != "origin"}
    with pytest.raises(RequestErrors) as caught:
        request_frame(SIGNATURE, [first, second, 5, {**ROW, "event_time": "soon", "wind": float("nan")}], [when])  # type: ignore[list-item]
    places = [error.place for error in caught.value.errors]
    assert places == [
        "rows[0].origin",
        "rows[1].arr_delay",
        "rows[1].origin",
        "rows[1].distance",
        "rows[1].wind",
        "rows[1].holiday",
        "rows[1].day",
        "rows[2]",
        "rows[3].wind",
        "rows[3].event_time",
    ]
    assert "rows[1].distance must be a whole number or null, got 1.5" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("value", [2**63, float("inf"), True, "3"])
def test_what_is_no_int_is_refused(when, value):
    with pytest.raises(RequestErrors, match=r"rows\[0\].distance"):
        request_frame(SIGNATURE, [{**ROW, "distance": value}], [when])


def test_a_missing_on_demand_view_is_an_error_not_a_null():
    with pytest.raises(UserError, match=r"must give all computed columns of the model, got \['hour'\]"):
        request_frame(SIGNATURE, [ROW])


@pytest.fixture
def python_view(tmp_path: Path):
    (tmp_path / "features").mkdir(exist_ok=True)
    (tmp_path / "features" / "when.py").write_text("def f(request):\n    return request.assign(hour=1)[['hour']]\n")
    view = FeatureView.model_validate(
        {"name": "when", "kind": "on_demand", "transform": "when.py:f", "outputs": {"hour": {"type": "int"}}}
    )
    return OnDemand(view, tmp_path)


FAR = ["0001-01-02T00:00:00Z", "1600-01-01T00:00:00Z", "2500-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]


@pytest.mark.parametrize("moment", FAR)
def test_instants_anywhere_in_the_calendar_are_taken_where_views_are_sql(when, moment):
    frame = request_frame(SIGNATURE, [{**ROW, "seen": moment, "event_time": moment}], [when])
    assert frame["seen"].to_pylist() == frame["_event_time"].to_pylist() == [datetime.fromisoformat(moment)]


@pytest.mark.parametrize("moment", FAR)
@pytest.mark.parametrize("column", ["seen", "event_time"])
def test_instants_that_pandas_cannot_hold_are_refused_where_a_view_is_python(python_view, column, moment):
    with pytest.raises(RequestErrors, match=rf"rows\[0\].{column} must lie from 1677-09-22 to 2262-04-10"):
        request_frame(SIGNATURE, [{**ROW, column: moment}], [python_view])


@pytest.mark.parametrize("moment", ["1677-09-22T02:00:00Z", "2262-04-10T23:59:59.999999Z"])
def test_the_ends_of_what_pandas_can_hold_are_taken(python_view, moment):
    frame = request_frame(SIGNATURE, [{**ROW, "seen": moment, "event_time": moment}], [python_view])
    assert frame["hour"].to_pylist() == [1]


@pytest.mark.parametrize("day", ["0001-01-01", "1600-02-29", "9999-12-31"])
def test_dates_of_all_years_are_taken_by_python_views_too(python_view, day):
    frame = request_frame(SIGNATURE, [{**ROW, "day": day}], [python_view])
    assert [value.isoformat() for value in frame["day"].to_pylist()] == [day]


@pytest.mark.parametrize(
    "day", ["20130201", "2013-W05-5", "2013-02-30", "0000-01-01", "2013-02-01T00:00", "2013-2-1", 5]
)
def test_a_date_is_read_in_full_or_refused(when, day):
    with pytest.raises(RequestErrors, match=r"rows\[0\].day must be a date such as 2013-02-01 or null"):
        request_frame(SIGNATURE, [{**ROW, "day": day}], [when])
