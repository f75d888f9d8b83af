"""The data clock: durations, and the keys of a calendar with their instants and intervals.

A key is the exclusive END of an interval in the dataset's time zone: ``2013-02-01`` closes the interval of rows before
1 February 00:00. A calendar is a cron expression in a time zone. Airflow's side asks the same functions
(``evergreen_airflow.timetable``), so that a key means one instant and an instant has one key. Nothing here reads the
wall clock.

Where the clocks change, a calendar goes as Airflow's own does: a time that they skip counts as much later as they skip
(02:30 as 03:30), one that comes twice counts once, the second time. Only a calendar of every hour has both, and there
the offset stands in the keys: ``2013-11-03T01:30-04:00``, ``2013-11-03T01:30-05:00``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, GetJsonSchemaHandler, PlainSerializer
from pydantic_core import CoreSchema

from evergreen.spec.cron import parse_cron

CLOCKS_DIFFER = timedelta(days=1)
"""A key may lie so far ahead of the wall clock: machines and zones differ, by less than that."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*$")


def parse_duration(value: object) -> timedelta:
    """Reads ``90s``, ``15m``, ``2h``, ``14d`` or ``3w``; a bare 0 is no time at all.

    Raises:
        ValueError: For anything else, saying what is allowed.
    """
    if isinstance(value, timedelta):
        return value
    if value == 0 and not isinstance(value, bool):
        return timedelta(0)
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a duration such as 90s, 15m, 2h, 14d or 3w")
    try:
        return timedelta(seconds=float(match[1]) * _UNITS[match[2]])
    except OverflowError:
        raise ValueError("must be a duration of at most 999999999 days") from None


def format_duration(value: timedelta) -> str:
    """The inverse of :func:`parse_duration`, in the largest unit that divides it."""
    for unit in ("w", "d", "h", "m", "s"):
        whole, rest = divmod(value, timedelta(seconds=_UNITS[unit]))
        if not rest and (whole or unit == "s"):
            return f"{whole}{unit}"
    whole, rest = divmod(value, timedelta(seconds=1))
    return f"{whole}.{rest.microseconds:06}".rstrip("0") + "s"


class _DurationSchema:
    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^\d+(\.\d+)?[smhdw]$", "examples": ["2h", "14d"]}


Duration = Annotated[
    timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str), _DurationSchema()
]


def parse_key(key: str, timezone: str) -> datetime:
    """The instant, in UTC, that a key means in a time zone, whether or not a calendar has it.

    Args:
        key: ``2013-02-01`` or ``2013-02-01T06:00``; a key with an offset or ``Z`` is taken by it.
        timezone: IANA name.

    Raises:
        ValueError: When the key is not an ISO date or date-time of the years 1900 to 2199.
    """
    try:
        moment = datetime.fromisoformat(key)
    except ValueError:
        raise ValueError(f"{key!r} is not an ISO date or date-time") from None
    if not 1900 <= moment.year < 2200:
        raise ValueError(f"{key} lies outside the years 1900 to 2199")
    return _moved(moment, ZoneInfo(timezone)) if moment.tzinfo is None else moment.astimezone(UTC)


def key_of(cron: str, timezone: str, moment: datetime) -> str:
    """The key of an instant of a calendar: a bare date where all its instants are at midnight, else with minutes."""
    parsed, zone = parse_cron(cron), ZoneInfo(timezone)
    local = moment.astimezone(zone)
    if parsed.is_at_midnight:
        return local.date().isoformat()
    wall = local.replace(tzinfo=None)
    twice = parsed.is_every_hour and len(_read_as(wall, zone)) > 1
    return (local if twice else wall).isoformat(timespec="minutes")


def is_ahead(moment: datetime, now: datetime) -> bool:
    """Whether the interval that a key closes cannot have ended, whatever a machine's clock or zone is.

    What was worked on under such a key would make all that comes until then count as historic.

    Args:
        moment: What the key means.
        now: The wall clock, read by the caller.
    """
    return moment > now + CLOCKS_DIFFER


def written(cron: str, timezone: str, key: str) -> str:
    """How a calendar writes the instant that a key means; the key as it is, where that is none of the calendar.

    Raises:
        ValueError: As :func:`parse_key` does.
    """
    moment = parse_key(key, timezone)
    return key_of(cron, timezone, moment) if _has(cron, timezone, moment) else key


