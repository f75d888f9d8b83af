"""A look-up that goes from a checkpoint on finds what one through the whole table finds, whatever was rewritten."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from evergreen.features.join import point_in_time
from evergreen.lake.lake import Lake
from evergreen.lake.rows import with_system_columns
from evergreen.steps import lookups
from evergreen.store.checkpoints import Checkpoints
from evergreen.store.store import Store

STAMP = pa.timestamp("us", tz="UTC")
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
TABLE = "features/habits"
LIVES = 40 if os.environ.get("EVERGREEN_LONG") else 3


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first checkpoint goes through the table's time in parts."""
    monkeypatch.setattr(lookups, "ROWS_AT_ONCE", 7)


def day(number: float) -> datetime:
    return BEGIN + timedelta(days=number)


def reading(rows: list[tuple[int, float, float, int]], key: str) -> pa.Table:
    """Rows of (entity, day, day it was known, value)."""
    user = pa.table(
        {
            "customer": pa.array([row[0] for row in rows], pa.int64()),
            "until": pa.array([day(row[1]) for row in rows], STAMP),
            "v": pa.array([row[3] for row in rows], pa.int64()),
        }
    )
    known = pa.array([day(row[2]) for row in rows], STAMP)
    return with_system_columns(user, identity=["customer", "until"], event_time="until", known_at=known, as_of=key)


class Told:
    """One view's table, written by keys of five days in any order, as a build writes it."""

    def __init__(self, folder: Path, store: Store, seed: int) -> None:
        self.dice, self.lake, self.store = random.Random(seed), Lake(folder), store
        self.table = f"{TABLE}{seed}"
        self.source = self.dice.random() < 0.4
        self.view: Any = SimpleNamespace(entity=("customer",), ttl=None)
        self.written = 0

    def context(self, as_of: float, version: int | None = None) -> Any:
        versions = {self.table: self.lake.table(self.table).version() if version is None else version}
        doors = {"lake": self.lake, "store": self.store, "is_overtaken": lambda: False}
        return SimpleNamespace(**doors, as_of_time=day(as_of), versions=versions)

    def write(self, number: int) -> None:
        """A key says its rows: most of its own days, a few of long before; again, it says other rows."""
        dice, end = self.dice, 5.0 * (number + 1)
        rows: dict[tuple[int, float], tuple[int, float, float, int]] = {}
        for _ in range(dice.randint(0, 12)):
            at = end - dice.choice([0.5, 1, 2, 3, 4.5]) - (dice.choice([0, 0, 0, 0, 20, 40]) if number > 8 else 0)
            who = dice.randint(0, 5)
            known = min(end, at + dice.choice([0, 0.5, 3])) if self.source else end
            rows[who, at] = (who, at, known, dice.randint(0, 2))
        self.written += 1
        self.lake.table(self.table).append_versions(
            reading(list(rows.values()), f"k{number:03}"), tag=f"{self.table} {self.written}", until=day(end),
            source_known_at=self.source, as_of=f"k{number:03}",
        )  # fmt: skip
        if dice.random() < 0.7:
            lookups.ensure(self.context(end), self.table, self.view)

    def found(self, rows: pa.Table, queries: pa.Table) -> list[Any]:
        return list(point_in_time(queries, "at", rows, ["customer"], ["v"], self.view.ttl)["v"].to_pylist())

    def compare(self) -> bool:
        """Looks random instants up both ways, at the newest version or an older one; tells if a checkpoint served."""
        dice, table = self.dice, self.lake.table(self.table)
        version = table.version() if dice.random() < 0.7 else dice.randint(0, table.version())
        first = dice.uniform(0, 100)
        last = first + dice.choice([0.0, 3.0, 30.0])
        known_by = day(last + dice.choice([0, 10]))
        self.view.ttl = dice.choice([None, None, timedelta(days=7)])
        queries = pa.table(
            {
                "customer": pa.array([dice.randint(0, 6) for _ in range(30)], pa.int64()),
                "at": pa.array([day(first), day(last), *(day(dice.uniform(first, last)) for _ in range(28))], STAMP),
            }
        )
        ctx = self.context(0, version)
        some = lookups._versions(ctx, self.table, self.view, (day(first), day(last)), known_by)
        every = table.read_versions(known_by=known_by, version=version)
        assert self.found(some, queries) == self.found(every, queries)
        self.view.ttl = None
        return Checkpoints(self.store).newest(self.table, by=day(first), commit=version) is not None


@pytest.mark.parametrize("seed", range(LIVES))
def test_a_look_up_from_a_checkpoint_finds_what_the_whole_table_says(tmp_path: Path, store: Store, seed: int) -> None:
    told = Told(tmp_path, store, seed)
    keys = list(range(20))
    if told.dice.random() < 0.3:  # a backfill comes backwards, or in any order
        told.dice.shuffle(keys)
    served = 0
    for number in keys:
        told.write(number)
        if told.dice.random() < 0.3:  # a repair of something that may lie before a checkpoint
            told.write(told.dice.choice(keys[: keys.index(number) + 1]))
        served += sum(told.compare() for _ in range(3))
    assert served > 5, "checkpoints were there to be used"


def test_a_period_opens_only_the_files_since_the_months_start(tmp_path: Path, store: Store) -> None:
    told = Told(tmp_path, store, 1000)
    told.view.entity = ("customer",)
    table = told.lake.table(told.table)
    for number in range(14):
        end = 5.0 * (number + 1)
        rows = [(number % 3, end - 1, end, number)]
        table.append_versions(
            reading(rows, f"k{number:03}"), tag=f"only {number}", until=day(end), as_of=f"k{number:03}"
        )
    lookups.ensure(told.context(70.0), told.table, told.view)
    files = sorted((tmp_path / "tables").rglob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)
    for file in files[:11]:  # what became known at the very start of the month may be in either
        file.unlink()
    rows = lookups._versions(told.context(70.0), told.table, told.view, (day(65), day(70)), day(70))
    queries = pa.table({"customer": [0, 1, 2, 3], "at": pa.array([day(70)] * 4, STAMP)})
    assert told.found(rows, queries) == [12, 13, 11, None]


def test_a_checkpoint_whose_past_was_rewritten_too_much_is_made_anew(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "MANY_TORN", 1)
    told, table = Told(tmp_path, store, 1001), "features/habits1001"
    lake = told.lake.table(table)

    def write(number: int, rows: list[tuple[int, float, float, int]], tag: str) -> None:
        end, key = 5.0 * (number + 1), f"k{number:03}"
        lake.append_versions(reading(rows, key), tag=tag, until=day(end), as_of=key)

    for number in range(14):
        write(number, [(who, 5.0 * number + 4, 5.0 * number + 5, number) for who in range(3)], f"first {number}")
        lookups.ensure(told.context(5.0 * number + 5), table, told.view)
    write(11, [(0, 59, 60, 99)], "second")  # it says less and otherwise of what lies before March
    queries = pa.table({"customer": [0, 1, 2], "at": pa.array([day(60.5)] * 3, STAMP)})
    for _ in range(2):
        rows = lookups._versions(told.context(70.0), table, told.view, (day(60.5), day(60.5)), day(70))
        assert told.found(rows, queries) == [99, 10, 10]
    assert rows.num_rows == 3, "the second look-up goes on from the new one"
