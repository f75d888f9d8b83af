"""`<model>.train`: one training for all open requests."""

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

DOC = """Claims all open requests of the model, trains, judges by the gate, and registers what was accepted.

A run by hand or REST writes a request first: `{"conf": {"reason": "..."}}` says why, and with `"again": "any word"`
it trains once more where the same was asked before. With nothing to claim the run ends skipped. A refused candidate
is a decision, kept in the store with its figures, and not a failure."""


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
