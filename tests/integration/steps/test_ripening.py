"""Labels ripen: each period is judged until nothing can change, whatever the delay and the order of keys."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pytest
from drill_world import MONITOR, World, csv_of, rows_of

from evergreen.spec.timing import format_duration, key_of
from evergreen.store.intervals import Intervals
from evergreen.store.periods import Periods
from evergreen.store.resources import Seen

pytestmark = pytest.mark.timeout(900)

BEGIN = datetime(2024, 3, 1, tzinfo=UTC)
ROWS = 20
HEADER = ("moment", "load", "late")


@dataclass(frozen=True)
class Pace:
    """A dataset's calendar and a label's delay of so many periods."""

    cron: str
    period: timedelta
    delay: int

    def key(self, number: int) -> str:
        return key_of(self.cron, "UTC", BEGIN + number * self.period)

    @property
    def trained(self) -> int:
        """The period at whose end the champion is trained: 20 periods have ripe labels by then."""
        return self.delay + 20


PACES = {
    "daily, 45 days": Pace("0 0 * * *", timedelta(days=1), 45),
    "hourly, 2 days": Pace("0 * * * *", timedelta(hours=1), 48),
}
if not os.environ.get("EVERGREEN_LONG"):
    del PACES["daily, 45 days"]


@dataclass(frozen=True)
class Delayed:
    """A dataset whose labels ripen late, with everything ingested, and a model that serves since ``trained``."""

    world: World
    pace: Pace
    dataset: str

    def model(self) -> str:
        delay, few = format_duration(self.pace.delay * self.pace.period), format_duration(3 * self.pace.period)
        return self.world.model(
            features=[], request=["load"], label={"dataset": self.dataset, "delay": delay},
            split={"test": few, "validation": few, "gap": "0s"}, gate={"min_rows": 20, "floors": {}},
            monitoring={"min_labels": ROWS},
            retraining={"min_history": format_duration(20 * self.pace.period), "drift": False, "code": False},
        )  # fmt: skip

    def watch(self, model: str, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.world.open(model, "monitor", self.pace.key(number)).step("monitor")

    @cached_property
    def in_order(self) -> dict[str, tuple[Any, ...]]:
        """Figures of a model whose periods were watched in their order, each once."""
        return self.watched(self.numbers)

    @property
    def numbers(self) -> list[int]:
        trained, delay = self.pace.trained, self.pace.delay
        return [trained + after for after in (1, 2, 3, 9, delay, delay + 2, delay + 3)]

    def watched(self, numbers: Iterable[int]) -> dict[str, tuple[Any, ...]]:
        """Figures of a new model that was watched so."""
        model = self.model()
        self.world.champion(model, self.pace.key(self.pace.trained))
        self.watch(model, numbers)
        return self.figures(model)

    def figures(self, model: str) -> dict[str, tuple[Any, ...]]:
        return {
            row.as_of: (row.role, row.version, row.value, row.n_rows, row.n_labelled)
            for row in Periods(self.world.store).of(model)
        }


@pytest.fixture(scope="module", params=PACES)
def delayed(bare_world: World, request: pytest.FixtureRequest) -> Delayed:
    """After the champion's training what was late is in time and the other way round: it decays at once."""
    pace: Pace = PACES[request.param]
    name = bare_world.new_name("slow")
    bare_world.dataset(
        name, schedule={"cron": pace.cron}, columns={"moment": "timestamp", "load": "float", "late": "bool"},
        expectations=[], late_window="0d", availability_delay="1m", source={"path": f"{name}/all.csv"},
    )  # fmt: skip
    dice = random.Random(7)
    rows, last = [], pace.trained + pace.delay + 3
    for number in range(1, last + 1):
        start = BEGIN + (number - 1) * pace.period
        for row in range(ROWS):
            load = dice.random()
            late = ((load > 0.5) == (number <= pace.trained)) != (dice.random() < 0.15)
            at = start + row * pace.period / (ROWS + 1)
            rows.append([at.isoformat(), f"{load:.4f}", str(late).lower()])
    bare_world.lay(name, "all", csv_of(rows, HEADER))
    bare_world.ingest(name, pace.key(last))  # the first load takes the whole history
    for number in range(1, last):
        Intervals(bare_world.store).published(name, pace.key(number), BEGIN + number * pace.period)
    return Delayed(bare_world, pace, name)


def test_a_period_whose_labels_ripen_after_more_than_31_periods_is_judged_and_decays(delayed: Delayed) -> None:
    world, pace, model = delayed.world, delayed.pace, delayed.model()
    assert world.champion(model, pace.key(pace.trained)) == 1
    first = pace.trained + 1
    delayed.watch(model, [first, first + 1, first + 32, first + pace.delay - 1])
    assert {value for _, _, value, _, labelled in delayed.figures(model).values() if labelled < ROWS} == {None}
    decided = world.open(model, "monitor", pace.key(first + pace.delay)).steps(*MONITOR)["decide"].output
    _, version, value, n_rows, n_labelled = delayed.figures(model)[pace.key(first)]
    assert (version, n_rows, n_labelled) == (1, ROWS, ROWS)
    assert value is not None and value < 0.5
    assert decided["verdict"] == "retrain"
    assert any(reason.startswith(f"roc_auc {value:.4g} on {ROWS} labelled rows") for reason in decided["reasons"])


