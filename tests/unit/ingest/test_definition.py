"""A dataset's definition may gain columns; whatever else its rows depend on makes it another one."""

from __future__ import annotations

from typing import Any

import pytest

from evergreen.ingest.definition import extends

OLD: dict[str, Any] = {
    "kind": "dataset", "entity": ["id"], "event_time": "ts", "known_at": None, "availability_delay": None,
    "timezone": "UTC", "select": None, "columns": None,
}  # fmt: skip


def selects(old: str, new: str) -> bool:
    return extends({**OLD, "select": new}, {**OLD, "select": old})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("select id, ts from source", "select id, ts, load * 2 as twice from source"),
        ("select id, ts from source where load > 3", "select id, load, ts from source where load > 3"),
        (
            "select id, max(ts) as ts from source group by id",
            "select id, max(ts) as ts, sum(n) as n from source group by id",
        ),
        (
            "select id, ts from source order by ts",
            "select id, ts, lag(n) over (order by ts, n) as l from source order by ts",
        ),
    ],
)
def test_more_columns_of_the_same_rows_are_the_same_definition(old: str, new: str) -> None:
    assert selects(old, new)
    assert not selects(new, old), "one column less is not"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("select distinct id, ts from source", "select distinct id, ts, n from source"),
        ("select id, count(*) as n from source group by all", "select id, ts, count(*) as n from source group by all"),
        ("select id, max(ts) as ts from source group by 1", "select n, id, max(ts) as ts from source group by 1"),
        ("select id, ts from source order by 2 limit 9", "select id, n, ts from source order by 2 limit 9"),
        ("select id, ts from source", "select id, ts, unnest(tags) as tag from source"),
        (
            "select id, ts from source qualify row_number() over (partition by n order by ts) = 1",
            "select id, ts, id % 2 as n from source qualify row_number() over (partition by n order by ts) = 1",
        ),
    ],
    ids=["distinct", "group by all", "group by place", "order by place", "more rows", "a name that is used"],
)
def test_an_item_that_changes_the_rows_makes_another_definition(old: str, new: str) -> None:
    assert not selects(old, new)


@pytest.mark.parametrize(
    ("select", "same"),
    [
        (None, True),
        ("select * from source", True),
        ("select distinct id, ts from source", True),
        ("select distinct * from source", False),
        ("select * exclude n, count(*) as n from source group by all", False),
        ("with own as (select distinct * from source) select id, max(ts) as ts from own group by id", False),
    ],
)
def test_a_new_column_of_the_source_counts_where_rows_are_told_apart_by_all(select: str | None, same: bool) -> None:
    old = {**OLD, "select": select, "columns": {"id": "int", "ts": "timestamp"}}
    assert extends({**old, "columns": {**old["columns"], "n": "int"}}, old) is same
    assert extends(old, old)
