"""Ingestion: read -> validate -> publish. Rows read = good + quarantined + superseded, always."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError, Superseded
from evergreen.steps import closing, staging, tables
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step, digest

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.ingest.late import LateRows
    from evergreen.lake.readings import Span
    from evergreen.spec.base import DType
    from evergreen.steps.readings import StagedReadings
    from evergreen.store.coverage import Covered

log = logging.getLogger(__name__)


def read_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on the source's files, whether this is the first load, the table, and undeclared columns' types."""
    _ = ctx.interval  # a wrong key is told as such, rather than as a file that is missing or waited for
    return {"source": _source_mark(ctx), "first_load": is_first_load(ctx), "table": _table(ctx), "types": _types(ctx)}


def read(ctx: StepContext) -> Outcome:
    """Reads the interval's rows and stages the good and the broken ones."""
    from evergreen.ingest.files import Skipped
    from evergreen.steps.rebuilding import settle_history

    settle_history(ctx)
    standing = _newest_run(ctx)
    try:
        outcome = read_key(ctx)
    except Skipped as absent:
        return closing.skipped(ctx, str(absent))
    return outcome._replace(output={**outcome.output, "standing": standing})


def read_key(ctx: StepContext, *, is_current: bool = True) -> Outcome:
    """Reads one key under the context's definition.

    Args:
        is_current: Whether it is the resource's own: only then rows that came too late for every run are looked for.

    Raises:
        Skipped: When nothing is there and the source says to skip.
    """
    from evergreen.ingest.read import open_read

    start, end = ctx.interval
    first_load = is_first_load(ctx)
    with open_read(
        ctx.dataset,
        as_of=ctx.as_of,
        start=start,
        end=end,
        first_load=first_load,
        landing=ctx.settings.landing,
        types=_types(ctx),
        late=_late_rows(ctx) if is_current else None,
    ) as got:
        log.info(
            "Read %d rows of %s for %s: %d to validate, %d quarantined, %d superseded",
            got.rows_read, ctx.name, ctx.as_of, got.good.num_rows, got.quarantined.num_rows, got.superseded,
        )  # fmt: skip
        return Outcome(
            {
                "rows_read": got.rows_read,
                "rows_source": got.rows_source,
                "good": staging.put_all(ctx.lake, got.good.tables()),
                "quarantined": staging.put_all(ctx.lake, got.quarantined.tables()),
                "late": got.late,
                "superseded": got.superseded,
                "first_load": first_load,
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

    from evergreen.ingest.load import originals
    from evergreen.quality.quarantine import Parting
    from evergreen.quality.report import report_html
    from evergreen.quality.validate import validate as run_expectations
    from evergreen.quality.verdict import stop_reason

    before = ctx.inp.inputs["read"]
    report = f"reports/{ctx.name}/{ctx.as_of}/validation-{ctx.key[:12]}.html"
    broken = staging.get(ctx.lake, before["quarantined"])
    with staging.opened(ctx.lake, before["good"]) as rows:
        verdict = run_expectations(rows, ctx.dataset.expectations)
        ctx.lake.blobs.put_if_absent(report, report_html(verdict, title=f"{ctx.name} as of {ctx.as_of}").encode())
        stop = stop_reason(
            verdict,
            rows_read=before["rows_read"] - before["late"],
            # those that came too late are of other intervals, and say nothing of this one
            quarantined=broken.num_rows + len(verdict.bad_rows) - before["late"],
            max_quarantined=ctx.dataset.max_quarantined,
        )
        if stop is not None:
            raise DataError(
                f"{ctx.name} as of {ctx.as_of}",
                stop,
                remedy=f"Nothing was published. See {report}; repair the source and clear the task `read`.",
            )
        parting = Parting(rows.tables(), verdict)
        good = staging.put_all(ctx.lake, parting.good())
    source = {"as_of": ctx.as_of, "landing": ctx.settings.landing, "fingerprint": before["fingerprint"]}
    refused = parting.quarantined(ctx.as_of, partial(originals, ctx.dataset, **source))
    quarantined = staging.put(ctx.lake, pa.concat_tables([broken, refused]))
    output = {"good": good, "quarantined": quarantined, "verdict": verdict.to_dict()}
    return Outcome(output, links={"report": report})


def publish_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on what was validated and on what else was published for as_of: a file that is put back counts anew."""
    if (reason := closing.why_nothing(ctx, "read")) is not None:
        return {"skipped": reason}
    return {"content": _content(ctx), "after": published_after(ctx), "table": _table(ctx)}


def publish(ctx: StepContext) -> Outcome:
    """Builds the history that a changed definition lacks, then appends this key's rows, exactly once, and counts."""
    from evergreen.steps.first_known import dated
    from evergreen.steps.rebuilding import follow, note, predecessor, rebuild
    from evergreen.store.resources import Seen

    if (reason := closing.why_nothing(ctx, "read")) is not None:
        return closing.nothing(ctx, reason)
    _refuse_stale(ctx)
    rebuild(ctx)
    good, before = ctx.inp.inputs["validate"]["good"], predecessor(ctx)
    if before is not None:
        good, is_exact = dated(ctx, before, good, newest=ctx.as_of_time)
        if not is_exact:
            note(ctx, approximate=[ctx.as_of])
    figures = publish_key(ctx, good_rows=good)
    Seen(ctx.store).note_as_of(ctx.name, ctx.as_of, ctx.as_of_time)
    closing.published(ctx)
    log.info("Published %s as of %s: %s", ctx.name, ctx.as_of, figures)
    follow(ctx)
    event = {name: figures[name] for name in ("version", "appended", "unchanged")}
    return Outcome(figures, event={"table": _table(ctx), **event})


def publish_key(
    ctx: StepContext, *, good_rows: str, is_current: bool = True, changed_known_at: datetime | None = None
) -> dict[str, int]:
    """Appends quarantine and row versions of one key under the context's definition, and counts them.

    Args:
        good_rows: Path of the staged rows.
        is_current: Whether it is the resource's own definition, and not one that only lives on in older versions of
            models: those quarantine and count nothing.
        changed_known_at: Known time of what changed; the key's own end by default.
    """
    from evergreen.quality.quarantine import not_there
    from evergreen.steps.readings import Key, Publication, StagedReadings, Write, staged_rows
    from evergreen.store.coverage import Coverage
    from evergreen.store.row_counts import RowCounts

    first, checked = ctx.inp.inputs["read"], ctx.inp.inputs["validate"]
    table, dataset = _table(ctx), ctx.dataset
    standing = Coverage(ctx.store).get(table, ctx.as_of)
    broken = staging.get(ctx.lake, checked["quarantined"])
    _, end = ctx.interval

    def rows_of_other(covered: Covered, span: Span | None) -> pa.Table:
        return rows_of(ctx, staged_rows(ctx, covered.reading, dataset.event_time, span), covered.as_of)

    with staging.opened(ctx.lake, good_rows) as good:
        readings = StagedReadings(
            good,
            [Key(ctx.as_of, end, max(end, changed_known_at or end))],
            event_time=dataset.event_time,
            key_column=None,
            finish=lambda rows: rows_of(ctx, rows, ctx.as_of),
        )
        _refuse_losses(ctx, readings)
        publication = Publication(
            ctx,
            table,
            readings,
            Write(
                reading=good_rows,
                tag=ctx.key,
                rows_of=rows_of_other,
                expected={ctx.as_of: None if standing is None else standing.step_key},
                details={"first_load": first["first_load"], "fingerprint": first["fingerprint"]},
                source=dataset.known_at is not None,
                whole=dataset.event_time is None,
            ),
        )
        publication.plan()
        if is_current:
            quarantine = ctx.lake.table(f"quarantine/{ctx.name}")
            kept = quarantine.read(match={"as_of": ctx.as_of}) if quarantine.exists() else broken.schema.empty_table()
            quarantine.append_once(not_there(broken, kept), ctx.key, guard=publication.guard, point="quarantine.commit")
        appended = publication.append()
        good_count = good.num_rows
    figures = {
        "version": appended.version,
        "appended": appended.appended,
        "unchanged": appended.unchanged,
        "withdrawn": appended.tombstones + appended.restored,
        "good": good_count,
        "quarantined": broken.num_rows,
        "superseded": first["superseded"],
    }
    if is_current:
        RowCounts(ctx.store).put(
            ctx.name,
            ctx.as_of,
            ctx.as_of_time,
            step_key=ctx.key,
            rows_read=first["rows_read"],
            good=good_count,
            quarantined=broken.num_rows,
            superseded=first["superseded"],
            details={
                **{name: figures[name] for name in ("appended", "unchanged", "withdrawn")},
                "rows_source": first["rows_source"],
                "fingerprint": first["fingerprint"],
                "content": _content(ctx),
            },
        )
    publication.finish()
    return figures


def _refuse_losses(ctx: StepContext, readings: StagedReadings) -> None:
    """Refuses a whole snapshot that lacks too much of what lives."""
    from evergreen.ingest.losses import refuse_losses

    table, (_, end) = ctx.lake.table(_table(ctx)), ctx.interval
    if ctx.dataset.event_time is None and table.exists():
        [snapshot] = readings.between(None, None)
        refuse_losses(ctx.dataset, snapshot.rows, table.read([], known_by=end), as_of=ctx.as_of)


def published_after(ctx: StepContext) -> str | None:
    """The last run of this key that published other content: what is said again after it counts anew."""
    from evergreen.store.row_counts import RowCounts

    content = _content(ctx)
    others = [run for run in RowCounts(ctx.store).runs(ctx.name, ctx.as_of) if run.details.get("content") != content]
    return others[-1].step_key if others else None


def _source_mark(ctx: StepContext) -> str:
    """What tells whether the key's files are the same."""
    from evergreen.ingest.files import Skipped, fingerprint

    try:
        return fingerprint(ctx.dataset, as_of=ctx.as_of, landing=ctx.settings.landing)
    except Skipped:
        return "absent"


def _newest_run(ctx: StepContext) -> str | None:
    from evergreen.store.row_counts import RowCounts

    runs = RowCounts(ctx.store).runs(ctx.name, ctx.as_of)
    return runs[-1].step_key if runs else None


def _refuse_stale(ctx: StepContext) -> None:
    """Keeps a run that read before its file was repaired from bringing the old rows back when it is tried again.

    Raises:
        Superseded: When another run published the key since this one read it, and the source is not as it was read.
    """
    first, after = ctx.inp.inputs["read"], published_after(ctx)
    if after is None or after == first.get("standing") or _source_mark(ctx) == first["fingerprint"]:
        return
    raise Superseded(
        f"{ctx.name} as of {ctx.as_of} was read, then published by another run from a source that has changed since. "
        "Clear the task `read` to take what the source says now."
    )


def rows_of(ctx: StepContext, good: pa.Table, as_of: str) -> pa.Table:
    """Staged rows of a key with the lake's system columns."""
    from evergreen.lake.rows import with_system_columns

    known_at = good["__known_at"].combine_chunks()
    return with_system_columns(
        good.drop_columns([name for name in good.column_names if name.startswith("__")]),
        identity=ctx.dataset.identity,
        event_time=ctx.dataset.event_time,
        known_at=known_at,
        as_of=as_of,
    )


def _table(ctx: StepContext) -> str:
    return tables.table_of(ctx, "dataset", ctx.name)


def _content(ctx: StepContext) -> str:
    first, checked = ctx.inp.inputs["read"], ctx.inp.inputs["validate"]
    return digest([checked["good"], checked["quarantined"], first["rows_read"], first["superseded"]])


def is_first_load(ctx: StepContext) -> bool:
    """Whether the source has nothing before the key: no earlier key was ingested, and no file of one lies there."""
    from evergreen.ingest.earlier import has_earlier, is_keyed
    from evergreen.store.coverage import Coverage
    from evergreen.store.definitions import Definitions

    coverage = Coverage(ctx.store)
    names = {_table(ctx)}
    if is_keyed(ctx.dataset):  # else the file holds all keys: a new table loads them at once
        names |= {each.table for each in Definitions(ctx.store).of(ctx.name)}
    earliest = [first for name in names if (first := coverage.first(name)) is not None]
    if any(each.as_of_time < ctx.as_of_time for each in earliest):
        return False
    return not has_earlier(ctx.dataset, before=ctx.as_of_time, landing=ctx.settings.landing)


def _types(ctx: StepContext) -> dict[str, DType]:
    """Types of the published table's columns, as far as nobody declared them."""
    from evergreen.features.columns import dtype_of
    from evergreen.spec.base import SYSTEM_COLUMNS

    table = ctx.lake.table(_table(ctx))
    if ctx.dataset.columns is not None or not table.exists():
        return {}
    kinds = {field.name: dtype_of(field.type) for field in table.schema() if field.name not in SYSTEM_COLUMNS}
    return {name: kind for name, kind in sorted(kinds.items()) if kind is not None}


def _late_rows(ctx: StepContext) -> LateRows | None:
    """Finds what came too late in a source that all runs share."""
    from evergreen.ingest.earlier import is_keyed
    from evergreen.ingest.late import LateRows
    from evergreen.store.coverage import Coverage

    if is_keyed(ctx.dataset) or ctx.dataset.event_time is None:
        return None
    return LateRows(
        ctx.store,
        ctx.dataset,
        ctx.as_of,
        table=ctx.lake.table(_table(ctx)),
        quarantine=ctx.lake.table(f"quarantine/{ctx.name}"),
        published={covered.as_of for covered in Coverage(ctx.store).done(_table(ctx))},
    )


READ = Step(read, read_depends, keeps_rows=True)
VALIDATE = Step(validate, validate_depends, keeps_rows=True)
PUBLISH = Step(publish, publish_depends)
