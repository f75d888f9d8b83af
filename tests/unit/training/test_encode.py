import json
import math
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evergreen.errors import DataError
from evergreen.training.encode import Encoder

TABLE = pa.table({
    "count": pa.array([1, None, 3], pa.int64()),
    "price": pa.array([1.5, math.nan, math.inf]),
    "flag": pa.array([True, False, None]),
    "day": pa.array([date(1970, 1, 2), None, date(1969, 12, 31)]),
    "at": pa.array([datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC), None, None], pa.timestamp("us", tz="UTC")),
    "kind": pa.array(["b", "a", None]),
    "coded": pa.array(["x", "y", "x"]).dictionary_encode(),
    "nothing": pa.nulls(3),
})  # fmt: skip
NAMES = TABLE.column_names


def test_every_type_becomes_the_float_one_expects():
    matrix = Encoder.fit(TABLE, NAMES).transform(TABLE)
    nan = math.nan
    expected = [
        [1, 1.5, 1, 86400, 1.5, 1, 0, nan],
        [nan, nan, 0, nan, nan, 0, 1, nan],
        [3, nan, nan, -86400, nan, nan, 0, nan],
    ]
    np.testing.assert_array_equal(matrix, expected)


def test_unknown_categories_are_missing_and_codes_do_not_move():
    encoder = Encoder.fit(TABLE, ["kind"])
    later = pa.table({"kind": ["0", "b", "zz", None, "a"]})
    np.testing.assert_array_equal(encoder.transform(later)[:, 0], [math.nan, 1, math.nan, math.nan, 0])


def test_rare_categories_share_one_code_once_the_cap_is_reached():
    encoder = Encoder.fit(pa.table({"k": ["c", "c", "a", "a", "b"]}), ["k"], max_categories=2)
    assert encoder.columns[0].categories == ("a", "c")
    np.testing.assert_array_equal(
        encoder.transform(pa.table({"k": ["a", "b", "c", "new", None]}))[:, 0], [0, 2, 1, 2, math.nan]
    )
    np.testing.assert_array_equal(encoder.transform_rows([{"k": "new"}, {}])[:, 0], [2, math.nan])


def test_json_brings_the_same_encoder_back():
    encoder = Encoder.fit(TABLE, NAMES)
    again = Encoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder
    assert again.categorical == [5, 6]


def test_rows_of_json_values_encode_as_the_table_does():
    encoder = Encoder.fit(TABLE, NAMES)
    rows = TABLE.to_pylist()
    for row in rows:
        for name in ("day", "at"):
            row[name] = row[name] and row[name].isoformat()
    np.testing.assert_array_equal(encoder.transform_rows(rows), encoder.transform(TABLE))


@given(
    st.lists(
        st.fixed_dictionaries({
            "n": st.none() | st.floats(width=64),
            "i": st.none() | st.integers(-(2**53), 2**53),
            "s": st.none() | st.text(alphabet="abcdé", max_size=2),
            "t": st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
        }),
        max_size=20,
    )
)  # fmt: skip
def test_both_paths_agree_on_any_values(rows):
    schema = pa.schema(
        [("n", pa.float64()), ("i", pa.int64()), ("s", pa.string()), ("t", pa.timestamp("us", tz="UTC"))]
    )
    rows = [row | {"t": row["t"] and row["t"].replace(tzinfo=UTC)} for row in rows]
    table = pa.Table.from_pylist(rows, schema=schema)
    encoder = Encoder.fit(table.slice(0, 5), schema.names, max_categories=3)
    np.testing.assert_allclose(encoder.transform_rows(rows), encoder.transform(table), rtol=1e-12, atol=1e-6)


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ({"count": "12"}, "rows[0].count must be a number or true or false, got '12'"),
        ({"kind": 3}, "rows[0].kind must be a string, got 3"),
        ({"at": "yesterday"}, "rows[0].at must be an ISO 8601 date or date-time"),
        ({"at": 12}, "rows[0].at must be an ISO 8601 date or date-time"),
        ({"price": [1]}, "rows[0].price must be a number or true or false"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(row, place):
    with pytest.raises(DataError) as caught:
        Encoder.fit(TABLE, NAMES).transform_rows([row])
    assert str(caught.value).startswith(place)


def test_a_column_that_changed_its_kind_is_refused():
    with pytest.raises(DataError, match="feature count must be a number as in training, got 'string'"):
        Encoder.fit(TABLE, ["count"]).transform(pa.table({"count": ["1"]}))
    with pytest.raises(DataError, match="feature count must be a column"):
        Encoder.fit(TABLE, ["count"]).transform(pa.table({"other": [1]}))
    with pytest.raises(DataError, match="feature l must be int, float"):
        Encoder.fit(pa.table({"l": [[1]]}), ["l"])
