"""Predicting with an estimator and its encoder: the same code for judging, monitoring and serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evergreen.training.encode import Encoder
from evergreen.training.trainer import Estimator

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


def predict(estimator: Estimator, encoder: Encoder, table: pa.Table) -> npt.NDArray[np.float64]:
    """Predicts a table's rows: shape (rows,), or (rows, classes) in a multiclass task."""
    return _safe(estimator, encoder.transform(table))


def predict_rows(estimator: Estimator, encoder: Encoder, rows: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64]:
    """Predicts a few rows of Python or JSON values, as :func:`predict` does."""
    return _safe(estimator, encoder.transform_rows(rows))


def _safe(estimator: Estimator, X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    import numpy as np

    if len(X):
        return estimator.predict(X)
    return estimator.predict(np.full((1, X.shape[1]), np.nan))[:0]
