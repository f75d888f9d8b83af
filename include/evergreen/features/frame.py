"""The frame that a model is trained, judged and asked with; see :mod:`evergreen.features.request` for the last.

Only declared request columns, the label and the system's own columns of the label's dataset are read: no other column
of a row that is to be predicted can reach a model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from evergreen.errors import DataError, NotReady
from evergreen.features import columns
from evergreen.features.join import point_in_time
from evergreen.features.on_demand import compute
from evergreen.features.signature import EVENT_TIME, PREDICTION_TIME, signature, views_of
from evergreen.spec.model import Model

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.feature_view import FeatureView
    from evergreen.spec.loading import Workspace

SYSTEM = ("_row_id", "_event_time", "_prediction_time", "_label", "_label_known_at")
"""Columns of a frame before the request's columns and the features."""


def build(
    model: Model,
    ws: Workspace,
    root: Path,
    *,
    rows: pa.Table,
    read_versions: Callable[[str], pa.Table | None],
    labelled: bool = True,
) -> pa.Table:
    """Labels and features of rows, each feature as it was known at the row's own prediction time.

    Args:
        model: The model.
        ws: What the workspace declares; its views and label dataset are used.
        root: Folder of the workspace, the one that holds ``features/``.
        rows: Rows of the label's dataset with ``_row_id``, ``_event_time`` and ``_known_at``.
        read_versions: All row versions of a materialized view's table by its name; ``None`` or NotReady when nothing
            is published.
        labelled: Whether the rows have the model's label; without it ``_label`` is null.

    Returns:
        A row per row, in order: ``_row_id``, ``_event_time``, ``_prediction_time`` (event time minus
        ``prediction_lead``), ``_label``, ``_label_known_at`` (null where the label is), the request columns, the
        outputs of all views, in the types of :mod:`evergreen.features.columns`.

    Raises:
        NotReady: When nothing is published of a view, naming all such.
        DataError: When rows, tables or transforms don't give what is declared.
        SpecError: When model, views and dataset don't fit together.
    """
    views = views_of(model, ws)
    tables = _tables(model, views, read_versions)
    frame = _own(model, ws, rows, labelled=labelled)
    request = request_table(frame, model.request)
    for name, view in views.items():
        if view.kind == "on_demand":
            for output, made in zip(view.outputs, compute(view, root, request).columns, strict=True):
                frame = frame.append_column(output, made)
            continue
        frame = look_up(frame, view, tables[name])
    return frame


def look_up(frame: pa.Table, view: FeatureView, versions: pa.Table) -> pa.Table:
    """Appends a materialized view's outputs as known at ``_prediction_time``.

    Raises:
        DataError: When the view's table lacks an output (it was built before that was declared) or a key.
    """
    place = f"table features/{view.name}"
    missing = [name for name in view.outputs if name not in versions.column_names]
    if missing:
        raise DataError(
            place,
            f"must have the columns {', '.join(missing)}, which features/{view.name}.yaml declares",
            remedy=f"Run {view.name}.build again (a backfill, for the past), so that they are there.",
        )
    outputs = list(view.outputs)
    frame = point_in_time(frame, "_prediction_time", versions, list(view.entity), outputs, view.ttl)
    for name in outputs:
        made = columns.cast(frame[name], view.outputs[name].type, f"{place} column {name}")
        frame = frame.set_column(frame.column_names.index(name), name, made)
    return frame


def request_table(frame: pa.Table, request: tuple[str, ...]) -> pa.Table:
    """What on-demand views read: the request columns, ``event_time`` and ``prediction_time``."""
    table = frame.select(list(request)).append_column(EVENT_TIME, frame["_event_time"])
    return table.append_column(PREDICTION_TIME, frame["_prediction_time"])


def _own(model: Model, ws: Workspace, rows: pa.Table, *, labelled: bool) -> pa.Table:
    """The columns that stand in the row itself."""
    import pyarrow as pa
    import pyarrow.compute as pc

    place = f"dataset {model.label.dataset}"
    needed = ["_row_id", "_event_time", "_known_at", *([model.label.column] if labelled else [])]
    missing = [name for name in needed if name not in rows.column_names]
    if missing:
        raise DataError(place, f"must have the columns {', '.join(missing)}, which model {model.name} reads")
    sig = signature(model, ws, rows.schema)
    label = rows[model.label.column] if labelled else pa.chunked_array([pa.nulls(rows.num_rows)])
    if pa.types.is_floating(label.type):
        label = pc.if_else(pc.is_nan(label), pa.scalar(None, label.type), label)
    event = columns.instants(rows["_event_time"], f"{place} column _event_time")
    lead = pa.scalar(model.prediction_lead, pa.duration("us"))
    fields = {
        "_row_id": rows["_row_id"],
        "_event_time": event,
        "_prediction_time": pc.subtract(event, lead),
        "_label": label,
        "_label_known_at": pc.if_else(label.is_valid(), rows["_known_at"], pa.scalar(None, rows["_known_at"].type)),
    }
    for name in model.request:
        fields[name] = columns.cast(rows[name], sig.request[name], f"{place} column {name}")
    return pa.table(fields)


def _tables(
    model: Model, views: dict[str, FeatureView], read_versions: Callable[[str], pa.Table | None]
) -> dict[str, pa.Table]:
    tables, missing = {}, []
    for name in (name for name, view in views.items() if view.kind == "materialized"):
        try:
            table = read_versions(name)
        except NotReady:
            table = None
        if table is None:
            missing.append(name)
        else:
            tables[name] = table
    if missing:
        raise NotReady(
            f"Model {model.name} needs feature tables of which nothing is published yet: {', '.join(missing)}. "
            f"Run {', '.join(f'{name}.build' for name in missing)} first."
        )
    return tables
