"""The data clock: partition keys, the instants they mean, and the intervals between them.

A key is the exclusive END of an interval in the dataset's time zone: ``2013-02-01`` closes the interval of rows before
1 February 00:00. Nothing here reads the wall clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, GetJsonSchemaHandler, PlainSerializer
from pydantic_core import CoreSchema

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
    """The instant, in UTC, that a partition key means in a time zone.

    Args:
        key: ``2013-02-01`` or ``2013-02-01T06:00``; a key with an offset or ``Z`` is taken by it.
        timezone: IANA name.

    Raises:
        ValueError: When the key is not an ISO date or date-time.
    """
    moment = datetime.fromisoformat(key)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(timezone))
    return moment.astimezone(UTC)


def format_key(moment: datetime, timezone: str) -> str:
    """The partition key of an instant: a bare date at local midnight, else minutes are shown."""
    local = moment.astimezone(ZoneInfo(timezone))
    return local.strftime("%Y-%m-%d" if (local.hour, local.minute) == (0, 0) else "%Y-%m-%dT%H:%M")


@cache
def shifts_clocks(timezone: str) -> bool:
    """Whether a zone's offset from UTC changes at all between 2000 and 2037 (daylight saving time, mostly)."""
    zone = ZoneInfo(timezone)
    return (
        len({datetime(year, month, 1, tzinfo=zone).utcoffset() for year in range(2000, 2038) for month in (1, 7)}) > 1
    )


def key_format(cron: str) -> str:
    """The strftime format of the keys of a cron expression (what Airflow's timetable is given)."""
    minute, hour = cron.split()[:2]
    return "%Y-%m-%d" if (minute, hour) == ("0", "0") else "%Y-%m-%dT%H:%M"


def interval_of(cron: str, timezone: str, key: str) -> tuple[datetime, datetime]:
    """Start (inclusive) and end (exclusive), in UTC, of the interval that a key closes.

    Raises:
        ValueError: When the key is not an instant of the schedule.
    """
    from croniter import croniter

    end = parse_key(key, timezone)
    local = datetime.fromisoformat(key)
    if local.tzinfo is not None:
        local = end.astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
    if not croniter.match(cron, local):
        raise ValueError(f"{key} is not an instant of the schedule {cron!r} in {timezone}")
    start = croniter(cron, local).get_prev(datetime).replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC)
    return start, end
