"""A dataset's ``select`` is a function of the rows just read, with and without trace to the raw row."""

from __future__ import annotations

import pyarrow as pa
import pytest

from evergreen.errors import DataError
from evergreen.ingest.select import select

ROWS = pa.table({"a": [1, 2], "__row": [0, 1]})


@pytest.mark.parametrize(
    "sql",
    [
        "select a, now() as seen from source",
        "select a, random() as r from source",
        "select a, current_date as d from source",
        "select a from source using sample 1",
        "select a, row_number() over () as n from source",
        "select max(a) as a, any_value(now()) as seen from source",
    ],
)
def test_what_is_no_function_of_the_rows_is_refused(sql: str) -> None:
    with pytest.raises(DataError, match=r"^dataset x select must (be a function of its rows|say by ORDER BY)"):
        select(ROWS, sql, "dataset x select")


def test_a_select_by_row_keeps_its_trace() -> None:
    table, numbers = select(ROWS, "select a + 1 as b from source where a > 1", "dataset x select")
    assert table.to_pydict() == {"b": [3]} and numbers.tolist() == [1]
