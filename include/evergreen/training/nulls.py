"""How empty each feature is in the rows that a model learns from, and whether the spec allows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from evergreen.spec.files import path_of
from evergreen.spec.model import Model

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from evergreen.spec.feature_view import FeatureView

DEFAULT_MAX_NULL = 0.95
"""Share of nulls that is allowed where the spec says nothing and the feature's source has rows."""


def null_shares(frame: pa.Table, rows: npt.NDArray[np.int64], features: Sequence[str]) -> dict[str, float]:
    """Share (0 to 1) of each feature's values that are null or not a number, among some rows of a frame."""
    import pyarrow as pa
    import pyarrow.compute as pc

    taken = frame.select(list(dict.fromkeys(features))).take(pa.array(rows))
    empty = {
        name: pc.sum(pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))).as_py() or 0
        for name, column in zip(taken.column_names, taken.columns, strict=True)
    }
    return {name: empty[name] / max(taken.num_rows, 1) for name in features}


def refusals(
    shares: Mapping[str, float], model: Model, views: Mapping[str, FeatureView], has_rows: Callable[[str], bool]
) -> list[str]:
    """A sentence for each feature that is emptier than the spec allows: its figure, its bound, and what to do.

    Args:
        shares: Of :func:`null_shares`.
        views: The model's feature views by name.
        has_rows: Whether a dataset has any: where the spec says nothing, a feature whose source has none may be empty.
    """
    owners = {output: view for view in views.values() for output in view.outputs}
    found = []
    for name, share in shares.items():
        declared = model.max_null_of.get(name, model.max_null)
        bound = DEFAULT_MAX_NULL if declared is None else declared
        if share <= bound:
            continue
        view = owners.get(name)
        sources = view.reads if view is not None and view.kind == "materialized" else (model.label.dataset,)
        if declared is not None or any(map(has_rows, sources)):
            key = f"max_null_of.{name}" if name in model.max_null_of else "max_null"
            found.append(f"{name} is null in {share:.1%} of them ({key} {bound:g}). {_remedy(name, view, model)}")
    return found


def _remedy(name: str, view: FeatureView | None, model: Model) -> str:
    if view is None:
        return f"Look into {name} of {path_of('dataset', model.label.dataset)}, or name it under exclude."
    where = path_of("feature_view", view.name)
    if view.kind == "on_demand":
        return f"Look into {view.transform}, which computes it ({where})."
    return f"Run {view.name}.build for the past (a backfill over the keys of {view.reads[0]}), or look into {where}."
