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


def test_a_window_leaves_the_rows_in_reading_order() -> None:
    """DuckDB gives them by the window's partitions; of two rows of one identity ``dedupe`` keeps the one read last."""
    count = 30_000
    rows = pa.table({"a": [number % 5000 for number in range(count)], "__row": range(count)})
    windowed = "select a, count(*) over (partition by a % 7) as n from source"
    table, numbers = select(rows, windowed, "dataset x select")
    assert numbers.tolist() == list(range(count)) and table["a"].to_pylist() == rows["a"].to_pylist()
    numbers = select(rows, f"{windowed} order by a desc, a % 7", "dataset x select")[1]
    assert rows["a"].take(numbers).to_pylist() == sorted(rows["a"].to_pylist(), reverse=True), "its own order stays"
