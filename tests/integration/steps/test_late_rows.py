"""A row that a shared source gains too late for every run is set aside once, whoever sees it and however it dies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from drill_world import INGEST, Run, World, content

KEYS = ("2024-01-08", "2024-01-15", "2024-01-22", "2024-01-29", "2024-02-05")
Rows = list[tuple[str, str, str]]


def rows_of(key: str) -> Rows:
    """A week's rows: one of each of two stations a day."""
    week = KEYS.index(key)
    return [
        (f"2024-{month:02}-{day:02}T10:00:00Z", station, f"{week}.{day}")
        for month, day in _days(week)
        for station in ("north", "south")
    ]


def _days(week: int) -> Iterable[tuple[int, int]]:
    for number in range(7 * week + 1, 7 * week + 8):
        yield (1, number) if number <= 31 else (2, number - 31)


class Shared:
    """A dataset whose runs all read one file that grows."""

    def __init__(self, world: World, **changes: Any) -> None:
        self.world, self.name = world, world.new_name("shared")
        self.changes: dict[str, Any] = {
            "columns": {"moment": "timestamp", "station": "string", "load": "float"}, "entity": ["station"],
            "expectations": [], "late_window": "0d", "source": {"path": f"{self.name}/all.csv"}, **changes,
        }  # fmt: skip
        self.declare()
        self.rows: list[Sequence[str]] = []

    def declare(self, **changes: Any) -> None:
        self.changes |= changes
        self.world.dataset(self.name, **self.changes)

    def lay(self) -> None:
        text = "\n".join(",".join(row) for row in [("moment", "station", "load"), *self.rows]) + "\n"
        self.world.lay(self.name, "all", text)

    def gain(self, *rows: Sequence[str], at: int | None = None) -> None:
        """Adds rows to the file, behind the others or before one of them."""
        at = len(self.rows) if at is None else at
        self.rows[at:at] = rows
        self.lay()

    def open(self, key: str) -> Run:
        return self.world.open(self.name, "ingest", key)

    def ingest(self, *keys: str) -> None:
        for key in keys:
            self.open(key).steps(*INGEST)

    def live(self, *keys: str) -> None:
        """Gains and ingests weeks one by one."""
        for key in keys:
            self.gain(*rows_of(key))
            self.ingest(key)

    @property
    def aside(self) -> list[tuple[str, str, str]]:
        """Key, rule and load of every quarantined row."""
        table = self.world.lake.table(f"quarantine/{self.name}")
        rows = table.read().to_pylist() if table.exists() else []
        return sorted((row["as_of"], row["rule"], _load_of(row["row"])) for row in rows)

    @property
    def counts(self) -> dict[str, tuple[int, int, int]]:
        """Rows read, good and quarantined by key."""
        return {row[0]: (row[1], row[2], row[3]) for row in content(self.world, self.name)["counts"]}


def _load_of(row: str) -> str:
    fields = json.loads(row)
    return str(fields["load"] if "load" in fields else fields["_raw"])


LATE = ("2024-01-03T11:00:00Z", "north", "9.9")
TOO_LATE = "event_time.too_late"


@pytest.fixture
def shared(bare_world: World) -> Shared:
    return Shared(bare_world)


def test_a_row_older_than_the_late_window_is_set_aside_once_and_counted(shared: Shared) -> None:
    shared.live(*KEYS[:3])
    assert (shared.aside, shared.counts[KEYS[2]]) == ([], (14, 14, 0))
    shared.gain(LATE, at=3)
    shared.live(KEYS[3])
    assert shared.aside == [(KEYS[3], TOO_LATE, "9.9")]
    assert shared.counts[KEYS[3]] == (15, 14, 1)
    [row] = shared.world.lake.table(f"quarantine/{shared.name}").read().to_pylist()
    assert "came too late: it lies before 2024-01-22" in row["reason"]
    assert (row["line"], row["source"]) == (5, f"{shared.name}/all.csv")
    shared.live(KEYS[4])
    assert (len(shared.aside), shared.counts[KEYS[4]]) == (1, (14, 14, 0))
    assert shared.world.lake.table(f"datasets/{shared.name}").read().num_rows == 70


