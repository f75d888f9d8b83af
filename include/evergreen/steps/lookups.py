"""What a point-in-time look-up must read of a feature table: not the whole of it.

With a TTL that is what the TTL reaches. Without one, the newest row of an entity may lie anywhere before the first
query: a checkpoint holds, for the start of a month, the row of each entity that a look-up then finds, and only what
happened, was known or was committed after it is read from the table. A checkpoint is a function of the table's commit
and of its moment; whoever wants one that is not there makes it, from the one before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from evergreen.spec.model import Model
from evergreen.steps import staging, tables
from evergreen.steps.context import StepContext

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.lake.tables import Table
    from evergreen.spec.feature_view import FeatureView
    from evergreen.spec.loading import Workspace
    from evergreen.store.checkpoints import Checkpoint

log = logging.getLogger(__name__)

MANY_TORN = 1000
"""With more keys than this whose past was rewritten, the whole table is read."""
ROWS_AT_ONCE = 1_000_000
"""Row versions that are gone through at once when a table gets its first checkpoint."""
_TICK = timedelta(microseconds=1)


def reader(
    ctx: StepContext, model: Model, workspace: Workspace, digest: str, rows: pa.Table, *, known_by: datetime
) -> Callable[[str], pa.Table]:
    """Gives, by a view's name, the row versions that look-ups for rows of the label's dataset need.

    Args:
        ctx: Of the step, which reads each table at one version.
        model: Whose prediction times count.
        workspace: What the frozen files declare; ``digest`` is theirs.
        rows: With ``_event_time``.
        known_by: Nothing known later is read.
    """
    import pyarrow.compute as pc

    span = pc.min_max(rows["_event_time"]).as_py()
    asked = None if span["min"] is None else (span["min"] - model.prediction_lead, span["max"] - model.prediction_lead)

    def versions_of(view: str) -> pa.Table:
        table = tables.table_of(ctx, "feature_view", view, digest)
        return _versions(ctx, table, workspace.views[view], asked, known_by)

    return versions_of


def _versions(
    ctx: StepContext, table: str, view: FeatureView, asked: tuple[datetime, datetime] | None, known_by: datetime
) -> pa.Table:
    from evergreen.store.checkpoints import Checkpoints

    version = tables.published(ctx, table)
    lake = ctx.lake.table(table)
    if asked is None:
        return lake.schema().empty_table()
    first, until = asked[0], asked[1] + _TICK
    if view.ttl is not None:
        return tables.read(ctx, table, latest=False, known_by=known_by, event_from=first - view.ttl, event_to=until)
    found = Checkpoints(ctx.store).newest(table, by=min(first, known_by), commit=version)
    rows = None if found is None else _since(ctx, lake, found, list(view.entity), version, known_by, until)
    if rows is None:
        rows = tables.read(ctx, table, latest=False, known_by=known_by, event_to=until)
        if found is not None:  # so much of its past was rewritten that it is of no use any more
            _keep(ctx, lake, view, rows, found.moment, version)
    return rows


def ensure(ctx: StepContext, table: str, view: FeatureView) -> None:
    """Makes the checkpoint of the month's start that lies before the run's as_of, unless it is there.

    Nothing is made for a view with a TTL, nor of a table that has no row from before that month.
    """
    from evergreen.store.checkpoints import Checkpoints

    checkpoints = Checkpoints(ctx.store)
    moment = ctx.as_of_time.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if view.ttl is not None or checkpoints.has(table, moment):
        return
    lake = ctx.lake.table(table)
    version = lake.version()
    known = checkpoints.newest(table, by=moment, commit=version)
    until = moment + _TICK
    rows = None if known is None else _since(ctx, lake, known, list(view.entity), version, moment, until)
    if rows is None:
        rows = _condensed(lake, list(view.entity), moment, version)
    _keep(ctx, lake, view, rows, moment, version)


def _condensed(lake: Table, entity: list[str], moment: datetime, version: int) -> pa.Table:
    """The newest rows at an instant of a table that has no checkpoint yet, found by going through its time in parts.

    All versions of a row have one event time, so that a part tells which of its rows live; of those of several parts
    the latest counts.
    """
    import pyarrow as pa

    from evergreen.features.join import newest_by

    extent, until = lake.extent(), moment + _TICK
    if extent is None or extent[0] >= until:
        return lake.schema().empty_table()
    first, _, rows = extent
    kept: list[pa.Table] = []
    parts = rows // ROWS_AT_ONCE + 1
    marks = [first + number * (until - first) / parts for number in range(parts)]
    for begin, end in pairwise([*marks, until]):
        part = lake.read_versions(known_by=moment, event_from=begin, event_to=end, version=version)
        kept = [newest_by(pa.concat_tables([*kept, part]), entity, moment)]
    return kept[0]


def _keep(ctx: StepContext, lake: Table, view: FeatureView, rows: pa.Table, moment: datetime, version: int) -> None:
    """Makes the checkpoint of an instant from versions that hold all of its past."""
    from evergreen.features.join import newest_by
    from evergreen.store.checkpoints import Checkpoints

    newest = newest_by(rows, list(view.entity), moment)
    if newest.num_rows and not ctx.is_overtaken():  # else the next build makes it
        path = staging.put(ctx.lake, newest)
        Checkpoints(ctx.store).add(lake.name, moment, version, path, newest.num_rows)
        log.info("Checkpoint of %s at %s: %d rows of %d versions", lake.name, moment, newest.num_rows, rows.num_rows)


def _since(
    ctx: StepContext,
    lake: Table,
    checkpoint: Checkpoint,
    entity: Sequence[str],
    version: int,
    known_by: datetime,
    event_to: datetime,
) -> pa.Table | None:
    """A checkpoint's rows and what came after it; ``None`` where so much of the past was rewritten that it is no use.

    Of an entity whose past was rewritten after the checkpoint (a row from before it was deleted, or became known of
    before it) everything is read: the row that now counts may be none of the checkpoint's.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kept = staging.get(ctx.lake, checkpoint.path)
    after = lake.versions_after(
        checkpoint.moment, checkpoint.commit, known_by=known_by, event_to=event_to, version=version
    )
    at = pa.scalar(checkpoint.moment, pa.timestamp("us", tz="UTC"))
    is_past = pc.less_equal(after["_event_time"], at)
    is_torn = pc.and_(is_past, pc.or_(after["_deleted"], pc.less_equal(after["_known_at"], at)))
    torn = after.filter(is_torn)
    if not torn.num_rows:
        return _joined([kept, after])
    keys = pc.unique(torn[entity[0]]) if entity else None
    if keys is None or len(keys) > MANY_TORN or keys.null_count:
        return None
    whole = lake.read_versions(
        match={entity[0]: keys.to_pylist()}, known_by=known_by, event_to=event_to, version=version
    )
    log.info("%d keys of %s had their past rewritten since %s", len(keys), lake.name, checkpoint.moment)
    return _joined([_without(kept, entity[0], keys), _without(after, entity[0], keys), whole])


def _without(rows: pa.Table, column: str, keys: pa.Array) -> pa.Table:
    import pyarrow.compute as pc

    return rows.filter(pc.invert(pc.is_in(rows[column], value_set=keys)))


def _joined(parts: Sequence[pa.Table]) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables(parts, promote_options="default")
