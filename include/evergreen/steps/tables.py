"""Published tables as team code and models see them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from evergreen.errors import NotReady
from evergreen.spec.model import Model
from evergreen.steps.context import StepContext

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.loading import Workspace

SYSTEM = ("_event_time", "_known_at", "_row_id", "_row_hash", "_deleted", "_as_of", "_commit")


def as_declared(table: pa.Table) -> pa.Table:
    """A team's own columns and ``known_at``, without the system's."""
    known_at = table["_known_at"]
    table = table.drop_columns([name for name in SYSTEM if name in table.column_names])
    return table if "known_at" in table.column_names else table.append_column("known_at", known_at)


def label_rows(
    ctx: StepContext, model: Model, *, known_by: datetime, event_from: datetime | None, event_to: datetime
) -> pa.Table:
    """Rows of the label's dataset as known at an instant, by event time; system columns included."""
    table = ctx.lake.table(f"datasets/{model.label.dataset}")
    if not table.exists():
        raise NotReady(f"{ctx.name} needs rows of {model.label.dataset}, of which nothing is published yet")
    return table.read(known_by=known_by, event_from=event_from, event_to=event_to)


def model_frame(
    ctx: StepContext, model: Model, workspace: Workspace, digest: str, rows: pa.Table, *, known_by: datetime
) -> pa.Table:
    """Labels and features of rows, each feature as it was known at the row's own prediction time."""
    from evergreen.features.frame import build

    return build(
        model,
        workspace,
        ctx.thawed(digest),
        rows=rows,
        read_versions=lambda view: ctx.lake.table(f"features/{view}").read_versions(known_by=known_by),
    )


def missing_views(ctx: StepContext, model: Model) -> list[str]:
    """Materialized views of a model of which nothing is published yet."""
    views = ctx.workspace.views
    return [
        name
        for name in model.features
        if views[name].kind == "materialized" and not ctx.lake.table(f"features/{name}").exists()
    ]


def versions(ctx: StepContext, model: Model) -> dict[str, int]:
    """Table versions that a model reads now; -1 where nothing is published."""
    views = ctx.workspace.views
    names = [f"datasets/{model.label.dataset}"]
    names += [f"features/{name}" for name in model.features if views[name].kind == "materialized"]
    return {name: ctx.lake.table(name).version() for name in names}
