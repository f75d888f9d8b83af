"""DAGs of the same shape as one model's life, with tasks that do nothing: what Airflow itself takes."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from airflow.sdk import DAG, Asset, BaseOperator, CronPartitionTimetable, PartitionedAssetTimetable

QUIET = datetime(2100, 1, 1, tzinfo=UTC)


class Nothing(BaseOperator):
    def execute(self, context):
        return None


def asset(name):
    return Asset(name=f"noop_{name}", uri=f"noop://{name}")


def chain(stage, tasks, *, rings, schedule):
    with DAG(f"noop.{stage}", schedule=schedule, start_date=QUIET, catchup=False) as dag:
        made = [
            Nothing(task_id=f"task_{number}", outlets=[asset(rings)] if number == tasks - 1 else [])
            for number in range(tasks)
        ]
        for before, after in pairwise(made):
            before >> after
    return dag


def on(assets):
    return PartitionedAssetTimetable(assets=assets)


calendar = CronPartitionTimetable("0 0 1 * *", timezone="UTC", key_format="%Y-%m-%d", run_offset=0)
dags = [
    chain("ingest", 3, rings="dataset", schedule=calendar),
    chain("build", 2, rings="view", schedule=on(asset("dataset"))),
    chain("monitor", 4, rings="request", schedule=on(asset("dataset") & asset("view"))),
    chain("train", 4, rings="candidate", schedule=on(asset("request"))),
    chain("deploy", 3, rings="champion", schedule=on(asset("candidate"))),
]
globals().update({dag.dag_id: dag for dag in dags})
