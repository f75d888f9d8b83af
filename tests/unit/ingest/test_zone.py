"""Wall-clock times against the standard library, one by one."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from evergreen.ingest.zone import to_utc


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_a_year_of_quarters_of_an_hour_equals_zoneinfo(zone):
    local = [datetime(2013, 1, 1) + timedelta(minutes=15 * step, seconds=7) for step in range(4 * 24 * 365)]
    instants, missing = to_utc(pa.array([*local, None], pa.timestamp("us")), zone)
    expected = [each.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for each in local]
    assert instants.to_pylist() == [*expected, None]
    gaps = [
        each.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != wall for each, wall in zip(expected, local, strict=True)
    ]
    assert missing.tolist() == [*gaps, False]
    assert sum(gaps) == {"UTC": 0, "Asia/Kathmandu": 0, "Australia/Lord_Howe": 2}.get(zone, 4)


def test_times_beyond_the_calendar_are_flagged():
    beyond = pa.array([2**62], pa.int64()).cast(pa.timestamp("us"))
    instants, flagged = to_utc(beyond, "UTC")
    assert (instants.to_pylist(), flagged.tolist()) == ([None], [True])
    assert to_utc(pa.array([], pa.timestamp("us")), "UTC")[0].to_pylist() == []
