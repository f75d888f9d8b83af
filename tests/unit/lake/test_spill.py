"""Rows that may be more than memory holds come back as they were added."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.errors import DataError
from evergreen.lake import spill
from evergreen.lake.duck import run_sql, stream_sql
from evergreen.lake.spill import Spill, write_parquet


def numbers(first: int, count: int) -> pa.Table:
    return pa.table(
        {
            "n": pa.array(range(first, first + count), pa.int64()),
            "t": pa.array([f"row {n}" for n in range(count)], pa.string()),
        }
    )


@pytest.mark.parametrize("sizes", [[0], [1], [4], [3, 0, 2], [9, 1], [1] * 13], ids=str)
def test_rows_come_back_in_batches_of_one_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> None:
    monkeypatch.setattr(spill, "GROUP", 4)
    parts = [numbers(sum(sizes[:index]), size) for index, size in enumerate(sizes)]
    spilled, whole = Spill(tmp_path / "rows"), pa.concat_tables(parts)
    for part in parts:
        spilled.add(part)
    for _ in range(2):
        found = list(spilled.tables())
        assert pa.concat_tables(found).equals(whole)
        assert [len(each) for each in found] == [4] * (len(whole) // 4) + [len(whole) % 4] * bool(
            len(whole) % 4 or not len(whole)
        )
    assert spilled.num_rows == len(whole)
    assert next(spilled.tables(["t"])).column_names == ["t"]
    assert (tmp_path / "rows").exists() == (len(whole) >= 4)
    assert spilled.dataset().to_table().equals(whole)
    stream = io.BytesIO()
    write_parquet(parts, stream)
    assert pq.read_table(stream).equals(whole)


def test_however_rows_are_cut_the_file_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "GROUP", 4)
    whole, files = numbers(0, 11), []
    for size in (11, 3, 1):
        stream = io.BytesIO()
        write_parquet((whole.slice(at, size) for at in range(0, 11, size)), stream)
        files.append(stream.getvalue())
    assert files[0] == files[1] == files[2]


def test_rows_of_another_schema_are_refused(tmp_path: Path) -> None:
    spilled = Spill(tmp_path / "rows")
    with pytest.raises(ValueError, match="no rows were added"):
        next(spilled.tables())
    spilled.add(numbers(0, 1))
    with pytest.raises(ValueError, match="and not"):
        spilled.add(pa.table({"n": ["x"]}))


SUMS = "select k, sum(x) as s, avg(x) as a, stddev(x) as d from rows group by k order by k"
RUNNING = "select n, sum(x) over (order by n rows between 1000 preceding and current row) as s from rows order by n"


@pytest.mark.parametrize("sql", [SUMS, RUNNING])
def test_sql_over_files_gives_the_bits_that_it_gives_in_memory(tmp_path: Path, sql: str) -> None:
    dice = np.random.default_rng(1)
    count = 3 * spill.GROUP + 777
    rows = pa.table({"n": np.arange(count), "k": dice.integers(0, 5, count), "x": dice.normal(size=count) * 1e9})
    spilled = Spill(tmp_path / "rows")
    for at in range(0, count, 50_001):
        spilled.add(rows.slice(at, 50_001))
    found = list(stream_sql(sql, {"rows": spilled.dataset()}, place="v", folder=tmp_path))
    assert pa.concat_tables(found).equals(run_sql(sql, {"rows": rows}, place="v"))
    assert not found[0].num_rows  # its schema is told before anything else


def test_sql_over_files_is_locked_and_told_like_any_other(tmp_path: Path) -> None:
    spilled = Spill(tmp_path / "rows")
    spilled.add(numbers(0, 3))
    for sql, words in {
        "select * from nowhere": "Its tables are: rows",
        f"select * from read_parquet('{tmp_path}/x')": "neither files nor the network|its own tables",
        "select now() from rows": "function of its rows",
        "select error('no ' || t) from rows": "no row 0",
    }.items():
        with pytest.raises(DataError, match=words):
            list(stream_sql(sql, {"rows": spilled.dataset()}, place="v", folder=tmp_path))
