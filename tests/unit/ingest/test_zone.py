"""Wall-clock times against the standard library, one by one."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from evergreen.ingest.zone import to_local, to_utc


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_a_year_of_quarters_of_an_hour_equals_zoneinfo(zone):
    local = [datetime(2013, 1, 1) + timedelta(minutes=15 * step, seconds=7) for step in range(4 * 24 * 365)]
    instants, missing, later = to_utc(pa.array([*local, None], pa.timestamp("us")), zone)
    expected = [each.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for each in local]
    assert instants.to_pylist() == [*expected, None]
    gaps = [
        each.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != wall for each, wall in zip(expected, local, strict=True)
    ]
    assert missing.tolist() == [*gaps, False]
    assert sum(gaps) == {"UTC": 0, "Asia/Kathmandu": 0, "Australia/Lord_Howe": 2}.get(zone, 4)
    second = [each.replace(tzinfo=ZoneInfo(zone), fold=1).astimezone(UTC) for each in local]
    apart = [(b - a) // timedelta(microseconds=1) for a, b in zip(expected, second, strict=True)]
    assert later.tolist() == [max(0, each) for each in apart] + [0]
    ticks = instants.cast(pa.int64()).drop_null().to_numpy()
    walls = [each.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for each in expected]
    assert pa.array(to_local(ticks, zone)).cast(pa.timestamp("us")).to_pylist() == walls


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
def test_times_beyond_the_calendar_are_flagged(zone):
    beyond = pa.array([2**62], pa.int64()).cast(pa.timestamp("us"))
    instants, flagged, later = to_utc(beyond, zone)
    assert (instants.to_pylist(), flagged.tolist(), later.tolist()) == ([None], [True], [0])
    assert to_utc(pa.array([], pa.timestamp("us")), zone).utc.to_pylist() == []


def test_the_ends_of_the_calendar_are_part_of_it_as_far_as_utc_has_them():
    ends = [datetime.min, datetime.max]
    assert to_utc(pa.array(ends, pa.timestamp("us")), "UTC").utc.to_pylist() == [
        each.replace(tzinfo=UTC) for each in ends
    ]
    assert to_utc(pa.array(ends, pa.timestamp("us")), "America/New_York").nowhere.tolist() == [False, True]
    assert to_utc(pa.array(ends, pa.timestamp("us")), "Asia/Tokyo").nowhere.tolist() == [True, False]
