"""The data clock: durations, keys and the intervals between them, over both changes of daylight saving time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evergreen.spec.cron import parse_cron
from evergreen.spec.timing import (
    example_key,
    format_duration,
    instant_of,
    interval_of,
    key_of,
    next_instant,
    parse_duration,
    parse_key,
    previous_instant,
    shifts_clocks,
    written,
)

ZONES = [
    "UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo",
    "America/Havana", "Pacific/Apia", "Atlantic/Azores", "Antarctica/Troll",
]  # fmt: skip
CRONS = [
    "0 0 * * *", "0 0 1 * *", "0 0 1,16 * *", "0 0 * * 1", "30 2 * * *", "30 1 * * *", "0 6,18 * * *", "0,30 2 * * *",
    "*/20 1-4 * * *", "0 0 L * *", "15 8-17 * * 1-5",
]  # fmt: skip
NEW_YORK = "America/New_York"
days = st.dates(datetime(1995, 1, 1).date(), datetime(2035, 1, 1).date())
moments = st.datetimes(datetime(1995, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))


@given(st.timedeltas(timedelta(0), timedelta(days=5000)))
def test_a_written_duration_reads_as_itself(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90s", timedelta(seconds=90)),
        ("1.5h", timedelta(minutes=90)),
        (" 3 w ", timedelta(weeks=3)),
        (0, timedelta(0)),
        ("0d", timedelta(0)),
    ],
)
def test_durations(text: object, value: timedelta) -> None:
    assert parse_duration(text) == value


@pytest.mark.parametrize("text", ["", "7", 7, "7 days", "-1d", "1h30m", None, True, False, "P1D", "9" * 30 + "w"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(text)


def reads(key: str, zone: str) -> str:
    """What clocks in a zone show at the instant of a key, with the offset."""
    return parse_key(key, zone).astimezone(ZoneInfo(zone)).isoformat(timespec="minutes")


@given(moments, st.sampled_from(ZONES), st.sampled_from([*CRONS, "0 * * * *", "*/15 * * * 1", "30 * 1 * *"]))
def test_instants_are_in_order_and_each_has_a_key_of_its_own(moment: datetime, zone: str, cron: str) -> None:
    first = next_instant(cron, zone, moment)
    second = next_instant(cron, zone, first)
    assert moment < first < second
    assert previous_instant(cron, zone, second) == first
    assert previous_instant(cron, zone, first) <= moment
    before, after = key_of(cron, zone, first), key_of(cron, zone, second)
    assert before != after
    assert interval_of(cron, zone, after) == (first, second)
    assert parse_key(after, zone) == instant_of(cron, zone, after) == second
    assert written(cron, zone, after) == after


@given(days, st.sampled_from(["UTC", NEW_YORK, "Europe/Berlin", "Asia/Kolkata"]))
def test_daily_intervals_meet_without_gap_or_overlap(day: object, zone: str) -> None:
    key = str(day)
    start, end = interval_of("0 0 * * *", zone, key)
    before = key_of("0 0 * * *", zone, start)
    assert interval_of("0 0 * * *", zone, before)[1] == start
    assert key_of("0 0 * * *", zone, end) == key
    assert timedelta(hours=23) <= end - start <= timedelta(hours=25)


@given(moments, st.sampled_from(ZONES), st.sampled_from(["*/7 * * * *", "0 * * * *", "30 0-23 * * *"]))
def test_a_calendar_of_every_hour_has_every_instant_whose_reading_fits(moment: datetime, zone: str, cron: str) -> None:
    minute, minutes = moment.replace(second=0, microsecond=0) + timedelta(minutes=1), parse_cron(cron).minutes
    while minute.astimezone(ZoneInfo(zone)).minute not in minutes:
        minute += timedelta(minutes=1)
    assert next_instant(cron, zone, moment) == minute


def test_the_days_when_new_york_shifts_its_clocks() -> None:
    spring = interval_of("0 0 * * *", NEW_YORK, "2013-03-11")
    autumn = interval_of("0 0 * * *", NEW_YORK, "2013-11-04")
    assert spring[1] - spring[0] == timedelta(hours=23)
    assert autumn[1] - autumn[0] == timedelta(hours=25)
    half_month = interval_of("0 0 1,16 * *", NEW_YORK, "2013-11-16")
    assert half_month == (datetime(2013, 11, 1, 4, tzinfo=UTC), datetime(2013, 11, 16, 5, tzinfo=UTC))


def test_a_midnight_that_the_clocks_skip_is_still_an_instant() -> None:
    start, end = interval_of("0 0 * * *", "America/Sao_Paulo", "2018-11-04")
    assert (start, end) == (datetime(2018, 11, 3, 3, tzinfo=UTC), datetime(2018, 11, 4, 3, tzinfo=UTC))


def test_a_time_that_the_clocks_skip_counts_as_much_later_as_they_skip() -> None:
    start, end = interval_of("30 2 * * *", NEW_YORK, "2013-03-10T03:30")
    assert (start, end) == (datetime(2013, 3, 9, 7, 30, tzinfo=UTC), datetime(2013, 3, 10, 7, 30, tzinfo=UTC))
    assert interval_of("30 2 * * *", NEW_YORK, "2013-03-11T02:30")[0] == end
    with pytest.raises(ValueError, match="2013-03-10T02:30 is written 2013-03-10T03:30 by the schedule"):
        interval_of("30 2 * * *", NEW_YORK, "2013-03-10T02:30")


def test_a_time_that_comes_twice_counts_the_second_time() -> None:
    start, end = interval_of("30 1 * * *", NEW_YORK, "2013-11-03T01:30")
    assert (start, end) == (datetime(2013, 11, 2, 5, 30, tzinfo=UTC), datetime(2013, 11, 3, 6, 30, tzinfo=UTC))
    assert interval_of("30 1 * * *", NEW_YORK, "2013-11-04T01:30")[0] == end
    assert reads("2013-11-03T01:30", NEW_YORK) == "2013-11-03T01:30-05:00"


def test_an_hour_that_comes_twice_has_keys_for_both() -> None:
    moment, keys = datetime(2013, 11, 3, 4, tzinfo=UTC), []
    for _ in range(5):
        keys.append(key_of("*/30 * * * *", NEW_YORK, moment))
        moment = next_instant("*/30 * * * *", NEW_YORK, moment)
    assert keys == [
        "2013-11-03T00:00", "2013-11-03T00:30", "2013-11-03T01:00-04:00", "2013-11-03T01:30-04:00",
        "2013-11-03T01:00-05:00",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="is written 2013-11-03T01:30-04:00 or 2013-11-03T01:30-05:00 by the schedule"):
        instant_of("*/30 * * * *", NEW_YORK, "2013-11-03T01:30")


@pytest.mark.parametrize(
    ("cron", "keys"),
    [
        ("0 */6 * * *", ["2013-01-31T18:00", "2013-02-01T00:00", "2013-02-01T06:00"]),
        ("00 00 * * *", ["2013-01-31", "2013-02-01", "2013-02-02"]),
        ("0 0 * * 5", ["2013-01-25", "2013-02-01", "2013-02-08"]),
        ("0 0,0 1 * *", ["2013-01-01", "2013-02-01", "2013-03-01"]),
        ("0 0,12 1 * *", ["2013-01-01T12:00", "2013-02-01T00:00", "2013-02-01T12:00"]),
    ],
)
def test_midnight_is_a_bare_date_where_there_is_nothing_but_midnights(cron: str, keys: list[str]) -> None:
    midnight = datetime(2013, 2, 1, tzinfo=UTC)
    beside = [previous_instant(cron, "UTC", midnight), midnight, next_instant(cron, "UTC", midnight)]
    assert [key_of(cron, "UTC", each) for each in beside] == keys
    assert [instant_of(cron, "UTC", key) for key in keys] == beside


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("2013-01-17", "is not an instant of the schedule .* which has 2013-01-16 and 2013-02-01 beside it"),
        ("2013-01-16T01:00", "is not an instant of the schedule"),
        ("2013-01-16T00:00", "is written 2013-01-16 by the schedule"),
        ("2013-01-16T05:00Z", "is written 2013-01-16 by the schedule"),
        ("20130116", "is written 2013-01-16 by the schedule"),
        ("2013-01-16T00:00:00.5", "is not an instant of the schedule"),
        ("1713-01-16", "outside the years"),
        ("9999-12-31", "outside the years"),
        ("soon", "is not an ISO date or date-time"),
        ("", "is not an ISO date or date-time"),
    ],
)
def test_a_key_that_the_calendar_does_not_write_is_refused(key: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        interval_of("0 0 1,16 * *", NEW_YORK, key)


def test_a_key_off_the_calendar_is_written_as_it_is() -> None:
    assert written("0 0 * * *", NEW_YORK, "2013-01-16T07:00") == "2013-01-16T07:00"
    assert written("0 * * * *", NEW_YORK, "2013-01-16") == "2013-01-16T00:00"
    assert written("0 0 * * *", NEW_YORK, "2013-01-16T05:00+00:00") == "2013-01-16"
    with pytest.raises(ValueError, match="is not an ISO date or date-time"):
        written("0 0 * * *", NEW_YORK, "yesterday")


@pytest.mark.parametrize("cron", CRONS)
def test_the_key_of_an_example_is_one_of_the_calendar(cron: str) -> None:
    key = example_key(cron, NEW_YORK)
    assert interval_of(cron, NEW_YORK, key)[1] > datetime(2013, 1, 31, tzinfo=UTC)
    assert parse_cron(cron).text == cron


def test_zones_that_shift_their_clocks() -> None:
    assert [shifts_clocks(zone) for zone in ("UTC", "Asia/Kolkata", NEW_YORK)] == [False, False, True]
    assert (
        all(map(shifts_clocks, ("Africa/Casablanca", "Asia/Pyongyang", "Africa/Sao_Tome", "Asia/Singapore"))) is False
    )
