"""What a team's Python gets and gives: one row gives one feature, alone, in a batch, in training, beside nulls."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.errors import DataError
from evergreen.features.columns import arrow_type
from evergreen.features.on_demand import OnDemand
from evergreen.features.transforms import to_frame
from evergreen.features.views import run
from evergreen.spec.feature_view import FeatureView

NOON = datetime(2013, 3, 10, 12, tzinfo=UTC)
TYPES: dict[str, Any] = {
    "zone": "int", "paid": "bool", "name": "string", "fare": "float", "at": "timestamp", "born": "date",
}  # fmt: skip
DTYPES = {
    "zone": "Int64", "paid": "boolean", "name": "string", "fare": "float64", "at": "datetime64[ns, UTC]",
    "born": "object",
}  # fmt: skip
FULL = {"zone": 101, "paid": True, "name": "ann", "fare": 2.5, "at": NOON, "born": date(1600, 2, 29)}
EMPTY = dict.fromkeys(FULL)
HUGE = {**FULL, "zone": 2**53 + 1, "paid": False, "born": date(9999, 12, 31)}


def rows_of(*rows: dict[str, Any]) -> pa.Table:
    return pa.table({n: pa.array([row[n] for row in rows], arrow_type(kind)) for n, kind in TYPES.items()})


@pytest.mark.parametrize("rows", [[FULL], [EMPTY], [FULL, EMPTY], [EMPTY, EMPTY], []])
def test_the_type_of_a_column_never_depends_on_its_values(rows: list[dict[str, Any]]) -> None:
    frame = to_frame(rows_of(*rows))
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == DTYPES
    assert list(frame.index) == list(range(len(rows)))


def test_other_widths_come_as_their_kind() -> None:
    table = pa.table(
        {
            "a": pa.array([1, None], pa.int8()),
            "b": pa.array([1, None], pa.uint32()),
            "c": pa.array(["x", None], pa.large_string()),
            "d": pa.array(["x", None]).dictionary_encode(),
            "e": pa.array([1.5, None], pa.float32()),
            "f": pa.array([None, None]),
        }
    )
    kinds = ["Int64", "Int64", "string", "string", "float64", "object"]
    assert [str(kind) for kind in to_frame(table).dtypes] == kinds


def test_a_time_that_pandas_cannot_hold_is_refused_with_its_place() -> None:
    table = pa.table({"at": pa.array([datetime(1600, 1, 1, tzinfo=UTC)], arrow_type("timestamp"))})
    with pytest.raises(
        DataError, match=r"features/c\.py:f column at must hold instants between 1677-09-22 and 2262-04-11"
    ):
        to_frame(table, "features/c.py:f")


PYTHON = """
import pandas as pd

def f(request):
    return pd.DataFrame({
        "label": "zone-" + request["zone"].astype("string"),
        "spelled": [None if pd.isna(zone) else f"zone-{zone}" for zone in request["zone"]],
        "half": request["zone"] // 2,
        "unpaid": ~request["paid"],
        "loud": request["name"].str.upper(),
        "letters": request["name"].str.len(),
        "hour": request["at"].dt.hour,
        "year": [None if pd.isna(day) else day.year for day in request["born"]],
        **{"same_" + name: request[name] for name in request.columns},
    }, index=request.index)
"""
OUTPUTS = {
    "label": "string", "spelled": "string", "half": "int", "unpaid": "bool", "loud": "string", "letters": "int",
    "hour": "int", "year": "int", **{f"same_{name}": kind for name, kind in TYPES.items()},
}  # fmt: skip


def view_of(root: Path, text: str = PYTHON, outputs: dict[str, str] = OUTPUTS, **fields: Any) -> FeatureView:
    (root / "features").mkdir(exist_ok=True)
    (root / "features" / "c.py").write_text(text)
    declared = {name: {"type": kind} for name, kind in outputs.items()}
    given = {"name": "c", "kind": "on_demand", "transform": "c.py:f", "outputs": declared}
    return FeatureView.model_validate({**given, **fields})


def test_a_row_gives_the_same_alone_in_a_batch_and_beside_nulls(tmp_path: Path) -> None:
    """The zone of public case mlflow #3798: `zone-101.0` beside a null, `zone-101` alone."""
    rows = [FULL, EMPTY, HUGE]
    with OnDemand(view_of(tmp_path), tmp_path) as ready:
        batch = ready.compute(rows_of(*rows)).to_pylist()
        alone = [ready.compute(rows_of(row)).to_pylist()[0] for row in rows]
    assert batch == alone
    assert batch[0]["label"] == batch[0]["spelled"] == "zone-101"
    assert batch[2]["label"] == "zone-9007199254740993"
    assert set(batch[1].values()) == {None}
    assert [{name.removeprefix("same_"): row[name] for name in row if "same_" in name} for row in batch] == rows


