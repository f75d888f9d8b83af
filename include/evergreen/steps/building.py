"""Feature building: build -> publish. Feature tables are row versions, like datasets."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from evergreen.steps import closing, staging, tables
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step

log = logging.getLogger(__name__)


def build_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on the versions of the tables it reads."""
    return {"tables": {name: ctx.lake.table(f"datasets/{name}").version() for name in ctx.view.reads}}


def build(ctx: StepContext) -> Outcome:
    """Runs the transform on rows as they were known at as_of, and checks and stages its output."""
    from evergreen.features.views import run

    start, end = ctx.interval
    missing = [name for name in ctx.view.reads if not ctx.lake.table(f"datasets/{name}").exists()]
    if missing:
        return closing.skipped(
            ctx, f"{ctx.name} cannot be built as of {ctx.as_of}: nothing of {', '.join(missing)} is there"
        )
    inputs = {
        name: tables.as_declared(
            ctx.lake.table(f"datasets/{name}").read(
                known_by=end,
                event_from=None if ctx.workspace.datasets[name].event_time is None else start - ctx.view.lookback,
                event_to=None if ctx.workspace.datasets[name].event_time is None else end,
            )
        )
        for name in ctx.view.reads
    }
    rows = run(ctx.view, ctx.root, inputs, start, end)
    log.info("Built %d rows of %s for %s", rows.num_rows, ctx.name, ctx.as_of)
    by_transform = (rows.schema.metadata or {}).get(b"known_at") == b"transform"
    return Outcome({"rows": staging.put(ctx.lake, rows), "count": rows.num_rows, "source_known_at": by_transform})


def publish_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on what was built."""
    if (reason := closing.why_nothing(ctx, "build")) is not None:
        return {"skipped": reason}
    return ctx.inp.inputs["build"]


def publish(ctx: StepContext) -> Outcome:
    """Appends the new and changed rows, exactly once."""
    from evergreen.lake.rows import with_system_columns
    from evergreen.store.resources import Seen

    if (reason := closing.why_nothing(ctx, "build")) is not None:
        return closing.nothing(ctx, reason)
    rows = staging.get(ctx.lake, ctx.inp.inputs["build"]["rows"])
    _, end = ctx.interval
    known_at = rows["known_at"].combine_chunks()
    versions = with_system_columns(
        rows.drop_columns(["known_at"]),
        identity=(*ctx.view.entity, ctx.view.timestamp),
        event_time=ctx.view.timestamp,
        known_at=known_at,
        as_of=ctx.as_of,
    )
    appended = ctx.lake.table(f"features/{ctx.name}").append_versions(
        versions,
        until=end,
        changed_known_at=end,
        source_known_at=ctx.inp.inputs["build"]["source_known_at"],
        full_snapshot=False,
        tag=ctx.key,
        point="publish.commit",
    )
    Seen(ctx.store).note_as_of(ctx.name, ctx.as_of, ctx.as_of_time)
    closing.published(ctx)
    figures = {"version": appended.version, "appended": appended.appended, "unchanged": appended.unchanged}
    log.info("Published %s as of %s: %s", ctx.name, ctx.as_of, figures)
    return Outcome(figures, event={"table": f"features/{ctx.name}", **figures})


BUILD = Step(build, build_depends)
PUBLISH = Step(publish, publish_depends)
