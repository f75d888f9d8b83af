"""Paired bootstrap: how sure the difference of two models' metrics is, on the rows both predicted.

Rows are drawn with replacement and each draw judges all models (Efron and Tibshirani, 1993, "An Introduction to the
Bootstrap", chapters 8 and 13: percentile intervals). A draw is a vector of weights, so that all draws of a metric are
a few matrix operations. Rows count as independent, which rows of one busy hour are not: intervals are rather too
narrow than too wide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from evergreen.evaluation.metrics import most_likely, of_true_class
from evergreen.spec.model import GREATER_IS_BETTER

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

RESAMPLES = 200
_CELLS_AT_ONCE = 1_000_000
_CELLS_IN_ALL = 5_000_000


@dataclass(frozen=True)
class Interval:
    """The candidate's gain over another: positive is better, whatever the metric's direction.

    Attributes:
        low: 2.5th percentile.
        high: 97.5th percentile.
        share_worse: Share of the draws in which the candidate was worse.
        resamples: Draws that could be judged.
    """

    low: float
    high: float
    share_worse: float
    resamples: int

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def gains(
    metric: str,
    y: Array,
    candidate: Array,
    others: Mapping[str, Array],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, Interval | None]:
    """Intervals of the candidate's gain over each of the others, drawn on the same rows.

    Args:
        metric: One of the task's.
        y: Labels of shape (rows,).
        candidate: Its predictions.
        others: Predictions by name.
        seed: Of the draws.
        resamples: Draws; fewer (at least 50) are taken of very many rows.

    Returns:
        ``None`` for another whose predictions are not finite, or when fewer than half the draws could be judged.
    """
    import numpy as np

    n = len(y)
    resamples = min(resamples, max(50, _CELLS_IN_ALL // max(n, 1)))
    judged = {name: p for name, p in others.items() if np.isfinite(p).all()}
    if not n or not np.isfinite(candidate).all():
        return dict.fromkeys(others)
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS_AT_ONCE // n)
    drawn: dict[str, list[Array]] = {name: [] for name in judged}
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        rows = rng.integers(0, n, size=(n, size)) * size + np.arange(size)
        weights = np.bincount(rows.ravel(), minlength=size * n).reshape(n, size).astype(np.float64)
        own = weighted(metric, y, candidate, weights)
        for name, predicted in judged.items():
            difference = own - weighted(metric, y, predicted, weights)
            drawn[name].append(difference if metric in GREATER_IS_BETTER else -difference)
    return {name: _interval(np.concatenate(drawn[name]), resamples) if name in drawn else None for name in others}


def weighted(metric: str, y: Array, predicted: Array, weights: Array) -> Array:
    """A metric under each of several weightings of the rows.

    Args:
        metric: One of the task's.
        y: Labels of shape (rows,).
        predicted: As in :func:`evergreen.evaluation.metrics.compute`.
        weights: Of shape (rows, weightings).

    Returns:
        Of shape (weightings,); NaN where it says nothing. With all weights 1 it is the metric itself.
    """
    import numpy as np

    total = weights.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric == "roc_auc":
            return _auc(y, predicted, weights)
        if metric == "average_precision":
            return _average_precision(y, predicted, weights)
        if metric == "f1_macro":
            return _f1_macro(y, most_likely(predicted), weights)
        if metric == "r2":
            spread = y**2 @ weights - (y @ weights) ** 2 / total
            return np.asarray(1 - (y - predicted) ** 2 @ weights / spread)
        mean = np.asarray(_loss(metric, y, predicted) @ weights / total)
        return np.asarray(np.sqrt(mean)) if metric == "root_mean_squared_error" else mean


def _loss(metric: str, y: Array, predicted: Array) -> Array:
    import numpy as np

    if metric == "accuracy":
        return np.asarray(most_likely(predicted) == y, dtype=np.float64)
    if metric == "log_loss":
        return np.asarray(-np.log(of_true_class(y, predicted)))
    if metric == "mean_absolute_error":
        return np.abs(predicted - y)
    if metric in ("brier", "root_mean_squared_error"):
        return np.asarray((predicted - y) ** 2)
    raise ValueError(f"no such metric: {metric}")


def _grouped(y: Array, order: npt.NDArray[np.int64], predicted: Array, weights: Array) -> tuple[Array, Array]:
    """Weights of positives and negatives per distinct prediction, in the given order."""
    import numpy as np

    ranked = predicted[order]
    starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    sorted_weights = weights[order]
    positives = sorted_weights * y[order][:, None]
    if len(starts) < len(order):
        sorted_weights = np.add.reduceat(sorted_weights, starts, axis=0)
        positives = np.add.reduceat(positives, starts, axis=0)
    return positives, sorted_weights - positives


def _auc(y: Array, predicted: Array, weights: Array) -> Array:
    import numpy as np

    # Mann and Whitney (1947): the share of pairs in which the positive ranks higher, ties counting half.
    positives, negatives = _grouped(y, np.argsort(predicted, kind="stable"), predicted, weights)
    below = np.cumsum(negatives, axis=0) - negatives / 2
    pairs = positives.sum(axis=0) * negatives.sum(axis=0)
    return np.asarray(np.einsum("ij,ij->j", positives, below) / pairs)


def _average_precision(y: Array, predicted: Array, weights: Array) -> Array:
    import numpy as np

    positives, negatives = _grouped(y, np.argsort(-predicted, kind="stable"), predicted, weights)
    true = np.cumsum(positives, axis=0)
    precision = np.nan_to_num(true / (true + np.cumsum(negatives, axis=0)))
    return np.asarray(np.einsum("ij,ij->j", precision, positives) / positives.sum(axis=0))


def _f1_macro(y: Array, called: Array, weights: Array) -> Array:
    import numpy as np

    each = []
    for label in np.union1d(y, called):
        is_true, is_called = (y == label).astype(float), (called == label).astype(float)
        both = (is_true * is_called) @ weights
        each.append(np.nan_to_num(2 * both / (is_true @ weights + is_called @ weights)))
    return np.asarray(np.mean(each, axis=0))


def _interval(drawn: Array, resamples: int) -> Interval | None:
    import numpy as np

    judged = drawn[np.isfinite(drawn)]
    if len(judged) < resamples / 2:
        return None
    low, high = np.percentile(judged, [2.5, 97.5])
    return Interval(float(low), float(high), float((judged < 0).mean()), len(judged))
