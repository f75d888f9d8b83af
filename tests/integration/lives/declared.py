"""What the team of a life declares: datasets and views as plain values, and for each SQL or Python of theirs its twin.

A twin says in plain Python, row by row, what the team's own text says in SQL or pandas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

Row = Mapping[str, Any]
Inputs = Mapping[str, Sequence[Row]]

GAINED = ("extra", "int")
"""The column that a dataset gains in some lives; its files have it from the start."""


@dataclass(frozen=True)
class Dataset:
    """As in the YAML file of the same name; ``most`` stands for an expectation on ``sold``."""

    name: str
    columns: tuple[tuple[str, str], ...]
    entity: tuple[str, ...] = ("shop",)
    event_time: str | None = None
    known_at: str | None = None
    delay: timedelta | None = None
    zone: str = "UTC"
    select: str = "plain"
    late_window: timedelta = timedelta(days=2)
    most: int | None = None
    on_change: str | None = None

    @property
    def identity(self) -> tuple[str, ...]:
        return self.entity if self.event_time is None else (*self.entity, self.event_time)


@dataclass(frozen=True)
class View:
    """As in the YAML file of the same name."""

    name: str
    reads: tuple[str, ...]
    entity: tuple[str, ...]
    timestamp: str
    transform: str
    lookback: timedelta = timedelta(0)
    delay: timedelta = timedelta(0)


class Select(NamedTuple):
    """A dataset's ``select`` and its twin."""

    sql: str
    twin: Callable[[Row], Row]


class Transform(NamedTuple):
    """A view's transform and its twin.

    Attributes:
        meaning: Name of the transform that says the same; another one where comments and line breaks only differ.
        outputs: Column -> type.
        says_known: Whether it gives ``known_at`` itself.
    """

    text: str
    twin: Callable[[Inputs, datetime, datetime], list[Row]]
    meaning: str
    outputs: Mapping[str, str]
    says_known: bool = False
    ending: str = "sql"


def _scaled(column: str) -> Callable[[Row], Row]:
    return lambda row: {**row, column: None if row[column] is None else row[column] * 10}


SELECTS = {
    "plain": Select("", lambda row: row),
    "tenfold": Select("select moment, shop, sold * 10 as sold{gained} from source", _scaled("sold")),
    "tenfold beds": Select("select shop, sold * 10 as sold{gained} from source", _scaled("sold")),
    "an hour later": Select(
        "select moment + interval 1 hour as moment, shop, sold{gained} from source",
        lambda row: {**row, "moment": row["moment"] + timedelta(hours=1)},
    ),
}


def _lately(rows: Sequence[Row], start: datetime) -> list[tuple[Row, list[int]]]:
    """Each row from ``start`` on, with what its shop sold in the two days up to it."""

    def of(row: Row) -> list[int]:
        since = row["moment"] - timedelta(days=2)
        mine = [r for r in rows if r["shop"] == row["shop"] and since <= r["moment"] <= row["moment"]]
        return [r["sold"] for r in mine if r["sold"] is not None]

    return [(row, of(row)) for row in rows if row["moment"] >= start]


def _mean(numbers: Sequence[int]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None


def _recent(factor: float) -> Callable[[Inputs, datetime, datetime], list[Row]]:
    def twin(inputs: Inputs, start: datetime, end: datetime) -> list[Row]:
        found = [(row, _mean(sold)) for row, sold in _lately(inputs["till"], start)]
        return [
            {"moment": r["moment"], "shop": r["shop"], "recent": None if mean is None else mean * factor}
            for r, mean in found
        ]

    return twin


def _recent_and_count(inputs: Inputs, start: datetime, end: datetime) -> list[Row]:
    return [
        {"moment": row["moment"], "shop": row["shop"], "recent": _mean(sold), "sales": len(sold)}
        for row, sold in _lately(inputs["till"], start)
    ]


def _tally(inputs: Inputs, start: datetime, end: datetime) -> list[Row]:
    rows = inputs["notes"]
    total = sum(row["sold"] or 0 for row in rows)
    known = max((row["known_at"] for row in rows), default=end)
    return [{"at": end, "heard": len(rows), "total": total, "known_at": known}]


def _share(inputs: Inputs, start: datetime, end: datetime) -> list[Row]:
    beds = {row["shop"]: row["sold"] for row in inputs["stores"]}

    def of(row: Row) -> float | None:
        there = beds.get(row["shop"])
        return None if not there or row["sold"] is None else row["sold"] / there

    return [
        {"moment": row["moment"], "shop": row["shop"], "share": of(row)}
        for row in inputs["till"]
        if row["moment"] >= start
    ]


_RECENT = """
select moment, shop, {factor} * avg(sold) over lately as recent{more}
from till
window lately as (partition by shop order by moment range between interval 2 days preceding and current row)
qualify moment >= $start
"""
_COMMENTED = "-- What a shop sold\n-- lately." + _RECENT.replace("\nfrom", "\n\n   from")
_TALLY = """
select $end::timestamptz as at, count(*) as heard, coalesce(sum(sold), 0) as total,
  coalesce(max(known_at), $end::timestamptz) as known_at
from notes
"""
_SHARE = '''
"""What a shop sold for each of its beds."""


def compute(tables, start, end):
    rows = tables["till"].merge(tables["stores"][["shop", "sold"]], on="shop", how="left", suffixes=("", "_beds"))
    rows = rows[rows.moment >= start]
    beds = rows.sold_beds.astype("float64")
    rows["share"] = rows.sold.astype("float64") / beds.where(beds != 0)
    return rows[["moment", "shop", "share"]]
'''

TRANSFORMS = {
    "recent": Transform(_RECENT.format(factor=1, more=""), _recent(1), "recent", {"recent": "float"}),
    "recent, commented": Transform(_COMMENTED.format(factor=1, more=""), _recent(1), "recent", {"recent": "float"}),
    "recent, tenfold": Transform(
        _RECENT.format(factor=10, more=""), _recent(10), "recent, tenfold", {"recent": "float"}
    ),
    "recent and count": Transform(
        _RECENT.format(factor=1, more=", count(sold) over lately as sales"),
        _recent_and_count,
        "recent and count",
        {"recent": "float", "sales": "int"},
    ),
    "tally": Transform(_TALLY, _tally, "tally", {"heard": "int", "total": "int"}, says_known=True),
    "share": Transform(_SHARE, _share, "share", {"share": "float"}, ending="py"),
}

_SALES = (("moment", "timestamp"), ("shop", "string"), ("sold", "int"))
TILL = Dataset("till", _SALES, event_time="moment", delay=timedelta(hours=1))
STORES = Dataset("stores", (("shop", "string"), ("sold", "int")))
NOTES = Dataset("notes", (*_SALES, ("knows", "timestamp")), event_time="moment", known_at="knows")
RECENT = View("recent", ("till",), ("shop",), "moment", "recent", timedelta(days=2), timedelta(hours=2))
TALLY = View("tally", ("notes",), (), "at", "tally", timedelta(days=2))
SHARE = View("share", ("till", "stores"), ("shop",), "moment", "share")
DATASETS = {each.name: each for each in (TILL, STORES, NOTES)}
VIEWS = {each.name: each for each in (RECENT, TALLY, SHARE)}
