"""Clearing a task does its work again, which changes nothing, or takes up what has changed since."""

from __future__ import annotations

from typing import Any

import pytest
from plant import JANUARY, csv_of, rows_of
from world import World

from evergreen.store.row_counts import RowCounts

pytestmark = pytest.mark.timeout(600)

DATASET = "repaired"


def test_clearing_an_ingest_changes_nothing_until_the_file_is_repaired(world: World) -> None:
    rows = rows_of(JANUARY)
    moment, wind, _ = rows[5].split(",")
    world.lay(DATASET, JANUARY, csv_of([*rows[:5], f"{moment},{wind},broken", *rows[6:-3]]))
    run = world.run(f"{DATASET}.ingest", JANUARY)
    before = state(world)
    assert before["counts"] == (len(rows) - 3, len(rows) - 4, 1, 0)

    again(world, run)
    assert state(world) == before

    world.lay(DATASET, JANUARY)
    again(world, run)
    after = state(world)
    assert after["counts"] == (len(rows), len(rows), 0, 0)
    assert after["versions"][: len(before["versions"])] == before["versions"]
    added = after["versions"][len(before["versions"]) :]
    assert sorted(row["moment"] for row in added) == sorted(moments(rows[5:6] + rows[-3:]))
    assert after["quarantine"] == before["quarantine"], "what was refused stays on record"


def again(world: World, run: str) -> None:
    world.clear(f"{DATASET}.ingest", run)
    world.api.wait_for_run(f"{DATASET}.ingest", run)


def state(world: World) -> dict[str, Any]:
    """All that a reader can see of the dataset; row versions in the order of commits."""
    versions = world.lake.table(f"datasets/{DATASET}").read_versions()
    (count,) = RowCounts(world.store).of(DATASET)
    return {
        "versions": versions.sort_by([("_commit", "ascending"), ("moment", "ascending")]).to_pylist(),
        "quarantine": world.lake.table(f"quarantine/{DATASET}").read().to_pylist(),
        "counts": (count.rows_read, count.good, count.quarantined, count.superseded),
    }


def moments(rows: list[str]) -> list[Any]:
    from datetime import datetime

    return [datetime.fromisoformat(row.split(",")[0]) for row in rows]
