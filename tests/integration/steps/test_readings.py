"""A key's last reading counts, whatever came before it and in whatever order keys come."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from drill_world import BUILD, INGEST, KEYS, World, csv_of, rows_of

from evergreen.errors import DataError, Superseded
from evergreen.lake.lake import Lake
from evergreen.store.consumed import Consumed
from evergreen.store.row_counts import RowCounts

DAILY = {"cron": "0 0 * * *"}
TILL = {
    "schedule": DAILY, "columns": {"moment": "timestamp", "sold": "int"},
    "event_time": "moment", "availability_delay": "2h", "late_window": "2d", "max_quarantined": 1,
}  # fmt: skip
STORES = {
    "schedule": DAILY, "columns": {"store": "int", "beds": "int"}, "entity": ["store"],
    "event_time": None, "availability_delay": None, "late_window": "0s", "expectations": [],
}  # fmt: skip
TILL_FILES = {
    "2024-03-02": [("2024-03-01T10:00:00", 1)],
    "2024-03-03": [("2024-03-02T10:00:00", 20), ("2024-03-01T09:00:00", 11)],
    "2024-03-04": [("2024-03-03T10:00:00", 3), ("2024-03-02T10:00:00", 22)],
}
STORE_FILES = {
    "2024-03-02": [(1, 7), (3, 30)],
    "2024-03-03": [(1, 7), (2, 20), (3, 30)],
    "2024-03-04": [(1, 10), (2, 20)],
}
ORDERS = list(itertools.permutations(TILL_FILES))


def declared(world: World, spec: dict[str, Any], files: dict[str, list[tuple[Any, ...]]], **changes: Any) -> str:
    """A dataset with all its files laid."""
    name = world.new_name("lot")
    world.dataset(name, **{**spec, "expectations": [], **changes})
    for key, rows in files.items():
        lay(world, name, key, rows, spec)
    return name


def lay(world: World, name: str, key: str, rows: list[tuple[Any, ...]], spec: dict[str, Any] = TILL) -> None:
    lines = [",".join(spec["columns"]), *(",".join(map(str, row)) for row in rows)]
    world.lay(name, key, "\n".join(lines) + "\n")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def stands(lake: Lake, table: str, known_by: str) -> list[tuple[Any, ...]]:
    """Rows and their known times, as known at an instant."""
    rows = lake.table(table).read(known_by=at(known_by)).to_pylist()
    user = [name for name in rows[0] if not name.startswith("_")] if rows else []
    return sorted((*(row[name] for name in user), row["_known_at"]) for row in rows)


INSTANTS = [
    "2024-03-01T11:30",
    "2024-03-02",
    "2024-03-02T13:00",
    "2024-03-03",
    "2024-03-03T13:00",
    "2024-03-04",
    "2025-01-01",
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: " ".join(key[-2:] for key in order))
@pytest.mark.parametrize(("spec", "files"), [(TILL, TILL_FILES), (STORES, STORE_FILES)], ids=["events", "snapshots"])
def test_the_order_in_which_keys_come_changes_nothing(
    bare_world: World, order: tuple[str, ...], spec: dict[str, Any], files: dict[str, Any]
) -> None:
    twin, name = declared(bare_world, spec, files), declared(bare_world, spec, files)
    for key in files:
        bare_world.ingest(twin, key)
    for key in order:
        bare_world.ingest(name, key)
    for instant in INSTANTS:
        expected = stands(bare_world.lake, f"datasets/{twin}", instant)
        assert stands(bare_world.lake, f"datasets/{name}", instant) == expected, instant


def test_a_backfill_backwards_gives_the_values_and_known_times_of_one_forwards(bare_world: World) -> None:
    till, stores = declared(bare_world, TILL, TILL_FILES), declared(bare_world, STORES, STORE_FILES)
    for key in reversed(TILL_FILES):
        bare_world.ingest(till, key)
        bare_world.ingest(stores, key)
    assert stands(bare_world.lake, f"datasets/{till}", "2025-01-01") == [
        (at("2024-03-01T09:00"), 11, at("2024-03-03")),
        (at("2024-03-01T10:00"), 1, at("2024-03-01T12:00")),
        (at("2024-03-02T10:00"), 22, at("2024-03-04")),
        (at("2024-03-03T10:00"), 3, at("2024-03-03T12:00")),
    ]
    assert stands(bare_world.lake, f"datasets/{stores}", "2025-01-01") == [
        (1, 10, at("2024-03-04")),
        (2, 20, at("2024-03-03")),
    ]


def test_a_row_that_is_gone_from_a_repaired_file_is_withdrawn(bare_world: World) -> None:
    name = declared(bare_world, TILL, {"2024-03-02": [("2024-03-01T10:00:00", 1), ("2024-03-01T11:00:00", 2)]})
    bare_world.ingest(name, "2024-03-02")
    lay(bare_world, name, "2024-03-02", [("2024-03-01T10:00:00", 1)])
    done = bare_world.ingest(name, "2024-03-02")["publish"].output
    assert (done["appended"], done["unchanged"], done["withdrawn"]) == (0, 1, 1)
    first = (at("2024-03-01T10:00"), 1, at("2024-03-01T12:00"))
    assert stands(bare_world.lake, f"datasets/{name}", "2024-03-02") == [first]
    assert len(stands(bare_world.lake, f"datasets/{name}", "2024-03-01T23:00")) == 2, "until then both were known"
    lay(bare_world, name, "2024-03-02", [("2024-03-01T10:00:00", 1), ("2024-03-01T11:00:00", 2)])
    bare_world.ingest(name, "2024-03-02")
    assert len(stands(bare_world.lake, f"datasets/{name}", "2024-03-02")) == 2, "and it may come back"


def test_a_withdrawn_correction_says_again_what_was_said_before(bare_world: World) -> None:
    name = declared(bare_world, TILL, TILL_FILES)
    for key in TILL_FILES:
        bare_world.ingest(name, key)
    lay(bare_world, name, "2024-03-04", [("2024-03-03T10:00:00", 3)])
    bare_world.ingest(name, "2024-03-04")
    assert (at("2024-03-02T10:00"), 20, at("2024-03-02T12:00")) in stands(
        bare_world.lake, f"datasets/{name}", "2025-01-01"
    )


def test_what_a_later_key_sent_again_outlives_its_withdrawal_by_an_earlier_one(bare_world: World) -> None:
    files = {"2024-03-02": [("2024-03-01T10:00:00", 1)], "2024-03-03": [("2024-03-01T10:00:00", 1)]}
    name = declared(bare_world, TILL, files)
    for key in files:
        bare_world.ingest(name, key)
    lay(bare_world, name, "2024-03-02", [("2024-03-01T15:00:00", 5)])
    bare_world.ingest(name, "2024-03-02")
    assert [row[:2] for row in stands(bare_world.lake, f"datasets/{name}", "2024-03-02")] == [
        (at("2024-03-01T15:00"), 5)
    ]
    assert stands(bare_world.lake, f"datasets/{name}", "2025-01-01") == [
        (at("2024-03-01T10:00"), 1, at("2024-03-03")),
        (at("2024-03-01T15:00"), 5, at("2024-03-01T17:00")),
    ]


def test_rows_that_a_new_expectation_refuses_leave_the_table_as_they_enter_quarantine(bare_world: World) -> None:
    name = declared(bare_world, TILL, TILL_FILES)
    for key in TILL_FILES:
        bare_world.ingest(name, key)
    rule = {"expect": "column_values_to_be_between", "column": "sold", "args": {"max_value": 10}}
    bare_world.dataset(name, **{**TILL, "expectations": [rule]})
    before = stands(bare_world.lake, f"datasets/{name}", "2025-01-01")
    bare_world.ingest(name, "2024-03-04")
    assert [row[1] for row in before] == [11, 1, 22, 3]
    now = stands(bare_world.lake, f"datasets/{name}", "2025-01-01")
    assert [row[1] for row in now] == [11, 1, 20, 3], "an added expectation judges a key when it is ingested again"
    refused = bare_world.lake.table(f"quarantine/{name}").read().to_pylist()
    assert [(row["as_of"], row["stage"]) for row in refused] == [("2024-03-04", "validate")]
    assert RowCounts(bare_world.store).of(name)[-1].quarantined == 1


def test_what_the_source_says_of_known_times_is_never_changed(bare_world: World) -> None:
    columns = {"moment": "timestamp", "seen": "timestamp", "sold": "int"}
    spec = {**TILL, "columns": columns, "known_at": "seen", "availability_delay": None}
    late = ("2024-03-01T10:00:00", "2024-03-05T08:00:00", 1)
    name = bare_world.new_name("lot")
    bare_world.dataset(name, **{**spec, "expectations": []})
    for key, rows in {"2024-03-02": [late], "2024-03-03": [("2024-03-02T10:00:00", "2024-03-02T10:05:00", 2)]}.items():
        lay(bare_world, name, key, rows, spec)
        bare_world.ingest(name, key)
    assert [row[2] for row in stands(bare_world.lake, f"datasets/{name}", "2024-03-05")] == [2]
    assert (at("2024-03-01T10:00"), at("2024-03-05T08:00"), 1, at("2024-03-05T08:00")) in stands(
        bare_world.lake, f"datasets/{name}", "2024-03-06"
    )


@pytest.mark.parametrize("rows", [[], [(1, 10)]], ids=["a header alone", "a third"])
def test_a_snapshot_that_loses_most_of_its_rows_is_refused(bare_world: World, rows: list[tuple[int, int]]) -> None:
    full = {"2024-03-02": [(1, 10), (2, 20), (3, 30)], "2024-03-03": rows}
    name = declared(bare_world, STORES, full)
    bare_world.ingest(name, "2024-03-02")
    with pytest.raises(
        DataError, match=r"must not lose more than 50% of the rows that live \(max_lost\), but [23] of 3"
    ):
        bare_world.ingest(name, "2024-03-03")
    assert bare_world.lake.table(f"datasets/{name}").read().num_rows == 3
    bare_world.dataset(name, **{**STORES, "max_lost": 1})
    bare_world.ingest(name, "2024-03-03")
    assert bare_world.lake.table(f"datasets/{name}").read().num_rows == len(rows)


def test_a_late_row_is_late_although_its_key_comes_first(bare_world: World) -> None:
    """A first load is a key before which the source has nothing, not the key that happens to come first."""
    old = {**TILL_FILES, "2024-03-04": [("2024-02-20T10:00:00", 9), ("2024-03-02T10:00:00", 22)]}
    name = declared(bare_world, TILL, old)
    assert bare_world.open(name, "ingest", "2024-03-04").steps(*INGEST)["publish"].output["quarantined"] == 1
    assert stands(bare_world.lake, f"datasets/{name}", "2025-01-01") == [(at("2024-03-02T10:00"), 22, at("2024-03-04"))]


def test_a_rebuild_takes_a_repair_that_comes_back(bare_world: World) -> None:
    files = {"2024-03-02": [("2024-03-01T10:00:00", 1)], "2024-03-03": [("2024-03-02T10:00:00", 2)]}
    name = declared(bare_world, TILL, files)
    for key in files:
        bare_world.ingest(name, key)
    for value in (7, 1, 7, 7):
        lay(bare_world, name, "2024-03-02", [("2024-03-01T10:00:00", value)])
        bare_world.open(name, "ingest", "2024-03-03").step("rebuild")
        assert stands(bare_world.lake, f"datasets/{name}", "2025-01-01")[0][1] == value


@pytest.mark.parametrize("point", ["publish.commit:before", "publish.commit:after"])
def test_a_killed_publication_that_is_tried_again_after_a_repair_brings_nothing_old_back(
    bare_world: World, point: str
) -> None:
    name = declared(bare_world, TILL, {"2024-03-02": [("2024-03-01T10:00:00", 1)]})
    run = bare_world.open(name, "ingest", "2024-03-02")
    run.steps("read", "validate")
    run.kill("publish", point)
    lay(bare_world, name, "2024-03-02", [("2024-03-01T10:00:00", 9)])
    bare_world.ingest(name, "2024-03-02")
    with pytest.raises(Superseded, match="Clear the task `read`"):
        run.step("publish")
    assert stands(bare_world.lake, f"datasets/{name}", "2025-01-01")[0][1] == 9
    run.steps(*INGEST)
    assert stands(bare_world.lake, f"datasets/{name}", "2025-01-01")[0][1] == 9


def test_a_file_that_is_put_back_counts_although_another_was_published_since(bare_world: World) -> None:
    name = declared(bare_world, TILL, {"2024-03-02": [("2024-03-01T10:00:00", 1)]})
    run = bare_world.open(name, "ingest", "2024-03-02")
    run.steps(*INGEST)
    lay(bare_world, name, "2024-03-02", [("2024-03-01T10:00:00", 9)])
    bare_world.ingest(name, "2024-03-02")
    lay(bare_world, name, "2024-03-02", [("2024-03-01T10:00:00", 1)])
    run.steps(*INGEST)
    assert stands(bare_world.lake, f"datasets/{name}", "2025-01-01")[0][1] == 1


def test_a_build_that_leaves_a_key_to_another_leaves_it_what_that_one_has_not_seen(bare_world: World) -> None:
    """Two builds at once: one has seen more of one input, the other, which is published first, more of the other."""
    name = bare_world.dataset()
    view, table, key = bare_world.view(name), f"datasets/{name}", KEYS[0]
    bare_world.lay(name, key, csv_of(rows_of(key)))
    bare_world.ingest(name, key)
    runs = [bare_world.open(view, "build", key) for _ in range(2)]
    for run, own, other in zip(runs, (1, 2), (5, 4), strict=True):
        run.step("build")
        run.outputs["build"]["commits"] = {table: own, "datasets/other": other}
    for run in runs:
        run.steps(*BUILD[1:])
    assert Consumed(bare_world.store).watermark(f"features/{view}", table) == "1"


def test_what_a_rebuild_found_otherwise_stays_known_since_then_whatever_is_repaired_after(bare_world: World) -> None:
    row = "2024-03-01T10:00:00"
    name = declared(
        bare_world,
        TILL,
        {"2024-03-02": [(row, 1)], "2024-03-03": [("2024-03-02T10:00:00", 5), (row, 2)], "2024-03-05": []},
    )
    for key in ("2024-03-02", "2024-03-03", "2024-03-05"):
        bare_world.ingest(name, key)
    lay(bare_world, name, "2024-03-03", [("2024-03-02T10:00:00", 5), (row, 3)])
    bare_world.open(name, "ingest", "2024-03-05").step("rebuild")
    instants = ("2024-03-03", "2024-03-04", "2024-03-05", "2025-01-01")
    before = [stands(bare_world.lake, f"datasets/{name}", instant) for instant in instants]
    assert [rows[0][1] for rows in before] == [2, 2, 3, 3]
    lay(bare_world, name, "2024-03-02", [(row, 9)])
    bare_world.ingest(name, "2024-03-02")
    assert [stands(bare_world.lake, f"datasets/{name}", instant) for instant in instants] == before
