"""Training sets are stored under the digest of their bytes."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.errors import DataError
from evergreen.lake import trainingsets
from evergreen.lake.lake import Lake

TABLE = pa.table(
    {
        "t": pa.array([datetime(2013, 1, 1, tzinfo=UTC), None, None], pa.timestamp("us", tz="UTC")),
        "d": [date(2013, 1, 1), None, None],
        "f": [1.5, None, float("inf")],
        "s": ["a", None, "é"],
        "i": [1, 2, None],
        "b": [True, None, False],
        "n": pa.nulls(3, pa.float64()),
    }
)


def encoded(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    trainingsets.encode(table, stream)
    return stream.getvalue()


def test_what_was_put_comes_back(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    path, sha256 = trainingsets.put(lake, TABLE)
    assert path == f"trainingsets/{sha256}.parquet"
    assert sha256 == hashlib.sha256((tmp_path / path).read_bytes()).hexdigest()
    assert trainingsets.get(lake, sha256).equals(TABLE)
    assert trainingsets.get(lake, sha256, ["i", "f"]).equals(TABLE.select(["i", "f"]))
    assert trainingsets.put(lake, TABLE) == (path, sha256)


def test_many_rows_give_the_same_bytes_however_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainingsets, "ROW_GROUP", 4)
    table = pa.concat_tables([TABLE] * 5)
    assert encoded(table) == encoded(table.combine_chunks())
    assert pq.ParquetFile(io.BytesIO(encoded(table))).metadata.num_row_groups == 4
    assert pq.read_table(io.BytesIO(encoded(table))).equals(table)


def test_same_rows_same_bytes_in_any_form_and_process(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, pyarrow as pa, pyarrow.feather as f; from evergreen.lake import trainingsets;"
        "t = f.read_table(sys.argv[1]);"
        "trainingsets.encode(pa.concat_tables([t.slice(0, 1), t.slice(1)]), sys.stdout.buffer)"
    )
    import pyarrow.feather

    pyarrow.feather.write_feather(TABLE.replace_schema_metadata({"made": "here"}), str(tmp_path / "t.feather"))
    command = [sys.executable, "-c", code, str(tmp_path / "t.feather")]
    other = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert other == encoded(TABLE)
    assert encoded(TABLE.take([1, 0, 2])) != other


def test_changed_file_is_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    path, sha256 = trainingsets.put(lake, TABLE)
    (tmp_path / path).write_bytes(encoded(TABLE.slice(1)))
    with pytest.raises(DataError, match="content that its name promises"):
        trainingsets.get(lake, sha256)