def example_key(cron: str, timezone: str) -> str:
    """A key of a calendar, for messages."""
    return key_of(cron, timezone, next_instant(cron, timezone, datetime(2013, 1, 31, 12, tzinfo=UTC)))


def instant_of(cron: str, timezone: str, key: str) -> datetime:
    """The instant, in UTC, of a key of a calendar.

    Raises:
        ValueError: When the key is not an instant of the calendar, or the calendar writes it otherwise; says how.
    """
    moment = parse_key(key, timezone)
    whose = f"the schedule {cron!r} in {timezone}"
    if not _has(cron, timezone, moment):
        beside = [find(cron, timezone, moment) for find in (previous_instant, next_instant)]
        names = " and ".join(key_of(cron, timezone, each) for each in beside)
        raise ValueError(f"{key} is not an instant of {whose}, which has {names} beside it")
    if key_of(cron, timezone, moment) != key:
        wall = datetime.fromisoformat(key)
        meant = [moment] if wall.tzinfo else {moment, *_read_as(wall, ZoneInfo(timezone))}
        names = " or ".join(key_of(cron, timezone, each) for each in sorted(meant) if _has(cron, timezone, each))
        raise ValueError(f"{key} is written {names} by {whose}")
    return moment


def interval_of(cron: str, timezone: str, key: str) -> tuple[datetime, datetime]:
    """Start (inclusive) and end (exclusive), in UTC, of the interval that a key closes.

    Raises:
        ValueError: As :func:`instant_of` does.
    """
    end = instant_of(cron, timezone, key)
    return previous_instant(cron, timezone, end), end


def next_instant(cron: str, timezone: str, moment: datetime) -> datetime:
    """The first instant of a calendar after a moment, in UTC."""
    parsed, zone = parse_cron(cron), ZoneInfo(timezone)
    best: datetime | None = None
    for wall in parsed.after(_wall(moment, min(_offsets(moment, zone)))):
        if best is not None and wall - max(_offsets(best, zone)) >= best.replace(tzinfo=None):
            return best
        for instant in _instants(wall, zone, parsed.is_every_hour):
            if instant > moment and (best is None or instant < best):
                best = instant
    raise ValueError(f"{cron!r} names no time after {moment}")


def previous_instant(cron: str, timezone: str, moment: datetime) -> datetime:
    """The last instant of a calendar before a moment, in UTC."""
    parsed, zone = parse_cron(cron), ZoneInfo(timezone)
    best: datetime | None = None
    for wall in parsed.before(_wall(moment, max(_offsets(moment, zone)))):
        if best is not None and wall - min(_offsets(best, zone)) <= best.replace(tzinfo=None):
            return best
        for instant in _instants(wall, zone, parsed.is_every_hour):
            if instant < moment and (best is None or instant > best):
                best = instant
    raise ValueError(f"{cron!r} names no time before {moment}")


@cache
def shifts_clocks(timezone: str) -> bool:
    """Whether a zone's offset from UTC changes at all between 2000 and 2037 (daylight saving time, mostly)."""
    zone = ZoneInfo(timezone)
    months = (datetime(year, month, 1, tzinfo=zone) for year in range(2000, 2038) for month in range(1, 13))
    return len({month.utcoffset() for month in months}) > 1


def _has(cron: str, timezone: str, moment: datetime) -> bool:
    return next_instant(cron, timezone, moment - timedelta(seconds=1)) == moment


def _instants(wall: datetime, zone: ZoneInfo, is_every_hour: bool) -> Iterable[datetime]:
    return _read_as(wall, zone) if is_every_hour else (_moved(wall, zone),)


def _moved(wall: datetime, zone: ZoneInfo) -> datetime:
    """The one instant of a wall-clock time: the second where it comes twice, moved on where the clocks skip it."""
    both = _read_as(wall, zone)
    return both[-1] if both else wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def _read_as(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """The instants at which clocks show a time: one, two where they go back, none where they skip it."""
    asked = dict.fromkeys(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return [instant for instant in asked if instant.astimezone(zone).replace(tzinfo=None, fold=0) == wall]


def _wall(moment: datetime, offset: timedelta) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) + offset


def _offsets(moment: datetime, zone: ZoneInfo) -> list[timedelta]:
    """The offsets from UTC around a moment: clocks change by a day at most, and never twice within one."""
    days = (moment + timedelta(days=shift) for shift in (-1, 0, 1))
    return [day.astimezone(zone).utcoffset() or timedelta(0) for day in days]
