"""An ingest, or a build, that was killed at any point and retried leaves what one that was left alone leaves."""

from __future__ import annotations

from typing import Any

import pytest
from drill_world import BUILD, INGEST, KEYS, World, csv_of, rows_of

from evergreen.store.row_counts import RowCounts

FIRST, SECOND = KEYS[:2]
POINTS = [
    ("read", "staging:before"), ("read", "staging:after"), ("read", "read.manifest:before"),
    ("read", "read.manifest:after"), ("validate", "staging:before"), ("validate", "staging:after"),
    ("validate", "validate.manifest:before"), ("validate", "validate.manifest:after"),
    ("publish", "quarantine.commit:before"), ("publish", "quarantine.commit:after"),
    ("publish", "publish.commit:before"), ("publish", "publish.commit:after"),
    ("publish", "publish.manifest:before"), ("publish", "publish.manifest:after"),
]  # fmt: skip
VIEW_POINTS = [
    ("build", "staging:before"), ("build", "staging:after"), ("build", "build.manifest:before"),
    ("build", "build.manifest:after"), ("publish", "publish.commit:before"), ("publish", "publish.commit:after"),
    ("publish", "publish.manifest:before"), ("publish", "publish.manifest:after"),
]  # fmt: skip


def second_week() -> str:
    """New rows, a late one, a changed one, one as it was, a broken one, one that breaks a rule, and a double."""
    before, rows = rows_of(FIRST), rows_of(SECOND)
    changed = [before[20][0], "0.999", *before[20][2:]]
    broken = [rows[5][0], "much", *rows[5][2:]]
    windy = [*rows[6][:2], "1048", *rows[6][3:]]
    return csv_of([before[10], before[21], changed, *rows[:5], broken, windy, *rows[7:], rows[7]])


@pytest.fixture(scope="module")
def second() -> str:
    return second_week()


def ingested(world: World, second: str, kills: dict[str, list[str]]) -> tuple[str, dict[str, Any]]:
    """A dataset whose second week was killed at the named points of its steps."""
    name = world.dataset()
    first = rows_of(FIRST)
    world.lay(name, FIRST, csv_of([*first[:10], *first[11:]]))
    world.ingest(name, FIRST)
    world.lay(name, SECOND, second)
    run = world.open(name, "ingest", SECOND)
    return name, {step: run.drill(step, kills.get(step, [])) for step in INGEST}


def content(world: World, name: str) -> dict[str, Any]:
    """All that a reader of the lake and of the store can see of a dataset."""
    quarantine = world.lake.table(f"quarantine/{name}").read().to_pylist()
    counts = RowCounts(world.store).of(name)
    return {
        "versions": world.lake.table(f"datasets/{name}").read_versions().to_pylist(),
        "quarantine": sorted(({**row, "source": None} for row in quarantine), key=str),
        "counts": [
            (c.as_of, c.rows_read, c.good, c.quarantined, c.superseded, dict(c.details)) for c in counts
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def twin(bare_world: World, second: str) -> dict[str, Any]:
    name, results = ingested(bare_world, second, {})
    return {"event": {**results["publish"].event, "table": None}, **content(bare_world, name)}


def test_the_twin_that_nobody_killed_counts_every_row(twin: dict[str, Any]) -> None:
    as_of, rows_read, good, quarantined, superseded, details = twin["counts"][1]
    assert (as_of, rows_read, good, quarantined, superseded) == (SECOND, 340, 337, 2, 1)
    assert (details["appended"], details["unchanged"]) == (336, 1)
    assert len(twin["versions"]) == 335 + 336
    assert {row["rule"] for row in twin["quarantine"]} == {"columns.load", "expect_column_values_to_be_between"}


@pytest.mark.parametrize(("step", "point"), POINTS)
def test_a_killed_ingest_that_is_retried_loses_and_doubles_no_row(
    bare_world: World, twin: dict[str, Any], second: str, step: str, point: str
) -> None:
    name, results = ingested(bare_world, second, {step: [point]})
    assert {**results["publish"].event, "table": None} == twin["event"]
    assert content(bare_world, name) == {key: twin[key] for key in ("versions", "quarantine", "counts")}


def test_an_ingest_that_dies_at_every_point_in_turn_loses_and_doubles_no_row(
    bare_world: World, twin: dict[str, Any], second: str
) -> None:
    kills = {step: [point for each, point in POINTS if each == step] for step in INGEST}
    name, _ = ingested(bare_world, second, kills)
    assert content(bare_world, name) == {key: twin[key] for key in ("versions", "quarantine", "counts")}


@pytest.mark.parametrize(("step", "point"), VIEW_POINTS)
def test_a_killed_build_that_is_retried_loses_and_doubles_no_row(world: World, step: str, point: str) -> None:
    name = world.view("trips")
    run = world.open(name, "build", FIRST)
    results = {each: run.drill(each, [point] if each == step else []) for each in BUILD}
    assert results["publish"].event == {
        "table": f"features/{name}", "version": 1, "appended": 336, "unchanged": 0
    }  # fmt: skip
    shared = world.lake.table("features/recent").read_versions(match={"_as_of": FIRST})
    assert world.lake.table(f"features/{name}").read_versions().to_pylist() == shared.to_pylist()