def test_a_change_of_an_old_row_a_broken_one_and_one_of_an_empty_day_come_too_late_as_well(shared: Shared) -> None:
    shared.rows = [row for row in rows_of(KEYS[0]) if not row[0].startswith("2024-01-05")]
    shared.lay()
    shared.ingest(KEYS[0])
    shared.live(KEYS[1], KEYS[2])
    moment, station, _ = shared.rows[0]
    shared.rows[0] = (moment, station, "0.111")
    shared.gain((LATE[0], "north", "many"), (LATE[0], "north"), ("2024-01-05T10:00:00Z", "north", "5.5"), at=6)
    shared.gain(("2023-06-01T10:00:00Z", "north", "0.5"), at=0)
    shared.live(KEYS[3])
    assert shared.aside == [
        (KEYS[3], "columns.load", "many"),
        (KEYS[3], TOO_LATE, "0.111"),
        (KEYS[3], TOO_LATE, "0.5"),
        (KEYS[3], TOO_LATE, "5.5"),
        (KEYS[3], "fields", "2024-01-03T11:00:00Z,north"),
    ]
    assert shared.counts[KEYS[3]] == (19, 14, 5)
    shared.live(KEYS[4])
    assert (len(shared.aside), shared.counts[KEYS[4]]) == (5, (14, 14, 0))


@pytest.mark.parametrize("late_window", ["0d", "7d"])
def test_within_the_late_window_a_row_is_good_and_below_it_is_not(bare_world: World, late_window: str) -> None:
    shared = Shared(bare_world, late_window=late_window)
    shared.live(*KEYS[:3])
    shared.gain(("2024-01-17T11:00:00Z", "north", "7.7"), LATE)
    shared.live(KEYS[3])
    late = [(KEYS[3], TOO_LATE, "9.9")] + ([(KEYS[3], TOO_LATE, "7.7")] if late_window == "0d" else [])
    assert shared.aside == sorted(late)
    shared.live(KEYS[4])
    assert shared.aside == sorted(late)


def test_a_run_of_an_older_key_takes_what_it_finds_first_and_nothing_of_the_others(shared: Shared) -> None:
    shared.live(*KEYS[:4])
    before = shared.counts
    shared.ingest(*KEYS[:4])
    assert (shared.aside, shared.counts) == ([], before)
    shared.gain(LATE)
    shared.ingest(KEYS[2])
    shared.ingest(KEYS[1], KEYS[3])
    assert shared.aside == [(KEYS[2], TOO_LATE, "9.9")]
    shared.live(KEYS[4])
    shared.ingest(KEYS[2])
    assert shared.aside == [(KEYS[2], TOO_LATE, "9.9")]
    assert shared.counts == {**before, KEYS[2]: (15, 14, 1), KEYS[4]: (14, 14, 0)}


def test_a_key_that_is_missing_is_not_too_late(shared: Shared) -> None:
    for key in KEYS[:4]:
        shared.gain(*rows_of(key))
    shared.ingest(KEYS[0], KEYS[3], KEYS[2], KEYS[1])
    assert (shared.aside, {key: count for key, (count, _, _) in shared.counts.items()}) == (
        [],
        dict.fromkeys(KEYS[:4], 14),
    )
    shared.gain(LATE)
    shared.live(KEYS[4])
    assert shared.aside == [(KEYS[4], TOO_LATE, "9.9")]


def test_what_came_in_while_a_run_was_about_to_publish_is_found_afterwards(shared: Shared) -> None:
    shared.live(KEYS[0])
    shared.gain(*rows_of(KEYS[1]))
    second = shared.open(KEYS[1])
    second.step("read")
    shared.gain(("2024-01-10T11:00:00Z", "north", "8.8"), *rows_of(KEYS[2]))
    shared.ingest(KEYS[2])
    assert shared.aside == [], "the second run may yet read again and take it"
    second.steps("validate", "publish")
    shared.live(KEYS[3])
    assert shared.aside == [(KEYS[3], TOO_LATE, "8.8")]


