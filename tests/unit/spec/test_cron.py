"""Cron expressions against a slow, obvious model of what they say, and what is refused."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.spec.base import At
from evergreen.spec.cron import parse_cron
from evergreen.spec.dataset import Dataset

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
BOUNDS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 6)}


def number(text: str) -> int:
    return MONTHS.index(text) + 1 if text in MONTHS else DAYS.index(text) if text in DAYS else int(text)


def fits(field: str, kind: str, moment: datetime) -> bool:
    """Whether a field of a cron expression says yes to a moment, item by item."""
    low, high = BOUNDS[kind]
    weekday = (moment.weekday() + 1) % 7
    last = monthrange(moment.year, moment.month)[1]
    value = {"day": moment.day, "weekday": weekday}.get(kind, getattr(moment, kind, None))
    for item in field.lower().split(","):
        if kind == "day" and item == "l":
            yes = moment.day == last
        elif kind == "weekday" and item.startswith("l"):
            yes = int(item[1:]) % 7 == weekday and moment.day + 7 > last
        elif "#" in item:
            day, nth = item.split("#")
            yes = number(day) % 7 == weekday and (moment.day + 6) // 7 == int(nth)
        else:
            body, _, step = item.partition("/")
            first, _, end = body.partition("-")
            start = low if first == "*" else number(first)
            stop = number(end) if end else high if step or first == "*" else start
            span = range(start, stop + 1) if start <= stop else [*range(start, high + 1), *range(low, stop + 1)]
            yes = value in {each % 7 if kind == "weekday" else each for each in [*span][:: int(step or 1)]}
        if yes:
            return True
    return False


def says(cron: str) -> Iterator[datetime]:
    """The times of a cron expression from 2023 to 2039: two restricted kinds of days mean either."""
    minute, hour, day, month, weekday = cron.split()
    clock = [datetime(2023, 1, 1) + timedelta(minutes=minutes) for minutes in range(1440)]
    clock = [each for each in clock if fits(hour, "hour", each) and fits(minute, "minute", each)]
    for days in range((datetime(2040, 1, 1) - clock[0]).days + 1):
        date = datetime(2023, 1, 1) + timedelta(days=days)
        asked = [fits(field, kind, date) for field, kind in ((day, "day"), (weekday, "weekday")) if field != "*"]
        if fits(month, "month", date) and (any(asked) or not asked):
            yield from (each + timedelta(days=days) for each in clock)


def agree(cron: str, count: int) -> None:
    parsed = parse_cron(cron)
    want = list(islice(says(cron), count))
    assert list(islice(parsed.after(datetime(2022, 12, 31, 23, 59)), len(want))) == want
    assert list(islice(parsed.before(want[-1] + timedelta(minutes=1)), len(want))) == want[::-1]
    assert parse_cron(parsed.text) == parsed
    assert parsed.minutes >= {each.minute for each in want} and parsed.hours >= {each.hour for each in want}


def items(kind: str) -> st.SearchStrategy[str]:
    low, high = BOUNDS[kind]
    one = st.integers(low, high)
    names = {"month": MONTHS, "weekday": DAYS}.get(kind, [])
    plain = one.map(str) | one.map("{:03}".format) | (st.sampled_from(names) if names else st.nothing())
    pairs = st.tuples(one, one).filter(lambda pair: pair[0] != pair[1])
    stepped = st.tuples(one, st.integers(1, high)).filter(lambda pair: sum(pair) <= high)
    return (
        plain
        | pairs.map("{0[0]}-{0[1]}".format)
        | stepped.map("{0[0]}/{0[1]}".format)
        | st.integers(1, high - low).map("*/{}".format)
        | st.tuples(stepped).map(lambda pair: "{0}-{2}/{1}".format(*pair[0], high))
    )


def fields(kind: str) -> st.SearchStrategy[str]:
    return st.just("*") | st.lists(items(kind), min_size=1, max_size=3).map(",".join)


@settings(deadline=None, max_examples=60)
@given(fields("minute"), fields("hour"))
def test_times_of_day_are_what_the_fields_say(minute: str, hour: str) -> None:
    agree(f"{minute} {hour} * * *", 60)


@settings(deadline=None, max_examples=60)
@given(fields("day") | st.just("L") | st.just("1,L"), fields("month"), fields("weekday"))
def test_days_are_what_the_fields_say(day: str, month: str, weekday: str) -> None:
    cron = f"7 5 {day} {month} {weekday}"
    try:
        parse_cron(cron)
    except ValueError as error:
        assert "some day fulfils" in str(error) or "is every day" in str(error)
    else:
        agree(cron, 25)


@pytest.mark.parametrize(
    "cron",
    ["0 0 * * 5#2", "0 0 * * mon#1,FRI#5", "0 0 * * L5", "0 0 * 1-6 L0,7#1", "0 0 L * 1", "0 0 29 2 *", "0 0 */2 * 1"],
)
def test_counted_days_are_what_they_say(cron: str) -> None:
    agree(cron, 4 if "29 2" in cron else 30)


@pytest.mark.parametrize(
    ("cron", "plain"),
    [
        ("00 00 * * *", "0 0 * * *"),
        (" 0\t0  * * MON ", "0 0 * * 1"),
        ("0 0 l Jan,JUL mon-fri", "0 0 L 1,7 1-5"),
        ("05,5 0 * * 7", "5 0 * * 0"),
        ("0 0 * * 7#1,L7", "0 0 * * 0#1,L0"),
        ("*/05 0-23/2 01/10 * *", "*/5 0-23/2 1/10 * *"),
        ("*/1 0-23 1-31 */1 0-6", "* * * * *"),
    ],
)
def test_an_expression_is_kept_in_plain_spelling(cron: str, plain: str) -> None:
    assert parse_cron(cron).text == plain


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("@daily", "of five fields. Write one such as 0 0 * * *."),
        ("0 0 * *", "of five fields"),
        ("0 0 * * * 0", "of five fields"),
        ("0 0 30 2 *", "that some day fulfils"),
        ("*/90 * * * *", "'*/90' never gets beyond minute 0. Write 0"),
        ("0 */24 * * *", "'*/24' never gets beyond hour 0. Write 0"),
        ("50/20 * * * *", "'50/20' never gets beyond minute 50. Write 50"),
        ("0 */0 * * *", "never gets beyond"),
        ("1-1 0 * * *", "'1-1' is one minute. Write 1"),
        ("0 0 * * 7-0", "'7-0' is one day of week. Write 7"),
        ("0 0 * * 0-7", "'0-7' names one day of week twice. Write *, or 0-6."),
        ("0 22-2/2 * * *", "steps past the end of the hours. List them"),
        ("0 *,1 * * *", "'*,1' is every hour. Write *"),
        ("60 0 * * *", "'60' is no minute. Write numbers from 0 to 59, lists 1,2, ranges 1-5, steps */2"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 0 0 * *", "'0' is no day of month"),
        ("0 0 L-3 * *", "'l' is no day of month"),
        ("0 0 LW * *", "'lw' is no day of month. Write numbers from 1 to 31"),
        ("0 0 15W * *", "'15w' means nothing as day of month"),
        ("0 0 ? * *", "'?' means nothing as day of month"),
        ("0 0 * * ?", "'?' means nothing as day of week"),
        ("0 0 * * 5L", "5#2 for the second Friday, L5 for the last"),
        ("0 0 * * 5#6", "'5#6' means nothing as day of week"),
        ("0 0 * * sunday", "'sunday' is no day of week. Write numbers from 0 to 7 (or fri, sat, ...)"),
        ("0 0 * mon *", "'mon' is no month"),
        ("0 0 * * 5#2,1", "must stand alone"),
        ("0 0 1 * L5", "must stand alone"),
        ("0 0 1-31 * 1", "'1-31' is every day, whatever '1' says. Write *"),
        ("0 0 */2 * */1", "'*/1' is every day, whatever '*/2' says. Write *"),
        ("R R * * *", "'r' is no minute"),
        ("H H * * *", "'h' is no minute"),
        ("1,,2 0 * * *", "'' means nothing as minute"),
        ("٠ 0 * * *", "means nothing as minute"),
        ("1.5 0 * * *", "means nothing as minute"),
        ("*-5 0 * * *", "means nothing as minute"),
        ("999999999999999999999 0 * * *", "is no minute"),
        ("*/999999999999999999999 0 * * *", "never gets beyond"),
    ],
)
def test_what_is_refused_says_what_to_write(cron: str, message: str) -> None:
    with pytest.raises(At, match=r"^must be a cron expression") as caught:
        parse_cron(cron)
    assert message in f"{caught.value}. {caught.value.remedy}"
    assert caught.value.value == cron


@pytest.mark.parametrize(
    ("cron", "zone", "fine"),
    [
        ("0 6,18 * * *", "Europe/Berlin", True),
        ("0 */2 * * *", "America/New_York", True),
        ("0 * * * *", "Asia/Kolkata", True),
        ("0 * * * *", "America/New_York", False),
        ("*/5 0-23 * * 1-5", "Europe/Berlin", False),
    ],
)
def test_only_a_schedule_of_every_hour_needs_a_zone_without_changes_of_clocks(cron: str, zone: str, fine: bool) -> None:
    document = {"name": "hits", "source": {"path": "a.csv"}, "schedule": {"cron": cron}, "timezone": zone}
    if fine:
        assert Dataset.model_validate({**document, "event_time": "at"}).timezone == zone
    else:
        with pytest.raises(ValueError, match="must be a zone that never shifts its clocks"):
            Dataset.model_validate({**document, "event_time": "at"})
