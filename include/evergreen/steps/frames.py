"""What a version is judged and watched on: rows of today, features by the version's own code and definitions."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from evergreen.spec.model import Model
from evergreen.steps import lookups, tables
from evergreen.steps.building import catch_up
from evergreen.steps.context import StepContext

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.store.trainings import Training

log = logging.getLogger(__name__)


def own_frame(ctx: StepContext, training: Training, rows: pa.Table, *, known_by: datetime) -> pa.Table:
    """The features of rows as a version computes them: its views, its on-demand code, its definitions.

    Always from the version's own frozen files, never because names happen to be equal. Rows and identities are the
    caller's; what a caller of the gateway sends is taken from the version's own definition of the label's dataset
    where that is another one and holds the row.

    Args:
        training: Of the version.
        rows: Rows of the label's dataset as the run's own workspace defines it, with system columns.
        known_by: Nothing known later is read.

    Returns:
        A row per row, in order, as :func:`evergreen.features.frame.build` gives it, without labels.

    Raises:
        NotReady: When nothing is published of one of its tables.
        DataError: When rows do not hold what the version is asked with.
    """
    from evergreen.features.frame import build

    digest = training.workspace
    workspace = ctx.declared(digest)
    model = workspace.models[ctx.name]
    for name in tables.materialized(workspace, model):
        if tables.table_of(ctx, "feature_view", name, digest) not in ctx.versions:
            catch_up(ctx, name, digest)

    rows = _asked_with(ctx, model, digest, rows, known_by)
    read_versions = lookups.reader(ctx, model, workspace, digest, rows, known_by=known_by)
    return build(model, workspace, ctx.thawed(digest), rows=rows, read_versions=read_versions, labelled=False)


def _asked_with(ctx: StepContext, model: Model, digest: str, rows: pa.Table, known_by: datetime) -> pa.Table:
    """The rows with the request columns of the version's own definition of the label's dataset."""
    import pyarrow as pa
    import pyarrow.compute as pc

    own = tables.table_of(ctx, "dataset", model.label.dataset, digest)
    today = tables.table_of(ctx, "dataset", ctx.model.label.dataset)
    if own == today or tables.version_of(ctx, own) < 0 or not rows.num_rows:
        return rows
    schema = ctx.lake.table(own).schema()
    wanted = [name for name in model.request if name in schema.names]
    span = pc.min_max(rows["_event_time"]).as_py()
    theirs = tables.read(ctx, own, wanted, known_by=known_by, event_from=span["min"])
    at = pc.index_in(rows["_row_id"], value_set=theirs["_row_id"].combine_chunks())
    log.info("%d of %d rows are asked with as %s says them", len(at) - at.null_count, len(at), own)
    for name in wanted:
        column = theirs[name].take(at)
        if name in rows.column_names:
            if rows[name].type == column.type:
                column = pc.if_else(pc.is_valid(at), column, rows[name])
            rows = rows.drop_columns([name])
        rows = rows.append_column(name, column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column]))
    return rows
