"""The calendar of ingestion, by the library's own keys and instants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pendulum
from airflow.exceptions import InvalidPartitionKeyError
from airflow.timetables.base import DagRunInfo, TimeRestriction
from airflow.timetables.trigger import CronPartitionTimetable

from evergreen.spec.timing import instant_of, key_of, next_instant, previous_instant

_TICK = timedelta(microseconds=1)


class DataClockTimetable(CronPartitionTimetable):
    """One run for each instant of a calendar, when it is due; the run's partition key is the library's key of it.

    Airflow's own class differs in three points. It finds the instant before another by another rule than the one after
    (around a change of clocks they are not each other's inverse); its key is one format for all instants, so that an
    hour that comes twice has one key for two; and the calendar's first day is the DAG's start date, so that a run by
    hand that is dated before it (the trigger form dates every run) gets no tasks at all. Here the start is the
    calendar's, and the DAG has none.

    Args:
        cron: Five fields, as ``evergreen.spec.cron`` allows them.
        timezone: IANA name.
        start: First instant of the calendar; in the future it keeps the calendar quiet.
    """

    def __init__(self, cron: str, *, timezone: str, start: datetime) -> None:
        super().__init__(cron, timezone=timezone, run_offset=0)
        self.cron, self.zone, self.start = cron, timezone, start.astimezone(UTC)

    @property
    def summary(self) -> str:
        """What the pages show as the schedule: in whose time the expression is read, too."""
        return f"{self.cron} {self.zone}"

    def serialize(self) -> dict[str, Any]:
        """The arguments, as JSON."""
        return {"cron": self.cron, "timezone": self.zone, "start": self.start.isoformat()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> DataClockTimetable:
        """The inverse of :meth:`serialize`."""
        return cls(data["cron"], timezone=data["timezone"], start=datetime.fromisoformat(data["start"]))

    def next_dagrun_info_v2(
        self, *, last_dagrun_info: DagRunInfo | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The newest instant that is due and has had no run, or the next one; never before the calendar's start."""
        start = pendulum.instance(self.start)
        earliest = start if restriction.earliest is None else max(start, restriction.earliest)
        return super().next_dagrun_info_v2(
            last_dagrun_info=last_dagrun_info, restriction=restriction._replace(earliest=earliest)
        )

    def _get_next(self, current: datetime) -> pendulum.DateTime:
        return pendulum.instance(next_instant(self.cron, self.zone, current))

    def _get_prev(self, current: datetime) -> pendulum.DateTime:
        return pendulum.instance(previous_instant(self.cron, self.zone, current))

    def _align_to_next(self, current: datetime) -> pendulum.DateTime:
        return self._get_next(current - _TICK)

    def _align_to_prev(self, current: datetime) -> pendulum.DateTime:
        return self._get_prev(current + _TICK)

    def _format_key(self, partition_date: datetime) -> str:
        return key_of(self.cron, self.zone, partition_date)

    def _decode_partition_date(self, partition_key: str) -> datetime:
        try:
            return pendulum.instance(instant_of(self.cron, self.zone, partition_key))
        except ValueError as error:
            raise InvalidPartitionKeyError(f"Partition key: {error}.") from None
