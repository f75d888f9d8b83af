"""Whatever a column is cast to, each value stays in its row: DuckDB keeps no order behind a join."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from evergreen.ingest.cast import cast, value_sql
from evergreen.ingest.infer import Inference
from evergreen.lake.duck import connect
from evergreen.spec.dataset import FileSource

NULLS = (*FileSource(path="x").null_values, "-", "n/a", "none", "it's nothing")
KINDS = {"id": "int", "x": "float", "flag": "bool", "day": "date", "at": "timestamp", "name": "string"}
START = datetime(2013, 1, 1, tzinfo=UTC)


def chunk(first: int, count: int) -> pa.Table:
    numbers = range(first, first + count)
    return pa.table(
        {
            "id": [str(n) if n % 7 else "NA" for n in numbers],
            "x": [f"{n}.5" for n in numbers],
            "flag": ["yes" if n % 3 else "-" for n in numbers],
            "day": [str(date(2013, 1, 1) + timedelta(days=n)) for n in numbers],
            "at": [(START + timedelta(minutes=n)).isoformat() for n in numbers],
            "name": [f"row {n}" for n in numbers],
        }
    )


@pytest.mark.parametrize("sizes", [[3, 1] * 4, [2500] * 16], ids=["small chunks", "large chunks"])
def test_values_stay_in_their_rows(sizes):
    raw = pa.concat_tables([chunk(sum(sizes[:index]), size) for index, size in enumerate(sizes)])
    numbers = range(raw.num_rows)
    for _ in range(30 if len(raw) < 1000 else 5):
        columns = cast(raw, KINDS, "UTC", dict.fromkeys(KINDS, NULLS)).columns
        assert columns["id"].to_pylist() == [n if n % 7 else None for n in numbers]
        assert columns["x"].to_pylist() == [n + 0.5 for n in numbers]
        assert columns["flag"].to_pylist() == [True if n % 3 else None for n in numbers]
        assert columns["day"].to_pylist() == [date(2013, 1, 1) + timedelta(days=n) for n in numbers]
        assert columns["at"].to_pylist() == [START + timedelta(minutes=n) for n in numbers]
        assert columns["name"].to_pylist() == raw["name"].to_pylist()
    inference = Inference({})
    inference.add(raw, dict.fromkeys(KINDS, NULLS))
    assert inference.found == {**KINDS, "flag": "string"}


def test_texts_that_mean_nothing_make_no_join():
    with connect({"raw": pa.table({"c": ["a", "it's nothing", ""]})}) as connection:
        sql = f"SELECT {value_sql('c', NULLS)} AS c FROM raw"
        assert "join" not in connection.sql(f"EXPLAIN {sql}").fetchall()[0][1].lower()
        assert connection.sql(sql).fetchall() == [("a",), (None,), (None,)]
