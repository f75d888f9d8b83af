"""`<model>.deploy`: a candidate becomes the champion, or is superseded."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, PartitionedAssetTimetable

from evergreen.spec.model import Model
from evergreen_airflow import assets
from evergreen_airflow.operators.work import CandidateVerifyOperator, MlflowRollOutOperator, MlflowSettleOperator
from evergreen_airflow.stages.frame import Work, stage_dag

DOC = """Loads the candidate as the gateway would, promotes it, and waits until every live gateway serves it.

The promotion is refused when somebody decided in between (a rollback, another promotion): the run then ends skipped
as superseded, and nothing has changed."""


def deploy(model: Model, *, broken: bool = False) -> DAG:
    """The DAG that rolls out candidates."""
    return stage_dag(
        "model",
        model,
        "deploy",
        (
            Work("verify", CandidateVerifyOperator),
            Work("roll_out", MlflowRollOutOperator),
            Work(
                "settle",
                MlflowSettleOperator,
                takes=("roll_out",),
                outlet=assets.champion(model.name),
                wait_timeout=timedelta(minutes=15),
            ),
        ),
        broken=broken,
        doc=DOC,
        schedule=PartitionedAssetTimetable(assets=assets.candidate(model.name)),
        max_active_runs=1,
    )
