"""Which inputs of a model come at the pace of its labels: those that its monitoring waits for, key by key."""

from __future__ import annotations

from collections.abc import Mapping

from evergreen.spec.dataset import Dataset
from evergreen.spec.feature_view import FeatureView
from evergreen.spec.model import Model


def driving(model: Model, datasets: Mapping[str, Dataset], views: Mapping[str, FeatureView]) -> list[str]:
    """The label's dataset, and the model's views whose first dataset has the same schedule and time zone.

    Whatever has another cadence is left out: a key of the label's calendar never comes there.

    Args:
        datasets: Declared datasets by name.
        views: Declared feature views by name.
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
    return [model.label.dataset, *same]


def _cadence(dataset: Dataset | None) -> tuple[str, str] | None:
    return None if dataset is None else (dataset.schedule.cron, dataset.timezone)
