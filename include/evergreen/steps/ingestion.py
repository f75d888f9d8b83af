"""Ingestion: read -> validate -> publish. Rows read = good + quarantined + superseded, always."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from evergreen.errors import DataError, Superseded
from evergreen.steps import closing, staging
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step, digest

log = logging.getLogger(__name__)


def read_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on the content of the source's files and on whether this is the first load."""
    from evergreen.ingest.files import Skipped, fingerprint

    _ = ctx.interval  # a wrong key is told as such, rather than as a file that is missing or waited for
    try:
        mark = fingerprint(ctx.dataset, as_of=ctx.as_of, landing=ctx.settings.landing)
    except Skipped:
        mark = "absent"
    return {"source": mark, "first_load": _is_first_load(ctx)}


def read(ctx: StepContext) -> Outcome:
    """Reads the interval's rows and stages the good and the broken ones."""
    from evergreen.ingest.files import Skipped
    from evergreen.ingest.read import read as read_source

    start, end = ctx.interval
    try:
        got = read_source(
            ctx.dataset,
            as_of=ctx.as_of,
            start=start,
            end=end,
            first_load=_is_first_load(ctx),
            landing=ctx.settings.landing,
        )
    except Skipped as absent:
        return closing.skipped(ctx, str(absent))
    log.info(
        "Read %d rows of %s for %s: %d to validate, %d quarantined, %d superseded",
        got.rows_read, ctx.name, ctx.as_of, got.good.num_rows, got.quarantined.num_rows, got.superseded,
    )  # fmt: skip
    return Outcome(
        {
            "rows_read": got.rows_read,
            "rows_source": got.rows_source,
            "good": staging.put(ctx.lake, got.good),
            "quarantined": staging.put(ctx.lake, got.quarantined),
            "superseded": got.superseded,
            "fingerprint": got.fingerprint,
            "files": len(got.files),
        }
    )


def validate_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on what was read."""
    return ctx.inp.inputs["read"]


def validate(ctx: StepContext) -> Outcome:
    """Runs the expectations; broken rows join the quarantine, a broken whole stops the run."""
    import pyarrow as pa

    from evergreen.quality.quarantine import split
    from evergreen.quality.report import report_html
    from evergreen.quality.validate import validate as run_expectations
    from evergreen.quality.verdict import stop_reason

    before = ctx.inp.inputs["read"]
    rows = staging.get(ctx.lake, before["good"])
    broken = staging.get(ctx.lake, before["quarantined"])
    verdict = run_expectations(rows, ctx.dataset.expectations)
    good, refused = split(rows, verdict, as_of=ctx.as_of)
    broken = pa.concat_tables([broken, refused])
    html = report_html(verdict, title=f"{ctx.name} as of {ctx.as_of}")
    report = f"reports/{ctx.name}/{ctx.as_of}/validation-{ctx.key[:12]}.html"
    ctx.lake.blobs.put_if_absent(report, html.encode())
    stop = stop_reason(
        verdict,
        rows_read=before["rows_read"],
        quarantined=broken.num_rows,
        max_quarantined=ctx.dataset.max_quarantined,
    )
    if stop is not None:
        raise DataError(
            f"{ctx.name} as of {ctx.as_of}",
            stop,
            remedy=f"Nothing was published. See {report}; repair the source and clear the task `read`.",
        )
    return Outcome(
        {
            "good": staging.put(ctx.lake, good),
            "quarantined": staging.put(ctx.lake, broken),
            "verdict": verdict.to_dict(),
        },
        links={"report": report},
    )


def publish_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on what was validated and on what else was published for as_of: a file that is put back counts anew."""
    from evergreen.store.row_counts import RowCounts

    if (reason := closing.why_nothing(ctx, "read")) is not None:
        return {"skipped": reason}
    content = _content(ctx)
    others = [run for run in RowCounts(ctx.store).runs(ctx.name, ctx.as_of) if run.details.get("content") != content]
    return {"content": content, "after": others[-1].step_key if others else None}


def _guard(ctx: StepContext) -> Callable[[], None]:
    """Keeps a process that hung until the source was repaired from bringing the old rows back."""
    planned = publish_depends(ctx)

    def check() -> None:
        if publish_depends(ctx) != planned:
            raise Superseded(f"{ctx.name} as of {ctx.as_of} was published from a newer state of its source meanwhile.")

    return check


def publish(ctx: StepContext) -> Outcome:
    """Appends quarantine and row versions, exactly once, and counts."""
    from evergreen.lake.rows import with_system_columns
    from evergreen.quality.quarantine import not_there
    from evergreen.store.resources import Seen
    from evergreen.store.row_counts import RowCounts

    if (reason := closing.why_nothing(ctx, "read")) is not None:
        return closing.nothing(ctx, reason)
    first, checked = ctx.inp.inputs["read"], ctx.inp.inputs["validate"]
    guard = _guard(ctx)
    good = staging.get(ctx.lake, checked["good"])
    broken = staging.get(ctx.lake, checked["quarantined"])
    _, end = ctx.interval
    dataset = ctx.dataset
    quarantine = ctx.lake.table(f"quarantine/{ctx.name}")
    kept = quarantine.read(match={"as_of": ctx.as_of}) if quarantine.exists() else broken.schema.empty_table()
    quarantine.append_once(not_there(broken, kept), ctx.key, guard=guard, point="quarantine.commit")
    known_at = good["__known_at"].combine_chunks()
    rows = with_system_columns(
        good.drop_columns(["__known_at"]),
        identity=dataset.identity,
        event_time=dataset.event_time,
        known_at=known_at,
        as_of=ctx.as_of,
    )
    appended = ctx.lake.table(f"datasets/{ctx.name}").append_versions(
        rows,
        until=end,
        changed_known_at=end,
        source_known_at=dataset.known_at is not None,
        full_snapshot=dataset.event_time is None,
        as_of=ctx.as_of,
        tag=ctx.key,
        guard=guard,
        point="publish.commit",
    )
    RowCounts(ctx.store).put(
        ctx.name,
        ctx.as_of,
        ctx.as_of_time,
        step_key=ctx.key,
        rows_read=first["rows_read"],
        good=good.num_rows,
        quarantined=broken.num_rows,
        superseded=first["superseded"],
        details={
            "appended": appended.appended,
            "unchanged": appended.unchanged,
            "rows_source": first["rows_source"],
            "content": _content(ctx),
        },
    )
    Seen(ctx.store).note_as_of(ctx.name, ctx.as_of, ctx.as_of_time)
    closing.published(ctx)
    figures = {"version": appended.version, "appended": appended.appended, "unchanged": appended.unchanged}
    log.info("Published %s as of %s: %s", ctx.name, ctx.as_of, figures)
    return Outcome(
        {**figures, "good": good.num_rows, "quarantined": broken.num_rows, "superseded": first["superseded"]},
        event={"table": f"datasets/{ctx.name}", **figures},
    )


def _content(ctx: StepContext) -> str:
    first, checked = ctx.inp.inputs["read"], ctx.inp.inputs["validate"]
    return digest([checked["good"], checked["quarantined"], first["rows_read"], first["superseded"]])


def _is_first_load(ctx: StepContext) -> bool:
    from evergreen.store.row_counts import RowCounts

    earliest = RowCounts(ctx.store).earliest_as_of_time(ctx.name)
    return earliest is None or earliest >= ctx.as_of_time


READ = Step(read, read_depends)
VALIDATE = Step(validate, validate_depends)
PUBLISH = Step(publish, publish_depends)
