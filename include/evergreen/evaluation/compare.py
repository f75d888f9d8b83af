"""Judges several prediction vectors on the same rows and gathers what the gate decides by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError
from evergreen.evaluation.baseline import naive
from evergreen.evaluation.bootstrap import gains
from evergreen.evaluation.gate import GateInputs, PredictionFacts, Rival
from evergreen.evaluation.metrics import compute
from evergreen.spec.model import Model
from evergreen.training.labels import LabelSummary, encode_labels

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

_BASELINE = "baseline"


@dataclass(frozen=True)
class Predicted:
    """One model's predictions of the judged rows.

    Attributes:
        values: Of shape (rows,), or (rows, classes) in a multiclass task.
        classes: Of a multiclass task: what the columns stand for.
        version: Of a champion.
    """

    values: npt.NDArray[np.float64]
    classes: Sequence[Any] = field(default=())
    version: int | None = None


def judge(
    model: Model,
    *,
    labels: pa.ChunkedArray,
    event_times: Sequence[datetime],
    candidate: Predicted,
    champions: Sequence[Predicted] = (),
    fitted_labels: LabelSummary,
    importance: Sequence[tuple[str, float]] = (),
    seed: int = 7,
    learnt_from: Mapping[str, Any] | None = None,
    too_close: int = 0,
) -> GateInputs:
    """Computes metrics, facts and paired intervals of all that are judged on the same rows.

    Args:
        model: The spec.
        labels: Of the judged rows.
        event_times: First and last event time of the judged rows (or all); empty when there are none.
        candidate: Its predictions.
        champions: The present champion and the remembered ones, newest first.
        fitted_labels: Of the candidate's training, for the naive baseline.
        importance: The candidate's features, most important first, named when it looks like a leak.
        seed: Of the bootstrap.
        learnt_from: The candidate's ``rows`` of each part and ``nulls`` of each feature, for the figures.
        too_close: Rows of the test part that one of the judged was trained too close to.

    Raises:
        DataError: When the vectors are of different lengths.
    """
    import numpy as np

    for each in (candidate, *champions):
        if len(each.values) != len(labels):
            raise DataError(
                "judged rows", f"must have as many predictions as labels ({len(labels)})", value=len(each.values)
            )
    classes = _common_classes(model.task, labels, (candidate, *champions))
    y = encode_labels(model.task, labels, classes)
    own = _aligned(model.task, candidate, classes)
    theirs = [_aligned(model.task, champion, classes) for champion in champions]
    guess = Predicted(naive(model.task, model.gate_metric, fitted_labels, len(y)), candidate.classes)
    others = {str(index): values for index, values in enumerate(theirs)}
    others[_BASELINE] = _aligned(model.task, guess, classes)
    intervals = gains(model.gate_metric, y, own, others, seed=seed)
    rivals = [
        Rival(champion.version or 0, compute(model.task, y, values), intervals[str(index)])
        for index, (champion, values) in enumerate(zip(champions, theirs, strict=True))
    ]
    return GateInputs(
        model=model.name,
        task=model.task,
        metric=model.gate_metric,
        gate=model.gate,
        n_rows=len(y),
        judged_from=min(event_times, default=None),
        judged_through=max(event_times, default=None),
        label_classes=None if model.task == "regression" else len(np.unique(y)),
        fitted_classes=None if model.task == "regression" else fitted_labels.classes_seen,
        candidate=compute(model.task, y, own),
        facts=facts_of(own),
        champions=rivals,
        baseline=Rival(0, compute(model.task, y, others[_BASELINE]), intervals[_BASELINE]),
        importance=list(importance),
        rows_of_parts=dict((learnt_from or {}).get("rows", {})),
        nulls=dict((learnt_from or {}).get("nulls", {})),
        gap=model.gap,
        too_close=too_close,
    )


def facts_of(predicted: npt.NDArray[np.float64]) -> PredictionFacts:
    """How many predictions there are, how many are no numbers, and how many differ."""
    import numpy as np

    table = predicted if predicted.ndim == 2 else predicted[:, None]
    finite = np.isfinite(table).all(axis=1)
    distinct = len(np.unique(table[finite], axis=0)) if finite.any() else 0
    spread = float(np.ptp(table[finite], axis=0).max()) if finite.any() else 0.0
    return PredictionFacts(len(table), int((~finite).sum()), distinct, spread)


def _common_classes(task: str, labels: pa.ChunkedArray, judged: Sequence[Predicted]) -> list[Any]:
    if task != "multiclass":
        return [0, 1] if task == "binary" else []
    known = {value for each in judged for value in each.classes}
    return sorted(known | {value for value in labels.unique().to_pylist() if value is not None})


def _aligned(task: str, predicted: Predicted, classes: list[Any]) -> npt.NDArray[np.float64]:
    """A model's columns in the order of the common classes; a class it does not know has probability 0."""
    import numpy as np

    if task != "multiclass":
        return predicted.values
    aligned = np.zeros((len(predicted.values), len(classes)))
    aligned[:, [classes.index(value) for value in predicted.classes]] = predicted.values
    return aligned
