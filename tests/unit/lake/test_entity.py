"""Which rows an entity key owns: by type, by name, by word."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from evergreen.errors import UserError
from evergreen.lake.entity import EntityKey
from evergreen.lake.sqltree import sources_of


@pytest.mark.parametrize(
    ("value", "column", "expected"),
    [
        ("7", pa.array([7, 8, None]), [True, False, False]),
        ("7.0", pa.array([7, 8]), [True, False]),
        ("7.5", pa.array([7, 8]), [False, False]),
        ("9007199254740993", pa.array([9007199254740993, 9007199254740992]), [True, False]),
        ("7", pa.array(["7", "007", " 7", None]), [True, False, False, False]),
        ("N1", pa.array([1, 2]), [False, False]),
        ("2.5", pa.array([2.5, float("nan")]), [True, False]),
        ("True", pa.array([True, False]), [True, False]),
        ("maybe", pa.array([True, False]), [False, False]),
        ("2024-02-01", pa.array([date(2024, 2, 1), date(2024, 1, 2)]), [True, False]),
        ("1", pa.array([None, None], pa.int64()), [False, False]),
        ("99999999999999999999", pa.array([1]), [False]),
    ],
)
def test_a_value_is_read_in_the_columns_type(value: str, column: pa.Array, expected: list[bool]) -> None:
    assert EntityKey.parse([f"k={value}"]).mask(pa.table({"k": column})).to_pylist() == expected


def test_every_column_must_agree() -> None:
    key = EntityKey.parse(["flight=15", "carrier=UA"])
    assert key.columns == ("carrier", "flight")
    rows = pa.table({"carrier": ["UA", "UA", "AA"], "flight": [15, 16, 15]})
    assert key.mask(rows).to_pylist() == [True, False, False]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"rider": "4711"}, True),
        ({"RIDER": 4711}, True),
        ({"person": " 4711 "}, True),
        ({"rider": "4712", "person": "4711"}, True),
        ({"rider": "47110"}, False),
        ({"rider": None}, False),
        ({"rider": {"id": "4711"}}, False),
        ({"other": "4711"}, None),
        ({"_raw": "4711,1,2"}, None),
    ],
)
def test_a_row_of_json_says_the_key_by_any_of_its_names_or_does_not_say(row: Any, expected: bool | None) -> None:
    assert EntityKey.parse(["rider=4711"]).is_said(row, {"rider": {"rider", "person"}}) is expected


def test_a_text_names_a_key_by_whole_words_and_short_values_by_chance() -> None:
    key = EntityKey.parse(["rider=4711"])
    assert key.is_in("a 4711, b") and key.is_in('"4711"')
    assert not key.is_in("47110") and not key.is_in("a4711")
    assert key.is_named("4711")
    assert EntityKey.parse(["rider=47"]).is_in("47")
    assert not EntityKey.parse(["rider=47"]).is_named("47")


@pytest.mark.parametrize("value", ["4711", "007", "7.50", "ä", 'a"b', "x y", "zz-1"])
def test_a_look_at_the_text_passes_over_no_row_that_says_the_key(value: str) -> None:
    import json

    texts = [json.dumps({"rider": value}), json.dumps({"rider": value}, ensure_ascii=False)]
    numbers = [json.dumps({"rider": float(value)})] if value == "4711" else []
    found = EntityKey.parse([f"rider={value}"]).may_be_in(pa.chunked_array([pa.array([*texts, *numbers])]))
    assert all(found.to_pylist())


def test_a_digest_needs_the_salt() -> None:
    key = EntityKey.parse(["b=2", "a=1"])
    assert key.digest(b"x") == EntityKey.parse(["a=1", "b=2"]).digest(b"x")
    assert key.digest(b"x") != key.digest(b"y")


@pytest.mark.parametrize("given", [[], ["rider"], ["=1"], ["rider="], ["a=1", "a=2"]])
def test_what_is_no_key_is_refused(given: list[str]) -> None:
    with pytest.raises(UserError, match=r"entity key must"):
        EntityKey.parse(given)


def test_what_a_source_calls_a_column_is_told_by_select() -> None:
    sql = "with t as (select trim(person) as who, * from source) select upper(who) as rider, a + b as Sum from t"
    assert sources_of(sql, "rider") == {"who"}
    assert sources_of(sql, "who") == {"person"}
    assert sources_of(sql, "sum") == {"a", "b"}
    assert sources_of("select * from source", "rider") == set()
