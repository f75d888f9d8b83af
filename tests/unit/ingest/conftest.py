"""A landing folder and a dataset over it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from evergreen.ingest import csvfile, load
from evergreen.ingest.read import Read, read
from evergreen.spec.dataset import Dataset

START, END = datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC)


@pytest.fixture
def dataset() -> Callable[..., Dataset]:
    """Makes a dataset; ``path`` and what goes into the source have defaults, all else are the dataset's fields."""

    def make(path: str = "in/{as_of}.csv", source: dict[str, Any] | None = None, **fields: Any) -> Dataset:
        defaults: dict[str, Any] = {
            "columns": {"id": "int", "ts": "timestamp", "value": "float"}, "event_time": "ts", "entity": ("id",),
        }  # fmt: skip
        return Dataset.model_validate(
            {"name": "things", "source": {"path": path, **(source or {})}, "schedule": {"cron": "0 0 1 * *"}}
            | defaults
            | fields
        )

    return make


@pytest.fixture
def landed(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Lays a file below the landing root."""

    def lay(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return lay


@pytest.fixture(autouse=True)
def small_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Makes every portion from now on a small one, of a few rows except of large files; gives its bytes."""

    def make() -> int:
        size = max([each.stat().st_size for each in tmp_path.rglob("*") if each.is_file()], default=2**22)
        is_small = size < 20_000
        monkeypatch.setattr(csvfile, "BLOCK", 40 if is_small else 2**22)
        monkeypatch.setattr(load, "PARQUET_ROWS", 2 if is_small else 2**12)
        return 100 if is_small else 2**23

    return make


@pytest.fixture
def ingest(tmp_path: Path, small_portions: Callable[[], int]) -> Callable[..., Read[pa.Table]]:
    """Reads January 2013 (UTC) of a dataset; checks that the figures add up, and portion by portion are the same."""

    def run(
        dataset: Dataset, *, first_load: bool = False, start: datetime = START, end: datetime = END, **how: Any
    ) -> Read[pa.Table]:
        how |= {"as_of": "2013-02-01", "start": start, "end": end, "first_load": first_load, "landing": str(tmp_path)}
        result = read(dataset, **how)
        assert result.rows_read == result.good.num_rows + result.quarantined.num_rows + result.superseded
        again = read(dataset, **(how | {"portion": small_portions()}))
        assert again.good.schema == result.good.schema
        assert repr(again.good.to_pylist()) == repr(result.good.to_pylist())  # a NaN is as good as another
        assert quarantined(again) == quarantined(result)
        for name in ("late", "superseded", "rows_read", "rows_source", "fingerprint", "files"):
            assert getattr(again, name) == getattr(result, name), name
        return result

    return run


def quarantined(result: Read[pa.Table]) -> list[str]:
    return sorted(map(str, result.quarantined.to_pylist()))
