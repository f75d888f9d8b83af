"""`<model>.monitor`: scores what has labels by now, watches drift, and asks for a training when there is a cause."""

from __future__ import annotations

from collections.abc import Mapping

from airflow.sdk import DAG, Asset, AssetAll, PartitionedAssetTimetable

from evergreen.spec.dataset import Dataset
from evergreen.spec.feature_view import FeatureView
from evergreen.spec.model import Model
from evergreen_airflow import assets
from evergreen_airflow.operators.work import (
    EvidentlyDriftOperator,
    PerformanceOperator,
    RetrainingPolicyOperator,
    RetrainingRequestOperator,
)
from evergreen_airflow.stages.frame import Work, stage_dag

DOC = """Joins labels, reports performance and drift, weighs all causes, and rings `retrain_request` when one holds.

Every evaluation is recorded in the store with its figures and reasons; when nothing is to be asked for, `ring` is
skipped."""


def monitor(
    model: Model, datasets: Mapping[str, Dataset], views: Mapping[str, FeatureView], *, broken: bool = False
) -> DAG:
    """The DAG that watches a model; it runs once per key when every input of the label's cadence has that key.

    Args:
        datasets: All declared datasets by name.
        views: All declared feature views by name.
    """
    inputs = driving_assets(model, datasets, views)
    return stage_dag(
        "model",
        model,
        "monitor",
        (
            Work("monitor", PerformanceOperator),
            Work("report", EvidentlyDriftOperator),
            Work("decide", RetrainingPolicyOperator),
            Work("ring", RetrainingRequestOperator, takes=("decide",), outlet=assets.retrain_request(model.name)),
        ),
        broken=broken,
        doc=DOC,
        schedule=PartitionedAssetTimetable(assets=inputs[0] if len(inputs) == 1 else AssetAll(*inputs)),
        max_active_runs=1,
    )


def driving_assets(model: Model, datasets: Mapping[str, Dataset], views: Mapping[str, FeatureView]) -> list[Asset]:
    """The label's dataset, and the model's views whose first dataset has the same schedule.

    Whatever has another cadence is left out: a schedule that waited for a key which never comes would never ring.
    """
    cadence = _cadence(datasets.get(model.label.dataset))
    same = [
        name
        for name in dict.fromkeys(model.features)
        if (view := views.get(name)) is not None
        and view.reads
        and cadence is not None
        and _cadence(datasets.get(view.reads[0])) == cadence
    ]
    return [assets.table(name) for name in (model.label.dataset, *same)]


def _cadence(dataset: Dataset | None) -> tuple[str, str] | None:
    return None if dataset is None else (dataset.schedule.cron, dataset.timezone)
