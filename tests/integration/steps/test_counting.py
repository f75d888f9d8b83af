"""Counts from increments are those of the whole table, at every version and instant, whatever was rewritten."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from evergreen.lake.lake import Lake
from evergreen.lake.rows import with_system_columns
from evergreen.steps import counting
from evergreen.store.increments import Increments
from evergreen.store.store import Store

STAMP = pa.timestamp("us", tz="UTC")
LIVES = 30 if os.environ.get("EVERGREEN_LONG") else 4
KEYS = 12


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first count goes through the table some intervals after the other."""
    monkeypatch.setattr(counting, "ROWS_AT_ONCE", 5)


class Written:
    """A dataset's table: a key a day in New York across the change of its clocks, each said in any order and again."""

    def __init__(self, folder: Path, store: Store, seed: int) -> None:
        self.dice, self.lake, self.store = random.Random(seed), Lake(folder), store
        self.table, self.written = f"datasets/orders{seed}", 0
        self.whole, self.source = self.dice.random() < 0.3, self.dice.random() < 0.3
        self.ends = [datetime(2024, 3, 5, 5, tzinfo=UTC) + timedelta(days=n) for n in range(KEYS)]
        self.ends = [end - timedelta(hours=end >= datetime(2024, 3, 11, tzinfo=UTC)) for end in self.ends]

    def write(self, number: int) -> None:
        dice, end = self.dice, self.ends[number]
        rows: dict[Any, tuple[int, datetime, datetime, bool | None]] = {}
        for _ in range(dice.randint(0, 9)):
            at = end - timedelta(hours=dice.choice([1, 5, 23]) + 24 * dice.choice([0, 0, 0, 2, 6]))
            who, known = (
                dice.randint(0, 5),
                min(end, at + timedelta(hours=dice.choice([0, 30]))) if self.source else end,
            )
            rows[who if self.whole else (who, at)] = (who, at, known, dice.choice([None, True, False]))
        said = list(rows.values())
        user = pa.table(
            {
                "who": pa.array([row[0] for row in said], pa.int64()),
                "at": pa.array([row[1] for row in said], STAMP),
                "late": pa.array([row[3] for row in said], pa.bool_()),
            }
        )
        self.written += 1
        self.lake.table(self.table).append_versions(
            with_system_columns(
                user, identity=["who"] if self.whole else ["who", "at"], event_time=None if self.whole else "at",
                known_at=pa.array([row[2] for row in said], STAMP), as_of=f"k{number:02}",
            ),
            tag=f"{self.table} {self.written}", until=end, as_of=f"k{number:02}", full_snapshot=self.whole,
            source_known_at=self.source and not self.whole,
        )  # fmt: skip

    def compare(self, *, newest: bool = False) -> None:
        dice, table = self.dice, self.lake.table(self.table)
        version = table.version() if newest or dice.random() < 0.8 else dice.randint(1, table.version())
        end = dice.choice(self.ends)
        ctx: Any = SimpleNamespace(
            lake=self.lake, store=self.store, as_of_time=end, versions={self.table: version},
            tables={("dataset", "orders", "w"): self.table}, inp=SimpleNamespace(workspace="w"),
            model=SimpleNamespace(label=SimpleNamespace(column="late", dataset="orders")),
            driver=SimpleNamespace(
                schedule=SimpleNamespace(cron="0 0 * * *"), timezone="America/New_York",
                event_time=None if self.whole else "at",
            ),
            refuse_overtaken=lambda: None,
        )  # fmt: skip
        history = counting.LabelHistory(ctx)
        rows = table.read(["late"], known_by=end, event_to=end, version=version)
        labelled = rows.filter(rows["late"].is_valid())
        assert history.through == pc.max(labelled["_event_time"]).as_py()
        for moment in (None, *dice.sample(self.ends, 3), dice.choice(self.ends) - timedelta(hours=7)):
            for found, of in ((history.rows_since(moment), rows), (history.labels_since(moment), labelled)):
                at = of["_event_time"].to_pylist()
                assert found == sum(moment is None or each >= moment for each in at), (moment, end, version)


@pytest.mark.parametrize("seed", range(LIVES))
def test_counts_are_those_of_the_whole_table(tmp_path: Path, store: Store, seed: int) -> None:
    written = Written(tmp_path, store, seed)
    keys = list(range(KEYS))
    if written.dice.random() < 0.4:
        written.dice.shuffle(keys)
    for number in keys:
        written.write(number)
        if written.dice.random() < 0.4:
            written.write(written.dice.choice(keys))
        if written.dice.random() < 0.7 and written.lake.table(written.table).version() > 0:
            written.compare()
    counted = Increments(store).counted(written.table, "late 0 0 * * * America/New_York")
    assert counted is not None and counted.first < counted.last


def test_two_that_count_at_once_count_once(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written(tmp_path, store, 1001)
    written.whole = written.source = False
    for number in range(4):
        written.write(number)
        written.compare(newest=True)
    written.write(5)
    go_on, entered = counting.LabelHistory._go_on, []

    def late(self: Any, *args: Any) -> Any:
        found = go_on(self, *args)
        if not entered:
            entered.append(True)
            written.compare(newest=True)  # another does the same between our reading and our writing
        return found

    monkeypatch.setattr(counting.LabelHistory, "_go_on", late)
    written.compare(newest=True)
    assert entered
