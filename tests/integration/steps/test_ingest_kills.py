"""An ingest, or a build, that was killed at any point and retried leaves what one that was left alone leaves."""

from __future__ import annotations

from typing import Any

import pytest
from drill_world import BUILD, INGEST, KEYS, World, content, csv_of, rounds, rows_of

FIRST, SECOND = KEYS[:2]
POINTS = {
    "read": ["staging:before", "staging:after", "read.manifest:before", "read.manifest:after"],
    "validate": ["staging:before", "staging:after", "validate.manifest:before", "validate.manifest:after"],
    "publish": ["quarantine.commit:before", "quarantine.commit:after", "publish.commit:before", "publish.commit:after",
                "publish.manifest:before", "publish.manifest:after"],
}  # fmt: skip
VIEW_POINTS = {
    "build": ["staging:before", "staging:after", "build.manifest:before", "build.manifest:after"],
    "publish": ["publish.commit:before", "publish.commit:after", "publish.manifest:before", "publish.manifest:after"],
}


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


@pytest.mark.parametrize("kills", rounds(POINTS))
def test_a_killed_ingest_that_is_retried_loses_and_doubles_no_row(
    bare_world: World, twin: dict[str, Any], second: str, kills: dict[str, list[str]]
) -> None:
    name, results = ingested(bare_world, second, kills)
    assert {**results["publish"].event, "table": None} == twin["event"]
    assert content(bare_world, name) == {key: twin[key] for key in ("versions", "quarantine", "counts")}


@pytest.mark.parametrize("kills", rounds(VIEW_POINTS))
def test_a_killed_build_that_is_retried_loses_and_doubles_no_row(world: World, kills: dict[str, list[str]]) -> None:
    name = world.view("trips")
    run = world.open(name, "build", FIRST)
    results = {step: run.drill(step, kills[step]) for step in BUILD}
    event = {"table": f"features/{name}", "version": 1, "appended": 4 * 336, "unchanged": 0, "withdrawn": 0, "keys": 4}
    assert results["publish"].event == event, "whoever wakes it, a build covers all keys that its table lacks"
    shared = world.lake.table("features/recent").read_versions()
    mine = world.lake.table(f"features/{name}").read_versions()
    assert mine.drop_columns(["_commit"]).to_pylist() == shared.drop_columns(["_commit"]).to_pylist()
