"""`<model>.train`: one training for all open requests of one as_of."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, PartitionedAssetTimetable

from evergreen.spec.model import Model
from evergreen_airflow import assets
from evergreen_airflow.operators.work import (
    GateOperator,
    MlflowTrainOperator,
    MlflowVersionOperator,
    RetrainingRequestOperator,
)
from evergreen_airflow.stages.frame import Work, stage_dag

DOC = """Claims the open requests of its key, trains, judges by the gate, and registers what was accepted.

A run that is woken without a request of its own key takes what is left over of another. A run by hand or REST writes a
request first and trains as of its own key, whatever else is open: `{"conf": {"reason": "..."}}` says why, and with
`"again": "any word"` it trains once more where the same was asked before.

With nothing to claim the run ends skipped. Too few labelled rows are a verdict (`train` is skipped, the request is
answered `cannot_train`), and so is a refused candidate: both stand in the store with their figures. A request that only
a person can mend stays open; `<model>.rollback` withdraws it."""


def train(model: Model, *, broken: bool = False) -> DAG:
    """The DAG that makes candidates; its one schedule is the request."""
    return stage_dag(
        "model",
        model,
        "train",
        (
            Work("claim", RetrainingRequestOperator),
            Work("train", MlflowTrainOperator, time_limit=timedelta(hours=12)),
            Work("evaluate", GateOperator, time_limit=timedelta(hours=3)),
            Work("register", MlflowVersionOperator, outlet=assets.candidate(model.name)),
        ),
        broken=broken,
        doc=DOC,
        schedule=PartitionedAssetTimetable(assets=assets.retrain_request(model.name)),
        max_active_runs=1,
    )
