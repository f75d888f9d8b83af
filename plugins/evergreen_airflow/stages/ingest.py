"""`<dataset>.ingest`: the only stage with a calendar."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG, CronPartitionTimetable

from evergreen.spec.dataset import Dataset
from evergreen.spec.timing import key_format
from evergreen_airflow import assets
from evergreen_airflow.stages.frame import REPORT, Work, stage_dag

DOC = """Reads the files of one interval, validates and quarantines, and publishes the good rows.

The partition key is the exclusive end of the interval. A backfill makes one run per key; a run by hand takes the key
it is given, or the newest one the dataset has. Leave its logical date empty: a run that is dated before the calendar's
first day gets no tasks from Airflow. Clearing `read` takes up a repaired file: only new and changed rows
are added. Where the source has nothing for the key and may be skipped, `read` is skipped, and `publish` publishes
nothing and rings all the same: who listens finds in the store what is missing."""


def ingest(dataset: Dataset, *, start: datetime, broken: bool = False) -> DAG:
    """The DAG that keeps a dataset's table up to date.

    Args:
        start: First instant of the calendar; in the future it keeps the calendar quiet for a replay.
    """
    schedule = CronPartitionTimetable(
        dataset.schedule.cron,
        timezone=dataset.timezone,
        key_format=key_format(dataset.schedule.cron),
        run_offset=0,
    )
    work = (
        Work("read", wait_timeout=dataset.source.wait_timeout),
        Work("validate", links=(REPORT,)),
        Work("publish", outlet=assets.table(dataset.name), trigger_rule="none_failed"),
    )
    return stage_dag(
        "dataset",
        dataset,
        "ingest",
        work,
        broken=broken,
        doc=DOC,
        schedule=schedule,
        start_date=start,
        max_active_runs=4,
    )
