"""The data clock: durations, keys and the intervals between them, over both changes of daylight saving time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evergreen.spec.timing import (
    format_duration,
    format_key,
    interval_of,
    key_format,
    parse_duration,
    parse_key,
    shifts_clocks,
)

ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo"]
days = st.dates(datetime(1995, 1, 1).date(), datetime(2035, 1, 1).date())


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


@given(st.datetimes(datetime(1995, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)), st.sampled_from(["UTC"]))
def test_a_key_is_its_instant(moment: datetime, zone: str) -> None:
    moment = moment.replace(second=0, microsecond=0)
    assert parse_key(format_key(moment, zone), zone) == moment


@given(days, st.sampled_from(["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata"]))
def test_daily_intervals_meet_without_gap_or_overlap(day: object, zone: str) -> None:
    key = str(day)
    start, end = interval_of("0 0 * * *", zone, key)
    before = format_key(start, zone)
    assert interval_of("0 0 * * *", zone, before)[1] == start
    assert format_key(end, zone) == key
    assert timedelta(hours=23) <= end - start <= timedelta(hours=25)


@given(st.sampled_from(ZONES), days, st.sampled_from(["0 0 1 * *", "0 0 1,16 * *", "0 0 * * 1", "30 2 * * *"]))
def test_every_instant_lies_in_one_interval_of_its_schedule(zone: str, day: object, cron: str) -> None:
    from croniter import croniter

    naive = croniter(cron, datetime.fromisoformat(str(day))).get_next(datetime)
    key = naive.strftime(key_format(cron))
    start, end = interval_of(cron, zone, key)
    assert start < end
    assert end == naive.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    previous = croniter(cron, naive).get_prev(datetime).strftime(key_format(cron))
    assert interval_of(cron, zone, previous)[1] == start


def test_the_days_when_new_york_shifts_its_clocks() -> None:
    spring = interval_of("0 0 * * *", "America/New_York", "2013-03-11")
    autumn = interval_of("0 0 * * *", "America/New_York", "2013-11-04")
    assert spring[1] - spring[0] == timedelta(hours=23)
    assert autumn[1] - autumn[0] == timedelta(hours=25)
    half_month = interval_of("0 0 1,16 * *", "America/New_York", "2013-11-16")
    assert half_month == (datetime(2013, 11, 1, 4, tzinfo=UTC), datetime(2013, 11, 16, 5, tzinfo=UTC))


def test_a_midnight_that_the_clocks_skip_is_still_an_instant() -> None:
    start, end = interval_of("0 0 * * *", "America/Sao_Paulo", "2018-11-04")
    assert (start, end) == (datetime(2018, 11, 3, 3, tzinfo=UTC), datetime(2018, 11, 4, 3, tzinfo=UTC))


@pytest.mark.parametrize("key", ["2013-01-17", "2013-01-16T01:00", "soon", ""])
def test_a_key_off_the_schedule_is_refused(key: str) -> None:
    with pytest.raises(ValueError):
        interval_of("0 0 1,16 * *", "America/New_York", key)


def test_zones_that_shift_their_clocks() -> None:
    assert [shifts_clocks(zone) for zone in ("UTC", "Asia/Kolkata", "America/New_York")] == [False, False, True]
