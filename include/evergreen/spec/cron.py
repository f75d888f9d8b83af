"""Cron expressions of five fields: what is allowed, how it is spelt, and the wall-clock times that it names.

croniter finds the times, for Airflow too. Allowed is only what it reads as cron does: it takes more, and means other
things by some of it (``1-1`` is every minute to it, ``*/90`` minute 0, ``R`` a random one).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from evergreen.spec.base import At

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_ITEM = re.compile(r"(\*|[0-9]+|[a-z]+)(?:-([0-9]+|[a-z]+))?(?:/([0-9]+))?")
_NTH = re.compile(r"l([0-7])|([0-7]|[a-z]{3})#([1-5])")


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def last(self) -> int:
        """The highest value that is not another name of the lowest (Sunday is 0 and 7)."""
        return 6 if self.name == "day of week" else self.high


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, ("", *_MONTHS)),
    _Field("day of week", 0, 7, tuple(_DAYS)),
)


class Cron(NamedTuple):
    """A cron expression, spelt plainly: numbers without leading zeros, no names, single spaces.

    Attributes:
        text: What croniter is given.
        minutes: Minutes of an hour that it names.
        hours: Hours of a day that it names.
    """

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]

    @property
    def is_at_midnight(self) -> bool:
        """Whether it names no time of day but midnight."""
        return self.minutes == self.hours == {0}

    @property
    def is_every_hour(self) -> bool:
        """Whether it names every hour of a day."""
        return len(self.hours) == 24

    def after(self, wall: datetime) -> Iterator[datetime]:
        """The wall-clock times (without a zone) after one, ever later."""
        from croniter import croniter

        return iter(croniter(self.text, wall).all_next(datetime))

    def before(self, wall: datetime) -> Iterator[datetime]:
        """The wall-clock times (without a zone) before one, ever earlier."""
        from croniter import croniter

        return iter(croniter(self.text, wall).all_prev(datetime))


@lru_cache(maxsize=4096)
def parse_cron(text: str) -> Cron:
    """Reads a cron expression.

    Raises:
        At: (a ValueError) When it is none, or means one thing to cron and another to croniter; says what to write.
    """
    try:
        return _parse(text.lower().split())
    except At as error:
        error.value = text
        raise


def _parse(parts: list[str]) -> Cron:
    if len(parts) != len(_FIELDS):
        raise At((), "must be a cron expression of five fields", remedy="Write one such as 0 0 * * *.")
    spelt, values = [], []
    for field, part in zip(_FIELDS, parts, strict=True):
        items = [_item(field, item, part) for item in part.split(",")]
        values.append(frozenset().union(*(numbers for _, numbers in items)))
        is_all = len(values[-1]) == field.last - field.low + 1
        spelt.append("*" if is_all else ",".join(dict.fromkeys(item for item, _ in items)))
    _check_days(parts[2], parts[4], spelt[2], spelt[4])
    cron = Cron(" ".join(spelt), values[0], values[1])
    _check_ever(cron)
    return cron


def _item(field: _Field, item: str, part: str) -> tuple[str, frozenset[int]]:
    """One item of a field's list, spelt plainly, and the numbers it names (none for a day that is counted)."""
    if field.name == "day of month" and item == "l":
        return "L", frozenset()
    if field.name == "day of week" and (found := _NTH.fullmatch(item)):
        last, day, nth = found.groups()
        return f"L{int(last) % 7}" if last else f"{_number(field, day) % 7}#{nth}", frozenset()
    found = _ITEM.fullmatch(item)
    if found is None or (found[1] == "*" and found[2]):
        raise _refused(f"{item!r} means nothing as {field.name}", _forms(field))
    if item == "*":
        if part != "*":
            raise _refused(f"{part!r} is every {field.name}", "Write *.")
        return "*", frozenset(range(field.low, field.last + 1))
    first = field.low if found[1] == "*" else _number(field, found[1])
    if found[2] is None and found[3] is None:
        first = first if first <= field.last else field.low
        return str(first), frozenset({first})
    end = _number(field, found[2]) if found[2] else field.last
    if (first, end) == (field.low, field.high) and field.high != field.last:
        raise _refused(f"{item!r} names one {field.name} twice", f"Write *, or {field.low}-{field.last}.")
    if found[2] and first % (field.last + 1) == end % (field.last + 1):
        raise _refused(f"{item!r} is one {field.name}", f"Write {found[1]}.")
    step = int(found[3] or 1)
    body = found[1] if found[1] == "*" else f"{first}-{end}" if found[2] else str(first)
    if end < first:
        if found[3]:
            raise _refused(f"{item!r} steps past the end of the {field.name}s", "List them.")
        return body, frozenset(range(first, field.last + 1)) | frozenset(range(field.low, end + 1))
    if step == 0 or first + step > end:
        raise _refused(f"{item!r} never gets beyond {field.name} {first}", f"Write {first}.")
    return body if found[3] is None else f"{body}/{step}", frozenset(range(first, end + 1, step))


def _number(field: _Field, text: str) -> int:
    if text in field.names:
        return field.names.index(text)
    if not text.isdigit() or not field.low <= int(text) <= field.high:
        raise _refused(f"{text!r} is no {field.name}", _forms(field))
    return int(text)


def _refused(why: str, remedy: str) -> At:
    return At((), f"must be a cron expression, but {why}", remedy=remedy)


def _forms(field: _Field) -> str:
    names = f" (or {field.names[-2]}, {field.names[-1]}, ...)" if field.names else ""
    more = {
        "day of month": ", L for the last",
        "day of week": ", 5#2 for the second Friday, L5 for the last",
    }.get(field.name, "")
    return f"Write numbers from {field.low} to {field.high}{names}, lists 1,2, ranges 1-5, steps */2{more}."


def _check_days(month: str, week: str, all_of_month: str, all_of_week: str) -> None:
    """Either of two restricted kinds of days counts; what that means must be plain to a reader, and to croniter."""
    for given, plain, other in ((month, all_of_month, all_of_week), (week, all_of_week, all_of_month)):
        if plain == "*" != given and other != "*":
            raise _refused(f"{given!r} is every day, whatever {other!r} says", "Write *.")
    counted = ["#" in item or item.startswith("l") for item in week.split(",")]
    if any(counted) and not (all(counted) and month == "*"):
        raise _refused(
            "a counted day of week (5#2, L5) must stand alone",
            "Leave out plain days beside it, and write * as day of month.",
        )


def _check_ever(cron: Cron) -> None:
    from croniter import CroniterBadCronError, CroniterBadDateError

    try:
        next(cron.after(datetime(2000, 1, 1)))
    except CroniterBadDateError:
        raise At((), "must be a cron expression that some day fulfils") from None
    except CroniterBadCronError as error:
        raise At((), f"must be a cron expression ({error})") from None