def test_of_two_runs_that_read_at_once_one_takes_the_row(shared: Shared) -> None:
    shared.live(*KEYS[:2])
    shared.gain(LATE, *rows_of(KEYS[2]), *rows_of(KEYS[3]))
    third, fourth = shared.open(KEYS[2]), shared.open(KEYS[3])
    assert [run.step("read").output["late"] for run in (fourth, third)] == [1, 0]
    shared.gain(("2024-01-03T12:00:00Z", "south", "9.8"))
    fifth = shared.open(KEYS[4])
    assert fifth.step("read").output["late"] == 1
    for run in (third, fifth, fourth):
        run.steps("validate", "publish")
    assert shared.aside == [(KEYS[3], TOO_LATE, "9.9"), (KEYS[4], TOO_LATE, "9.8")]


def test_a_run_that_is_stopped_by_its_rows_finds_the_late_one_again_when_they_are_repaired(shared: Shared) -> None:
    shared.live(*KEYS[:2])
    third = rows_of(KEYS[2])
    shared.gain(LATE, *[(moment, station, "much") for moment, station, _ in third])
    run = shared.open(KEYS[2])
    with pytest.raises(Exception, match="14 of 14 rows"):
        run.steps(*INGEST)
    shared.rows = [*shared.rows[:-14], *third]
    shared.lay()
    shared.live(KEYS[3])
    assert shared.aside == []
    run.steps(*INGEST)
    assert shared.aside == [(KEYS[2], TOO_LATE, "9.9")]
    assert shared.counts[KEYS[2]] == (15, 14, 1)


def test_many_late_rows_do_not_stop_the_run_that_finds_them(shared: Shared) -> None:
    shared.live(*KEYS[:2])
    shared.gain(*[(f"2024-01-02T{hour:02}:30:00Z", "north", f"{hour}.0") for hour in range(24)])
    shared.live(KEYS[2])
    assert (len(shared.aside), shared.counts[KEYS[2]]) == (24, (38, 14, 24))


@pytest.mark.parametrize(
    "kills",
    [
        {"read": ["seen:before"]},
        {"read": ["seen:after"]},
        {"read": ["staging:after", "read.manifest:before"], "publish": ["quarantine.commit:before"]},
        {"read": ["seen:before", "seen:after", "read.manifest:after"],
         "publish": ["quarantine.commit:after", "publish.commit:after", "publish.manifest:before"]},
    ],
)  # fmt: skip
def test_a_killed_run_loses_and_doubles_no_late_row(shared: Shared, kills: dict[str, list[str]]) -> None:
    shared.live(*KEYS[:2])
    shared.gain(LATE, *rows_of(KEYS[2]))
    run = shared.open(KEYS[2])
    for step in INGEST:
        run.drill(step, kills.get(step, []))
    shared.live(KEYS[3])
    shared.ingest(KEYS[2])
    assert shared.aside == [(KEYS[2], TOO_LATE, "9.9")]
    assert shared.counts[KEYS[2]] == (15, 14, 1)


def test_a_late_row_that_a_killed_run_found_is_not_taken_by_the_next_one(shared: Shared) -> None:
    shared.live(*KEYS[:2])
    shared.gain(LATE, *rows_of(KEYS[2]))
    run = shared.open(KEYS[2])
    run.kill("read", "seen:after")
    shared.gain(("2024-01-04T11:00:00Z", "south", "9.7"))
    shared.live(KEYS[3])
    run.steps(*INGEST)
    assert shared.aside == [(KEYS[2], TOO_LATE, "9.9"), (KEYS[3], TOO_LATE, "9.7")]


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": {"moment": "timestamp", "station": "string", "load": "string"}},
        {"select": "select moment, station, load, load * 2 as more from source"},
        {"expectations": [{"expect": "column_values_to_be_between", "column": "load", "args": {"max_value": 9}}]},
    ],
)
def test_an_edited_spec_makes_no_old_row_late(shared: Shared, changes: dict[str, Any]) -> None:
    shared.changes["select"] = "select moment, station, load from source"
    shared.declare()
    shared.live(*KEYS[:2])
    if "columns" not in changes:
        shared.declare(**changes)
        shared.live(KEYS[2])
        shared.gain(LATE)
        shared.live(KEYS[3])
        assert shared.aside == [(KEYS[3], TOO_LATE, "9.9")]
        return
    shared.declare(**changes)
    shared.gain(*rows_of(KEYS[2]))
    assert shared.open(KEYS[2]).step("read").output["late"] == 0


