"""`<dataset>.ingest`: the only stage with a calendar."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG

from evergreen.spec.dataset import Dataset
from evergreen_airflow import assets
from evergreen_airflow.operators.work import (
    DeltaPublishOperator,
    GreatExpectationsOperator,
    SourceReadOperator,
)
from evergreen_airflow.stages.frame import Work, stage_dag
from evergreen_airflow.timetable import DataClockTimetable

DOC = """Reads the files of one interval, validates and quarantines, and publishes the good rows.

The partition key is the exclusive end of the interval. A backfill makes one run per key; a run by hand takes the key
it is given, or the newest one the dataset has, whatever its logical date. Clearing `read` takes up a repaired file:
what it adds, changes and takes back is published. Where the source has nothing for the key and may be skipped, `read`
is skipped, and `publish` publishes nothing and rings all the same: who listens finds in the store what is missing."""


def ingest(dataset: Dataset, *, start: datetime, broken: bool = False) -> DAG:
    """The DAG that keeps a dataset's table up to date.

    Args:
        start: First instant of the calendar; in the future it keeps the calendar quiet for a replay.
    """
    work = (
        Work("read", SourceReadOperator, wait_timeout=dataset.source.wait_timeout),
        Work("validate", GreatExpectationsOperator),
        Work("publish", DeltaPublishOperator, outlet=assets.table(dataset.name), trigger_rule="none_failed"),
    )
    return stage_dag(
        "dataset",
        dataset,
        "ingest",
        work,
        broken=broken,
        doc=DOC,
        schedule=DataClockTimetable(dataset.schedule.cron, timezone=dataset.timezone, start=start),
        max_active_runs=4,
    )
