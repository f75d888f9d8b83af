"""Drift by effect size: a small figure per column, a page for people, and "cannot judge" as an answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from evergreen.errors import shorten
from evergreen.monitoring.distance import SEED, distance
from evergreen.monitoring.distribution import Column, tabulate
from evergreen.spec.model import Drift

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

NAMED = 10
"""At most so many columns are named in a reason."""
KEPT = 100
"""At most so many columns' distances are kept as figures, the largest."""
LOST = 0.95
"""A column with a larger share of nulls has lost its values, if it had them in the reference."""


@dataclass(frozen=True)
class DriftReport:
    """What a comparison gives.

    Attributes:
        drifted: Whether the share of drifted columns reached the spec's; ``None`` when it cannot be judged.
        figures: ``columns`` (name -> distance, 0 to 1; the largest), ``share``, ``n_columns``, ``n_drifted``,
            ``n_broken``, ``n_reference``, ``n_current``.
        reasons: A few sentences of bounded length: which columns drifted, lost their values, hold infinite ones; or
            why nothing can be said.
        html: Evidently's page, self-contained; ``None`` when nothing was compared, or it was not wanted.
        is_broken: Whether so many columns lost their values that the rest says nothing.
    """

    drifted: bool | None
    figures: dict[str, Any]
    reasons: list[str]
    html: str | None = field(default=None, repr=False)
    is_broken: bool = False

    @property
    def is_compared(self) -> bool:
        """Whether there is anything to be drawn."""
        return "columns" in self.figures

    @property
    def verdict(self) -> Literal["drift", "no drift", "cannot judge", "broken data"]:
        """One word for the store; only the first two are evidence."""
        if self.is_broken:
            return "broken data"
        return "cannot judge" if self.drifted is None else "drift" if self.drifted else "no drift"


def compare(
    reference: pa.Table, current: pa.Table, spec: Drift, *, page: Literal["always", "if it matters"] = "always"
) -> DriftReport:
    """Compares two samples of the same columns by the distance of :func:`evergreen.monitoring.distance.distance`.

    Nulls and infinite values count as values. A column that lost (nearly) all of its values is no drift, which a
    training could mend, but broken data: it is named and left out, and where ``spec.share`` of the columns did, nothing
    is judged. Columns that are empty on both sides are left out, too.

    Args:
        reference: Of the training.
        current: Of the period; the same columns.
        spec: Thresholds.
        page: When Evidently's page is drawn; it matters where there is drift or broken data.
    """
    sizes = {"n_reference": reference.num_rows, "n_current": current.num_rows}
    few = min(sizes.values())
    if few < max(spec.min_rows, 1):
        reason = f"cannot judge drift: {few} rows on one side, monitoring.drift.min_rows is {spec.min_rows}"
        return DriftReport(None, sizes, [reason])
    reference, current = _sample(reference, spec.sample), _sample(current, spec.sample)
    tabulated = [tabulate(name, reference[name], current[name]) for name in reference.column_names]
    columns = {column.name: column for column in tabulated if not column.is_empty}
    empty = [column.name for column in tabulated if column.is_empty]
    if not columns:
        return DriftReport(None, sizes, ["cannot judge drift: every column is empty on both sides"])
    distances = {name: _distance(column) for name, column in columns.items()}
    by_distance = sorted(columns, key=lambda name: (-distances[name], name))
    broken = [name for name, column in columns.items() if _has_lost_its_values(column, spec.threshold)]
    compared = [name for name in by_distance if name not in set(broken)]
    drifted = [name for name in compared if distances[name] >= spec.threshold]
    share = len(drifted) / len(compared) if compared else 0.0
    is_broken = bool(broken) and len(broken) >= spec.share * len(columns)
    figures = {
        **sizes,
        "share": share,
        "n_columns": len(compared),
        "n_drifted": len(drifted),
        "n_broken": len(broken),
        "columns": {name: round(distances[name], 4) for name in compared[:KEPT]},
    }
    reasons = [
        f"broken data: {len(broken)} of {len(columns)} columns have (nearly) no values any more: {_named(broken)}"
    ] * bool(broken)
    reasons.append(
        f"{len(drifted)} of {len(compared)} columns drifted (share {share:.2f}, monitoring.drift.share {spec.share:g})"
    )
    reasons += [f"{_short(name)}: distance {distances[name]:.3f} >= {spec.threshold:g}" for name in drifted[:5]]
    reasons += _on_infinite_values(list(columns.values()))
    reasons += [f"left out, since empty on both sides: {_named(empty)}"] * bool(empty)
    shown = [columns[name] for name in (*broken, *compared)]
    drifted_as_a_whole = None if is_broken else share >= spec.share
    wanted = page == "always" or drifted_as_a_whole is not False
    html = _page(shown, distances, reference, current, spec, reasons) if wanted else None
    return DriftReport(drifted_as_a_whole, figures, reasons, html, is_broken)


def _distance(column: Column) -> float:
    return distance(column.counts(column.reference), column.counts(column.current))


def _has_lost_its_values(column: Column, threshold: float) -> bool:
    """Whether nearly all rows are empty now, which sampling does not explain."""
    import numpy as np

    if column.current.missing_share <= max(LOST, column.reference.missing_share):
        return False
    before, after = (
        np.array([side.n_missing, len(side.codes) - side.n_missing]) for side in (column.reference, column.current)
    )
    return distance(before, after) >= threshold


def _on_infinite_values(columns: Sequence[Column]) -> list[str]:
    found = [c for c in columns if c.reference.n_infinite or c.current.n_infinite]
    if not found:
        return []
    told = [
        f"{_short(c.name)} ({c.current.n_infinite} in the period, {c.reference.n_infinite} in the training)"
        for c in found[:NAMED]
    ]
    return [f"infinite values, counted as a value of their own: {', '.join(told)}{_more(len(found))}"]


def _named(names: Sequence[str]) -> str:
    return ", ".join(map(_short, names[:NAMED])) + _more(len(names))


def _more(n: int) -> str:
    return f" and {n - NAMED} more" if n > NAMED else ""


def _short(name: str) -> str:
    return shorten(name, 60)


def _page(
    columns: Sequence[Column],
    distances: Mapping[str, float],
    reference: pa.Table,
    current: pa.Table,
    spec: Drift,
    reasons: list[str],
) -> str | None:
    """Evidently's page; where Evidently fails at it, that is a reason more, and the figures stand without it."""
    from evergreen.monitoring.page import page

    try:
        return page(columns, distances, reference, current, spec)
    except Exception as error:  # a page for people must not end what decides
        log.exception("Evidently could not draw the page")
        reasons.append(f"there is no page, since Evidently failed: {type(error).__name__}: {shorten(str(error))}")
        return None


def _sample(table: pa.Table, most: int) -> pa.Table:
    import numpy as np

    if table.num_rows <= most:
        return table
    chosen = np.random.default_rng(SEED).choice(table.num_rows, size=most, replace=False)
    return table.take(np.sort(chosen))