values = st.fixed_dictionaries(
    {
        "zone": st.none() | st.integers(-(2**63), 2**63 - 1),
        "paid": st.none() | st.booleans(),
        "name": st.none() | st.text(st.characters(codec="utf-8"), max_size=4),
        "fare": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "at": st.none() | st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
        "born": st.none() | st.dates(),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(values, min_size=1, max_size=5))
def test_whatever_the_values_what_goes_in_comes_out(tmp_path_factory: Any, rows: list[dict[str, Any]]) -> None:
    root = tmp_path_factory.mktemp("w")
    view = view_of(root, "def f(request):\n    return request\n", TYPES)
    with OnDemand(view, root) as ready:
        assert ready.compute(rows_of(*rows)).to_pylist() == rows
        assert [ready.compute(rows_of(row)).to_pylist()[0] for row in rows] == rows


@pytest.mark.parametrize("beside", [[], [EMPTY]])
def test_a_materialized_view_gives_the_same_beside_nulls_and_without(
    tmp_path: Path, beside: list[dict[str, Any]]
) -> None:
    text = PYTHON.replace("def f(request):", "def f(tables, start, end):\n    request = tables['trips']").replace(
        "**{", '"moment": request["moment"], **{'
    )
    outputs = {name: kind for name, kind in OUTPUTS.items() if name != "same_moment"}
    view = view_of(tmp_path, text, outputs, kind="materialized", reads=["trips"], timestamp="moment")
    rows = [FULL, *beside, HUGE]
    moments = [NOON + timedelta(hours=number) for number in range(len(rows))]
    trips = rows_of(*rows).append_column("moment", pa.array(moments, arrow_type("timestamp")))
    made = run(view, tmp_path, {"trips": trips}, NOON, NOON + timedelta(days=1)).to_pylist()
    assert (made[0]["label"], made[0]["half"], made[-1]["label"]) == ("zone-101", 50, "zone-9007199254740993")
    assert [{name.removeprefix("same_"): row[name] for name in row if "same_" in name} for row in made] == rows


def test_keys_stay_whole_where_a_join_finds_nothing(tmp_path: Path) -> None:
    text = """
def f(tables, start, end):
    return tables["trips"].merge(tables["zones"], on="zone", how="left").assign(moment=start)
"""
    view = view_of(
        tmp_path, text, {"size": "int", "big": "bool"}, kind="materialized", reads=["trips", "zones"], entity=["zone"],
        timestamp="moment",
    )  # fmt: skip
    tables = {
        "trips": pa.table({"zone": pa.array([101, 2**53 + 1], pa.int64())}),
        "zones": pa.table({"zone": pa.array([101], pa.int64()), "size": [2**53 + 1], "big": [True]}),
    }
    made = run(view, tmp_path, tables, NOON, NOON + timedelta(days=1)).to_pydict()
    assert (made["zone"], made["size"], made["big"]) == ([101, 2**53 + 1], [2**53 + 1, None], [True, None])


def test_a_whole_number_that_a_float_cannot_hold_is_not_rounded_into_one(tmp_path: Path) -> None:
    view = view_of(tmp_path, "def f(request):\n    return request\n", {"zone": "float"})
    with OnDemand(view, tmp_path) as ready, pytest.raises(DataError, match=r"column zone must be castable to float"):
        ready.compute(rows_of(HUGE))
