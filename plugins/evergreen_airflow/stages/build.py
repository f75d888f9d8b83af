"""`<view>.build`: a materialized feature view follows its first-named dataset."""

from __future__ import annotations

from airflow.sdk import DAG, PartitionedAssetTimetable

from evergreen.spec.feature_view import FeatureView
from evergreen_airflow import assets
from evergreen_airflow.stages.frame import Work, stage_dag

DOC = """Computes the view's rows for one interval and publishes those that are new or changed.

It is woken by its first-named dataset; other datasets are read at their newest version known at the key. Without any
yet, `build` is skipped and says what is missing; `publish` then rings all the same, so that nobody waits for it."""


def build(view: FeatureView, *, broken: bool = False) -> DAG:
    """The DAG that keeps a materialized view's table up to date."""
    return stage_dag(
        "feature_view",
        view,
        "build",
        (Work("build"), Work("publish", outlet=assets.table(view.name), trigger_rule="none_failed")),
        broken=broken,
        doc=DOC,
        schedule=PartitionedAssetTimetable(assets=assets.table(view.reads[0])),
        max_active_runs=4,
    )
