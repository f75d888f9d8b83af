"""`<dataset>.rebuild`: a dataset's history again, asked for by a person."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, PartitionedAtRuntime

from evergreen.spec.dataset import Dataset
from evergreen_airflow import assets
from evergreen_airflow.stages.frame import Work, stage_dag

DOC = """Ingests the dataset's whole history again, from what the source still has, and says what it no longer has.

After a changed definition (entity, times, zone, `select`, types) it fills the new table, which the next `ingest` would
do as well. Rows keep the known time at which they were first read; what a repaired file says otherwise is known from
the newest key on. Without a partition key the newest one counts."""


def rebuild(dataset: Dataset, *, broken: bool = False) -> DAG:
    """The DAG of one task that no asset and no calendar ever starts."""
    return stage_dag(
        "dataset",
        dataset,
        "rebuild",
        (Work("rebuild", time_limit=timedelta(hours=12), outlet=assets.table(dataset.name)),),
        broken=broken,
        doc=DOC,
        schedule=PartitionedAtRuntime(),
        max_active_runs=1,
    )
