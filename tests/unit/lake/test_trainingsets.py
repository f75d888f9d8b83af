"""Training sets are stored under the digest of their bytes."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
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


def test_what_was_put_comes_back(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    path, sha256 = trainingsets.put(lake, TABLE)
    assert path == f"trainingsets/{sha256}.parquet"
    assert trainingsets.get(lake, sha256).equals(TABLE)


def test_same_rows_same_bytes_in_any_form_and_process(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, pyarrow as pa, pyarrow.feather as f; from evergreen.lake import trainingsets;"
        "t = f.read_table(sys.argv[1]);"
        "sys.stdout.buffer.write(trainingsets.encode(pa.concat_tables([t.slice(0, 1), t.slice(1)])))"
    )
    import pyarrow.feather

    pyarrow.feather.write_feather(TABLE.replace_schema_metadata({"made": "here"}), str(tmp_path / "t.feather"))
    command = [sys.executable, "-c", code, str(tmp_path / "t.feather")]
    other = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert other == trainingsets.encode(TABLE)
    assert trainingsets.encode(TABLE.take([1, 0, 2])) != other


def test_changed_file_is_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    path, sha256 = trainingsets.put(lake, TABLE)
    (tmp_path / path).write_bytes(trainingsets.encode(TABLE.slice(1)))
    with pytest.raises(DataError, match="content that its name promises"):
        trainingsets.get(lake, sha256)
