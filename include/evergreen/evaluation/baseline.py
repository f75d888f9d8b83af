"""The naive baseline: what one would answer knowing nothing but the labels of the fitted rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.training.labels import LabelSummary

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def naive(task: str, metric: str, labels: LabelSummary, rows: int) -> npt.NDArray[np.float64]:
    """The constant prediction that is best for the metric: base rate, class shares, median or mean.

    Args:
        task: Of the model.
        metric: Of a regression's metrics, ``mean_absolute_error`` is least at the median, the others at the mean.
        labels: Summary of the fitted rows' labels.
        rows: How many predictions.

    Returns:
        Of shape (rows,), or (rows, classes) in a multiclass task.
    """
    import numpy as np

    if task == "multiclass":
        return np.tile(np.asarray(labels.shares, dtype=np.float64), (rows, 1))
    constant = labels.median if task == "regression" and metric == "mean_absolute_error" else labels.mean
    return np.full(rows, constant, dtype=np.float64)
