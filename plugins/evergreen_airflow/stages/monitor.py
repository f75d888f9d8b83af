"""`<model>.monitor`: scores what has labels by now, watches drift, and asks for a training when there is a cause."""

from __future__ import annotations

from collections.abc import Mapping

from airflow.sdk import DAG, Asset, AssetAny, PartitionedAssetTimetable

from evergreen.spec.cadence import driving
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

Each table of the label's dataset and of the views with its schedule wakes it when it has a key. As long as others of
them have not come so far, the run ends skipped and says what it waits for; what was skipped there is not waited for but
named. To watch a key without what it waits for, trigger it with that key and `{"conf": {"anyway": true}}`.

Every evaluation is recorded in the store with its figures and reasons; when nothing is to be asked for, `ring` is
skipped."""


def monitor(
    model: Model, datasets: Mapping[str, Dataset], views: Mapping[str, FeatureView], *, broken: bool = False
) -> DAG:
    """The DAG that watches a model, woken by every input of the label's cadence.

    It is no schedule of "all of them": where one never gets a key, that would never start, and tell nobody.

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
        schedule=PartitionedAssetTimetable(assets=inputs[0] if len(inputs) == 1 else AssetAny(*inputs)),
        max_active_runs=1,
    )


def driving_assets(model: Model, datasets: Mapping[str, Dataset], views: Mapping[str, FeatureView]) -> list[Asset]:
    """Tables whose news wake the monitoring: the label's dataset, and the model's views of the same cadence."""
    return [assets.table(name) for name in driving(model, datasets, views)]
