"""Drift by effect size (Evidently): a small figure per column, a page for people, and "cannot judge" as an answer."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evergreen.spec.model import Drift

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SEED = 20130101


@dataclass(frozen=True)
class DriftReport:
    """What a comparison gives.

    Attributes:
        drifted: Whether the share of drifted columns reached the spec's; ``None`` when it cannot be judged.
        figures: ``columns`` (name -> Jensen-Shannon distance, 0 to 1), ``share``, ``n_reference``, ``n_current``.
        reasons: One sentence for each column that drifted, or why nothing can be said.
        html: Evidently's page, self-contained; ``None`` when nothing was compared.
    """

    drifted: bool | None
    figures: dict[str, Any]
    reasons: list[str]
    html: str | None = field(default=None, repr=False)


def compare(reference: pa.Table, current: pa.Table, spec: Drift) -> DriftReport:
    """Compares two samples of the same columns.

    The distance of one column is the Jensen-Shannon distance between its binned distributions (Lin 1991, square root
    of the divergence, base 2), which grows with the effect and not with the sample size. Columns that are empty on
    either side are left out and named.
    """
    sizes = {"n_reference": reference.num_rows, "n_current": current.num_rows}
    few = min(sizes.values())
    if few < spec.min_rows:
        return DriftReport(
            None, sizes, [f"cannot judge drift: {few} rows on one side, monitoring.drift.min_rows is {spec.min_rows}"]
        )
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    before, after = _sample(reference, spec.sample), _sample(current, spec.sample)
    categorical = [name for name in before if not _is_number(before[name]) or not _is_number(after[name])]
    empty = [name for name in before if before[name].isna().all() or after[name].isna().all()]
    compared = [name for name in before if name not in empty]
    if not compared:
        return DriftReport(None, sizes, ["cannot judge drift: every column is empty on one side"])
    for name in categorical:
        before[name], after[name] = before[name].astype(str), after[name].astype(str)
    definition = DataDefinition(
        numerical_columns=[name for name in compared if name not in categorical],
        categorical_columns=[name for name in compared if name in categorical],
    )
    preset = DataDriftPreset(columns=compared, method="jensenshannon", threshold=spec.threshold, drift_share=spec.share)
    snapshot = Report([preset]).run(
        Dataset.from_pandas(after[compared], definition), Dataset.from_pandas(before[compared], definition)
    )
    distances = {
        metric["config"]["column"]: float(metric["value"])
        for metric in snapshot.dict()["metrics"]
        if "column" in metric["config"]
    }
    drifted = sorted((name for name, d in distances.items() if d >= spec.threshold), key=lambda n: -distances[n])
    share = len(drifted) / len(distances)
    reasons = [
        f"{len(drifted)} of {len(distances)} columns drifted (share {share:.2f}, monitoring.drift.share {spec.share:g})"
    ]
    reasons += [f"{name}: distance {distances[name]:.3f} >= {spec.threshold:g}" for name in drifted[:5]]
    reasons += [f"{name} was left out: empty on one side" for name in empty]
    figures = {**sizes, "share": share, "columns": {name: round(d, 4) for name, d in distances.items()}}
    return DriftReport(share >= spec.share, figures, reasons, snapshot.get_html_str(as_iframe=False))


def _sample(table: pa.Table, most: int) -> pd.DataFrame:
    import numpy as np

    if table.num_rows > most:
        chosen = np.random.default_rng(SEED).choice(table.num_rows, size=most, replace=False)
        table = table.take(np.sort(chosen))
    frame = table.to_pandas()
    for name in frame:
        if str(frame[name].dtype).startswith(("datetime", "bool")):
            frame[name] = frame[name].astype("int64" if frame[name].notna().all() else "object")
    return frame


def _is_number(column: pd.Series) -> bool:
    from pandas.api.types import is_numeric_dtype

    return bool(is_numeric_dtype(column.dtype))