@pytest.mark.parametrize("dedupe", ["latest", "first", "reject"])
def test_doubles_of_old_days_are_not_late_each_time(bare_world: World, dedupe: str) -> None:
    shared = Shared(bare_world, dedupe=dedupe, max_quarantined=1)
    first = rows_of(KEYS[0])
    shared.gain(*first, (*first[0][:2], "7.1"), ("2024-01-02T10:00:00Z", "north", "bad"))
    shared.ingest(KEYS[0])
    aside = shared.aside
    shared.live(KEYS[1])
    shared.gain(LATE)
    shared.live(KEYS[2], KEYS[3])
    assert shared.aside == sorted([*aside, (KEYS[2], TOO_LATE, "9.9")])


def test_rows_that_an_expectation_refused_are_not_late_either(bare_world: World) -> None:
    expectation = {"expect": "column_values_to_be_between", "column": "load", "args": {"max_value": 0.45}}
    shared = Shared(bare_world, expectations=[expectation], max_quarantined=1)
    shared.live(KEYS[0])
    aside = shared.aside
    assert len(aside) == 6
    shared.gain(LATE, ("2024-01-05T12:00:00Z", "north", "0.1"), ("2024-01-06T12:00:00Z", "north", "0.1"))
    shared.live(KEYS[1])
    late = [row for row in shared.aside if row[1] == TOO_LATE]
    assert late == [(KEYS[1], TOO_LATE, "0.1")] * 2 + [(KEYS[1], TOO_LATE, "9.9")]
    assert [row for row in shared.aside if row[0] == KEYS[0]] == aside


def test_rows_of_which_no_time_is_known_are_set_aside_by_one_run_only(bare_world: World) -> None:
    select = "select moment, station, sum(load) as load from source group by all"
    shared = Shared(bare_world, select=select, max_quarantined=1)
    shared.gain(("rubbish", "north", "1.0"), *rows_of(KEYS[0]))
    shared.ingest(KEYS[0])
    shared.gain(("2024-01-09", "north", "many"))
    shared.live(KEYS[1], KEYS[2])
    assert shared.aside == [(KEYS[0], "columns.moment", "1.0"), (KEYS[1], "columns.load", "many")]


def test_columns_that_nobody_declared_and_that_are_empty_do_no_harm(bare_world: World) -> None:
    shared = Shared(bare_world, columns=None, entity=["station"])
    shared.rows = [(*row[:2], "") for row in rows_of(KEYS[0])]
    shared.lay()
    shared.ingest(KEYS[0])
    shared.gain(LATE)
    shared.live(KEYS[1], KEYS[2])
    assert shared.aside == [(KEYS[1], TOO_LATE, "9.9")]
    table = shared.world.lake.table(f"datasets/{shared.name}").read()
    assert (table.num_rows, str(table.schema.field("load").type)) == (42, "double")


def test_what_is_remembered_is_no_larger_than_days_and_runs(shared: Shared) -> None:
    from evergreen.store.seen_rows import SeenRows

    shared.live(*KEYS[:3])
    seen = SeenRows(shared.world.store)
    assert {state.n_rows for state in seen.days(shared.name).values()} == {2}
    assert (len(seen.days(shared.name)), len(seen.runs(shared.name))) == (21, 3)
    assert not any(run.late for run in seen.runs(shared.name))