def test_a_run_judges_what_has_ripened_and_nothing_else(delayed: Delayed) -> None:
    pace, model = delayed.pace, delayed.model()
    delayed.world.champion(model, pace.key(pace.trained))
    first = pace.trained + 1
    judged = 0
    watched = [*range(first, first + 9), *range(first + pace.delay - 2, first + pace.delay + 2)]
    for number in watched:
        output = delayed.world.open(model, "monitor", pace.key(number)).step("monitor").output
        judged = max(judged, output["judged"])
    assert judged <= 3
    periods = Periods(delayed.world.store)
    assert [each.as_of for each in periods.in_state(model, "settled")] == [pace.key(first), pace.key(first + 1)]
    assert len(periods.in_state(model, "open")) == len(watched) - 2


@pytest.mark.parametrize("order", ["backwards", "shuffled", "twice"])
def test_the_order_of_keys_does_not_matter(delayed: Delayed, order: str) -> None:
    numbers = delayed.numbers
    arranged = {"backwards": numbers[::-1], "shuffled": random.Random(1).sample(numbers, len(numbers)),
                "twice": [*numbers[:2], *numbers, *numbers[4:6]]}[order]  # fmt: skip
    assert delayed.watched(arranged) == delayed.in_order
    assert sum(labelled == ROWS for *_, labelled in delayed.in_order.values()) == 3


# -- labels that come in a later file


WEEKS = [f"2024-0{month}-{day:02}" for month, day in ((1, 8), (1, 15), (1, 22), (1, 29), (2, 5), (2, 12))]


@pytest.fixture(scope="module")
def late(bare_world: World) -> str:
    """Weekly files in which a week's second half has no label yet; the next file brings those rows again, with it."""
    name = bare_world.dataset(availability_delay="0d")
    for number, key in enumerate(WEEKS):
        rows = rows_of(key)
        without = [[*row[:3], "", *row[4:]] if index >= 168 else row for index, row in enumerate(rows)]
        again = rows_of(WEEKS[number - 1])[168:] if number else []
        bare_world.lay(name, key, csv_of([*again, *without]))
    return name


def weekly(world: World, dataset: str) -> str:
    return world.model(
        features=[], label={"dataset": dataset}, split={"test": "6d", "validation": "2d"},
        retraining={"min_history": "14d"},
    )  # fmt: skip


def live(world: World, dataset: str) -> str:
    """Everything in its time: a file is ingested, then the model is watched."""
    model = weekly(world, dataset)
    for key in WEEKS:
        world.ingest(dataset, key)
        if key == WEEKS[2]:
            world.champion(model, key)
        if key > WEEKS[2]:
            world.open(model, "monitor", key).step("monitor")
    return model


def shown(world: World, model: str) -> list[tuple[Any, ...]]:
    return [(row.as_of, row.role, row.value, row.n_labelled) for row in Periods(world.store).of(model)]


def test_labels_that_come_in_the_next_file_count_in_whatever_order_periods_are_watched(
    bare_world: World, late: str
) -> None:
    found = shown(bare_world, live(bare_world, late))
    assert [labelled for *_, labelled in found] == [336, 336, 168]
    for order in ([5, 4, 3], [4, 3, 5], [3, 5, 4, 3]):
        model = weekly(bare_world, late)
        bare_world.champion(model, WEEKS[2])
        for number in order:
            bare_world.open(model, "monitor", WEEKS[number]).step("monitor")
        assert shown(bare_world, model) == found


def test_a_watcher_that_hung_while_a_later_one_judged_changes_nothing(bare_world: World, late: str) -> None:
    for key in WEEKS:
        bare_world.ingest(late, key)
    model = weekly(bare_world, late)
    bare_world.champion(model, WEEKS[2])
    hung = bare_world.open(model, "monitor", WEEKS[3]).stop("monitor", "replace.commit:after")
    for key in WEEKS[3:]:
        bare_world.open(model, "monitor", key).step("monitor")
    before = shown(bare_world, model)
    hung.go_on()
    assert shown(bare_world, model) == before
    assert before[0][3] == 336


def test_a_settled_period_whose_file_is_repaired_is_judged_anew_when_it_is_watched_again(bare_world: World) -> None:
    name = bare_world.dataset(availability_delay="0d")
    for key in WEEKS:
        rows = rows_of(key)
        bare_world.lay(name, key, csv_of(rows if key != WEEKS[3] else rows[:200]))
        bare_world.ingest(name, key)
    model = weekly(bare_world, name)
    bare_world.champion(model, WEEKS[2])
    for key in WEEKS[3:]:
        bare_world.open(model, "monitor", key).step("monitor")
    assert [each.as_of for each in Periods(bare_world.store).in_state(model, "settled")] == WEEKS[3:5]
    bare_world.lay(name, WEEKS[3], csv_of(rows_of(WEEKS[3])))
    bare_world.ingest(name, WEEKS[3])
    bare_world.open(model, "monitor", WEEKS[3]).step("monitor")
    assert shown(bare_world, model)[0][3] == 336
    assert Seen(bare_world.store).newest_as_of(model) == WEEKS[-1]


def test_watching_that_is_killed_anywhere_and_retried_gives_the_same(bare_world: World, late: str) -> None:
    for key in WEEKS:
        bare_world.ingest(late, key)
    lives = []
    points = ("replace.commit:before", "replace.commit:after", "staging:before", "monitor.manifest:before")
    for kills in ((), points):
        model = weekly(bare_world, late)
        bare_world.champion(model, WEEKS[2])
        for key in WEEKS[3:]:
            bare_world.open(model, "monitor", key).drill("monitor", kills)
        states = [
            [each.as_of for each in Periods(bare_world.store).in_state(model, state)] for state in ("open", "settled")
        ]
        lives.append((shown(bare_world, model), states))
    assert lives[0] == lives[1]
