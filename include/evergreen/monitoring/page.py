"""Evidently's page of a comparison: what its own plots can show as numbers, everything else as categories."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

    from evergreen.monitoring.distribution import Column, Side
    from evergreen.spec.model import Drift

MAX_COLUMNS = 100
"""More columns than this make a page that no browser likes; those with the largest distance are shown."""
MAX_VALUES = 30
LARGEST = 1e12
"""From here on a histogram's bins may be narrower than what a float can tell apart."""
_TEST = "evergreen_jensenshannon"


def page(
    columns: Sequence[Column], distances: Mapping[str, float], reference: pa.Table, current: pa.Table, spec: Drift
) -> str:
    """The page, self-contained HTML; its distances are those that are given.

    Args:
        columns: What to show, the most interesting first.
        distances: Of each column.
        reference: Rows of the first side, in the order of the columns' codes.
        current: Rows of the second.
        spec: Thresholds.
    """
    import pandas as pd

    shown = list(columns[:MAX_COLUMNS])
    before, after, numeric = {}, {}, []
    for column in shown:
        sides = [_plottable(table[column.name]) for table in (reference, current)]
        if sides[0] is not None and sides[1] is not None:
            numeric.append(column.name)
            before[column.name], after[column.name] = sides
        else:
            kept = _frequent(column)
            before[column.name], after[column.name] = (_labels(column, side, kept) for side in _sides(column))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what numpy, pandas and plotly think of Evidently's code
        return _drawn(pd.DataFrame(before), pd.DataFrame(after), numeric, distances, spec)


def _drawn(
    before: pd.DataFrame, after: pd.DataFrame, numeric: Sequence[str], distances: Mapping[str, float], spec: Drift
) -> str:
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = [str(name) for name in before.columns]
    definition = DataDefinition(
        numerical_columns=list(numeric), categorical_columns=[name for name in names if name not in numeric]
    )
    _register(distances)
    preset = DataDriftPreset(columns=names, method=_TEST, threshold=spec.threshold, drift_share=spec.share)
    snapshot = Report([preset]).run(Dataset.from_pandas(after, definition), Dataset.from_pandas(before, definition))
    return str(snapshot.get_html_str(as_iframe=False))


def _register(distances: Mapping[str, float]) -> None:
    """Lets Evidently show our distance of a column, whatever it was given to plot."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    def known(_: pd.Series, current: pd.Series, __: Any, threshold: float) -> tuple[float, bool]:
        value = distances[str(current.name)]
        return value, value >= threshold

    test = StatTest(
        name=_TEST,
        display_name="Jensen-Shannon distance less its sampling error",
        allowed_feature_types=[ColumnType.Categorical, ColumnType.Numerical],
        default_threshold=0.2,
    )
    register_stattest(test, known)


def _plottable(column: pa.ChunkedArray) -> npt.NDArray[np.float64] | None:
    """The values as numbers where every one of them can stand in a histogram; NaN where there is none."""
    import numpy as np
    import pyarrow as pa

    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return None
    values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    known = values[~np.isnan(values)]
    if not len(known) or not np.isfinite(known).all() or np.abs(known).max() > LARGEST:
        return None
    spread = float(known.max() - known.min())
    fine = spread == 0 or spread > 1e-6 * float(np.abs(known).max())
    return values if fine else None


def _sides(column: Column) -> tuple[Side, Side]:
    return column.reference, column.current


def _frequent(column: Column) -> npt.NDArray[np.bool_]:
    """Which values are shown by name; the rest become one."""
    import numpy as np

    together = column.counts(column.reference) + column.counts(column.current)
    kept = np.zeros(len(together), bool)
    kept[np.argsort(-together, kind="stable")[:MAX_VALUES]] = True
    return kept


def _labels(column: Column, side: Side, kept: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    import numpy as np

    others = f"{int((~kept).sum())} rarer values"
    named = np.array(
        [value[:60] if keep else others for value, keep in zip(column.values, kept, strict=True)], dtype=object
    )
    return np.asarray(named[side.codes])
