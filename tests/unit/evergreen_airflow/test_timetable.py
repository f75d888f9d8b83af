"""Airflow's side of the data clock: its own calendar as the reference, around every change of clocks.

The full product (every zone that changes otherwise, all changes of twenty years, all spellings) takes minutes:
``make test ARGS="-m science tests/unit/evergreen_airflow/test_timetable.py"``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pendulum
import pytest
from airflow.exceptions import InvalidPartitionKeyError
from airflow.timetables.base import DagRunInfo, TimeRestriction
from airflow.timetables.trigger import CronPartitionTimetable

from evergreen.spec.cron import parse_cron
from evergreen.spec.timing import interval_of, key_of, next_instant, previous_instant
from evergreen_airflow.timetable import DataClockTimetable

ZONES = ["America/New_York", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia", "America/Goose_Bay"]
ONCE = ["0 0 * * *", "30 2 * * *", "30 1 * * *", "00 03 1,16 * *", "0 0 * * MON", "15 2 * * 7", "45 23 L * *"]
MORE = [
    "59 1 * * *", "0 1 * * 0", "5 0 * * *", "0 2 * * 1-5", "0 0 1 * *", "0 0 1 * 1", "0 0 31 * *", "0 12 */2 * *",
    "30 23 29-31 mar,oct *", "0 0 * * 0#1", "0 2 * * L0", "30 0 1 1-12/3 *", "0 4 10-5 * *",
]  # fmt: skip
SEVERAL = ["0 6,18 * * *", "0,45 2 * * *", "*/20 1-3 * * *", "*/30 0-22 * * *", "15 8-17 * * 1-5", "0 */2 * * *"]
HOURLY = ["0 * * * *", "*/30 * * * *", "7 0-23 * * *", "30 * * * 1", "45 * 1 * *"]
START = datetime(2020, 1, 1, tzinfo=UTC)


def offset(moment: datetime, zone: str) -> timedelta:
    return moment.astimezone(ZoneInfo(zone)).utcoffset() or timedelta(0)


@cache
def changes(zone: str, first: int, last: int) -> tuple[tuple[datetime, timedelta], ...]:
    """The instants at which a zone's clocks change, and by how much."""
    found, step = [], timedelta(hours=12)
    moment, end = datetime(first, 1, 1, tzinfo=UTC), datetime(last, 1, 1, tzinfo=UTC)
    while moment < end:
        low, high = moment, moment + step
        by = offset(high, zone) - offset(low, zone)
        if by:
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) // timedelta(minutes=2) * timedelta(minutes=1)
                low, high = (middle, high) if offset(middle, zone) == offset(low, zone) else (low, middle)
            found.append((high, by))
        moment += step
    return tuple(found)


def around(cron: str, zone: str, change: datetime) -> list[datetime]:
    """The calendar's instants from two before a change of clocks until one and a half days after it."""
    found = [previous_instant(cron, zone, previous_instant(cron, zone, change - timedelta(days=1)))]
    while found[-1] < change + timedelta(hours=36):
        found.append(next_instant(cron, zone, found[-1]))
    return found


def airflows(cron: str, zone: str, like: list[datetime]) -> list[datetime]:
    """What Airflow's own calendar makes of the same span, one instant after the other."""
    own = CronPartitionTimetable(cron, timezone=zone, run_offset=0)
    infos = [DagRunInfo(run_after=pendulum.instance(like[0]), data_interval=None)]
    anew = TimeRestriction(earliest=infos[0].run_after, latest=None, catchup=True)
    while infos[-1].run_after < like[-1]:
        infos.append(own.next_dagrun_info_v2(last_dagrun_info=infos[-1], restriction=anew))
    return [info.run_after for info in infos]


def check(cron: str, zone: str, change: datetime, by: timedelta) -> None:
    """One calendar around one change of clocks, by all that must hold of it."""
    cron = parse_cron(cron).text
    ours = around(cron, zone, change)
    timetable = DataClockTimetable(cron, timezone=zone, start=START)
    keys = [key_of(cron, zone, moment) for moment in ours]
    assert len(set(keys)) == len(keys)
    assert [timetable.resolve_partition_date(key) for key in keys] == ours
    assert [timetable._format_key(moment) for moment in ours] == keys
    for start, end, key in zip(ours, ours[1:], keys[1:], strict=False):
        assert interval_of(cron, zone, key) == (start, end)
        assert previous_instant(cron, zone, end) == timetable._get_prev(end) == start
        assert timetable._align_to_prev(end) == timetable._align_to_next(end) == end
    theirs = airflows(cron, zone, ours)
    if cron.split()[0].isdigit() and cron.split()[1].isdigit():
        assert theirs == ours
    elif not parse_cron(cron).is_every_hour:  # of several times that one gap skips, Airflow drops all but the first
        assert set(theirs) <= set(ours)
        dropped = set(ours) - set(theirs)
        assert not dropped or (by > timedelta(0) and all(change <= each < change + 2 * by for each in dropped))
    elif cron.endswith("* * *") and by % timedelta(hours=1) == timedelta(0):
        assert theirs == ours


@pytest.mark.parametrize("zone", ZONES)
def test_keys_and_instants_are_airflows_around_changes_of_clocks(zone: str) -> None:
    for change, by in changes(zone, 2010, 2013):  # Apia skipped the 30th of December
        for cron in [*ONCE, *SEVERAL[:3], *HOURLY[:1]]:
            check(cron, zone, change, by)


