"""Metrics per task type, by scikit-learn; a metric that says nothing on the given rows is ``None`` with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evergreen.spec.model import GREATER_IS_BETTER, METRICS_OF_TASK

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

THRESHOLD = 0.5
"""Probability from which a binary prediction counts as class 1 in ``accuracy``."""
EPSILON = 1e-15
"""Probabilities are clipped to [EPSILON, 1 - EPSILON] before a logarithm."""


@dataclass(frozen=True)
class Scores:
    """Metrics of one prediction vector.

    Attributes:
        values: By metric; ``None`` where it cannot be computed.
        reasons: Why, by metric.
    """

    values: dict[str, float | None]
    reasons: dict[str, str] = field(default_factory=dict)

    def get(self, metric: str) -> float | None:
        """A metric's value."""
        return self.values.get(metric)


def compute(task: str, y: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64]) -> Scores:
    """All metrics of a task.

    Args:
        task: ``binary``, ``multiclass`` or ``regression``.
        y: Labels of shape (rows,): 0/1, the class's position, or the value.
        predicted: Of shape (rows,): probability of class 1 or value; multiclass: (rows, classes) probabilities.
    """
    import numpy as np

    metrics = METRICS_OF_TASK[task]
    finite = int(np.isfinite(predicted).reshape(len(y), -1).all(axis=1).sum()) if len(y) else 0
    if not len(y):
        return _nothing(metrics, "there are no rows")
    if finite < len(y):
        return _nothing(metrics, f"{len(y) - finite} of {len(y)} predictions are not finite numbers")
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for metric in metrics:
        reason = _unsaid(metric, y)
        values[metric] = None if reason else float(_METRICS[metric](y, predicted))
        if reason:
            reasons[metric] = reason
    return Scores(values, reasons)


def better(metric: str, one: float, other: float) -> bool:
    """Whether one figure of a metric is strictly better than another."""
    return one > other if metric in GREATER_IS_BETTER else one < other


def gain(metric: str, one: float, other: float) -> float:
    """How much better one figure is than another: positive is better, whatever the metric's direction."""
    return one - other if metric in GREATER_IS_BETTER else other - one


def _nothing(metrics: tuple[str, ...], reason: str) -> Scores:
    return Scores(dict.fromkeys(metrics), dict.fromkeys(metrics, reason))


def _unsaid(metric: str, y: npt.NDArray[np.float64]) -> str:
    if metric in ("roc_auc", "average_precision") and bool((y == y[0]).all()):
        return f"all {len(y)} labels are of one class"
    if metric == "r2" and bool((y == y[0]).all()):
        return f"all {len(y)} labels are the same"
    return ""


def _roc_auc(y: npt.NDArray[np.float64], p: npt.NDArray[np.float64]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(y, p))


def _average_precision(y: npt.NDArray[np.float64], p: npt.NDArray[np.float64]) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(y, p))


def of_true_class(y: npt.NDArray[np.float64], p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The probability that each row gave to its true class, clipped; least of a class it does not know (-1)."""
    import numpy as np

    true = np.where(y == 1, p, 1 - p) if p.ndim == 1 else np.where(y >= 0, p[np.arange(len(y)), y.astype(int)], 0)
    return np.clip(true, EPSILON, 1 - EPSILON)


def most_likely(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The class that each row calls most likely."""
    import numpy as np

    return np.asarray(p >= THRESHOLD if p.ndim == 1 else p.argmax(axis=1), dtype=np.float64)


def _log_loss(y: npt.NDArray[np.float64], p: npt.NDArray[np.float64]) -> float:
    import numpy as np

    # Good (1952), "Rational decisions". sklearn's log_loss refuses labels that the probabilities have no column for.
    return float(-np.log(of_true_class(y, p)).mean())


def _brier(y: npt.NDArray[np.float64], p: npt.NDArray[np.float64]) -> float:
    # Brier (1950), "Verification of forecasts expressed in terms of probability", in its form for two classes.
    return float(((p - y) ** 2).mean())


def _accuracy(y: npt.NDArray[np.float64], p: npt.NDArray[np.float64]) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(y, most_likely(p)))


def _f1_macro(y: npt.NDArray[np.float64], p: npt.NDArray[np.float64]) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(y, most_likely(p), average="macro", zero_division=0))


def _mean_absolute_error(y: npt.NDArray[np.float64], p: npt.NDArray[np.float64]) -> float:
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(y, p))


def _root_mean_squared_error(y: npt.NDArray[np.float64], p: npt.NDArray[np.float64]) -> float:
    from sklearn.metrics import root_mean_squared_error

    return float(root_mean_squared_error(y, p))


def _r2(y: npt.NDArray[np.float64], p: npt.NDArray[np.float64]) -> float:
    from sklearn.metrics import r2_score

    return float(r2_score(y, p))


_METRICS: dict[str, Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], float]] = {
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
    "brier": _brier,
    "accuracy": _accuracy,
    "f1_macro": _f1_macro,
    "mean_absolute_error": _mean_absolute_error,
    "root_mean_squared_error": _root_mean_squared_error,
    "r2": _r2,
}