def zones() -> Iterator[str]:
    """One zone of each kind that changes its clocks otherwise, of all that there are."""
    kinds = {changes(zone, 2007, 2037): zone for zone in sorted(available_timezones(), reverse=True)}
    yield from sorted(kinds.values())


@pytest.mark.science
@pytest.mark.timeout(7200)
def test_keys_and_instants_are_airflows_around_every_change_of_clocks() -> None:
    checked = 0
    for zone in zones():
        for change, by in changes(zone, 2010, 2030):
            for cron in [*ONCE, *MORE, *SEVERAL, *HOURLY]:
                check(cron, zone, change, by)
                checked += 1
    assert checked > 40_000


@pytest.mark.parametrize("cron", [*ONCE, *MORE, *SEVERAL, *HOURLY])
def test_airflow_takes_and_describes_what_a_dataset_may_declare(cron: str) -> None:
    timetable = DataClockTimetable(parse_cron(cron).text, timezone="Europe/Berlin", start=START)
    timetable.validate()
    assert timetable.description and timetable.summary == f"{parse_cron(cron).text} Europe/Berlin"


def test_a_backfill_gets_the_librarys_keys_in_a_zone_of_its_own() -> None:
    timetable = DataClockTimetable("30 2 * * *", timezone="America/New_York", start=START)
    infos = timetable.iter_partition_dagrun_infos(
        earliest=datetime(2013, 3, 9, tzinfo=UTC), latest=datetime(2013, 3, 11, 2, 30, tzinfo=UTC)
    )
    assert [(info.partition_key, info.partition_date) for info in infos] == [
        ("2013-03-09T02:30", datetime(2013, 3, 9, 7, 30, tzinfo=UTC)),
        ("2013-03-10T03:30", datetime(2013, 3, 10, 7, 30, tzinfo=UTC)),
        ("2013-03-11T02:30", datetime(2013, 3, 11, 6, 30, tzinfo=UTC)),
    ]


def test_a_midnight_of_a_subdaily_calendar_has_one_key_on_both_sides() -> None:
    timetable = DataClockTimetable("0 */6 * * *", timezone="UTC", start=START)
    midnight = datetime(2013, 2, 1, tzinfo=UTC)
    infos = timetable.iter_partition_dagrun_infos(earliest=midnight, latest=midnight)
    assert [info.partition_key for info in infos] == ["2013-02-01T00:00"]
    assert interval_of("0 */6 * * *", "UTC", "2013-02-01T00:00") == (midnight - timedelta(hours=6), midnight)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("yesterday", "Partition key: 'yesterday' is not an ISO date or date-time."),
        ("2013-03-10T02:30", "is written 2013-03-10T03:30 by the schedule '30 2 * * *' in America/New_York"),
        ("2013-03-10", "is not an instant of the schedule"),
        ("2013-03-11T06:30Z", "is written 2013-03-11T02:30"),
    ],
)
def test_a_key_that_is_none_is_refused_when_it_is_given(key: str, message: str) -> None:
    timetable = DataClockTimetable("30 2 * * *", timezone="America/New_York", start=START)
    with pytest.raises(InvalidPartitionKeyError) as caught:
        timetable.resolve_partition_date(key)
    assert message in str(caught.value)


def due(start: datetime, last: datetime | None = None, cron: str = "0 0 * * *") -> DagRunInfo:
    timetable = DataClockTimetable(cron, timezone="America/New_York", start=start)
    told = None if last is None else DagRunInfo(run_after=last, data_interval=None)
    unrestricted = TimeRestriction(earliest=None, latest=None, catchup=False)
    found = timetable.next_dagrun_info_v2(last_dagrun_info=told, restriction=unrestricted)
    assert found is not None
    return found


def test_the_calendar_starts_when_it_is_told_to_though_the_dag_has_no_start() -> None:
    quiet = due(datetime(2100, 1, 1, tzinfo=UTC))
    assert (quiet.partition_key, quiet.run_after) == ("2100-01-01", datetime(2100, 1, 1, 5, tzinfo=UTC))
    now = datetime.now(UTC)
    newest = due(START)
    assert newest.run_after <= now < next_instant("0 0 * * *", "America/New_York", newest.run_after)
    after = due(START, last=newest.run_after)
    assert previous_instant("0 0 * * *", "America/New_York", after.run_after) == newest.run_after


def test_a_quiet_calendar_stays_quiet_after_a_backfill() -> None:
    assert due(datetime(2100, 1, 1, tzinfo=UTC), last=datetime(2013, 1, 1, 5, tzinfo=UTC)).run_after.year == 2100


def test_the_serialized_calendar_is_the_same_calendar(project: Path, tmp_path: Path) -> None:
    script = """
from datetime import UTC, datetime
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from evergreen_airflow.timetable import DataClockTimetable
calendar = DataClockTimetable("30 1 * * *", timezone="America/New_York", start=datetime(2100, 1, 1, tzinfo=UTC))
dag = DAG("rides.ingest", schedule=calendar, catchup=False)
back = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
assert type(back) is DataClockTimetable and back.serialize() == calendar.serialize(), back
assert (back.summary, back.partitioned, back.start.year) == ("30 1 * * * America/New_York", True, 2100)
"""
    env = {
        **os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__PLUGINS_FOLDER": str(project / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
