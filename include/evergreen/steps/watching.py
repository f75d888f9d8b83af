"""Monitoring: score the period with what served, join the labels that have come, report drift."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.steps import bundles, staging, tables
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)


def monitor_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on the tables' versions, on who served, and on the prediction log."""
    logs = {name: ctx.lake.table(f"{name}/{ctx.name}").version() for name in ("predictions", "feedback")}
    return {"tables": tables.versions(ctx, ctx.model), "scored": _scored(ctx), "logs": logs}


def monitor(ctx: StepContext) -> Outcome:
    """Scores the period's rows, point in time, with the champion at its start and the reference versions.

    Periods whose last labels may have come since are judged again from their stored scores.
    """
    from evergreen.monitoring.performance import measure
    from evergreen.store.periods import Periods
    from evergreen.store.resources import Seen

    start, end = ctx.interval
    model = ctx.model
    missing = tables.missing_views(ctx, model)
    if missing:
        return Outcome(skip=f"{ctx.name} as of {ctx.as_of} cannot be watched: nothing of {', '.join(missing)} yet")
    rows = tables.label_rows(ctx, model, known_by=end, event_from=start, event_to=end)
    frame = tables.model_frame(ctx, model, ctx.workspace, ctx.inp.workspace, rows, known_by=end)
    scores = ctx.lake.table(f"scores/{ctx.name}")
    scored = _scored(ctx)
    scores.replace(_score(ctx, frame, scored), column="as_of", value=ctx.as_of)
    periods = Periods(ctx.store)
    newest = Seen(ctx.store).newest(ctx.name)
    later = newest is not None and newest[1] > ctx.as_of_time  # a backfill knows fewer labels than what stands
    judged = {row.as_of for row in periods.of(ctx.name)}
    if not scored and ctx.as_of not in judged:
        periods.replace(ctx.name, ctx.as_of, ctx.as_of_time, rows=[])
    figures: dict[str, Any] = {}
    multiclass = set(scored.values()) if model.task == "multiclass" else set()
    classes = {version: bundles.load(ctx, bundles.training_of(ctx, version).bundle).classes for version in multiclass}
    logged, feedback = _plain(ctx, "predictions"), _plain(ctx, "feedback")
    for as_of, (begin, finish) in _open_periods(ctx).items():
        labels = tables.label_rows(ctx, model, known_by=end, event_from=begin, event_to=finish)
        measured = measure(
            task=model.task,
            metric=model.monitoring_metric,
            scores=scores.read(match={"as_of": as_of}),
            labels=labels,
            label=model.label.column,
            mature_by=end - model.label.delay,
            min_labels=model.monitoring.min_labels,
            classes=classes,
            logged=logged,
            feedback=feedback,
        )
        if measured and not (later and as_of in judged):
            periods.replace(ctx.name, as_of, finish, rows=[row.as_dict() for row in measured])
        if as_of == ctx.as_of:
            figures = {f"{row.role}_{row.version}": row.value for row in measured}
    Seen(ctx.store).note_as_of(ctx.name, ctx.as_of, ctx.as_of_time)
    log.info("Watched %s as of %s over %d rows: %s", ctx.name, ctx.as_of, frame.num_rows, figures)
    return Outcome({"frame": staging.put(ctx.lake, frame), "rows": frame.num_rows, "figures": figures})


def report_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on the period's frame and on the champion whose training it is compared with."""
    return {"monitor": ctx.inp.inputs["monitor"], "scored": _scored(ctx)}


def report(ctx: StepContext) -> Outcome:
    """Compares the period's features with what the champion was trained on (Evidently)."""
    from evergreen.features.signature import feature_columns
    from evergreen.lake import trainingsets
    from evergreen.monitoring.drift import compare
    from evergreen.store.decisions import Decisions

    scored = _scored(ctx)
    if "champion" not in scored:
        return Outcome({"drift": None, "reason": "there was no champion at the period's start"})
    training = bundles.training_of(ctx, scored["champion"])
    reference = trainingsets.get(ctx.lake, training.training_set)
    current = staging.get(ctx.lake, ctx.inp.inputs["monitor"]["frame"])
    columns = [
        name
        for name in feature_columns(ctx.model, ctx.workspace)
        if name in reference.column_names and name in current.column_names
    ]
    result = compare(reference.select(columns), current.select(columns), ctx.model.monitoring.drift)
    path = f"reports/{ctx.name}/{ctx.as_of}/drift-{ctx.key[:12]}.html"
    if result.html is not None:
        ctx.lake.blobs.put_if_absent(path, result.html.encode())
    Decisions(ctx.store).record(
        kind="drift",
        resource=ctx.name,
        as_of=ctx.as_of,
        as_of_time=ctx.as_of_time,
        verdict={True: "drift", False: "no drift", None: "cannot judge"}[result.drifted],
        figures=result.figures,
        reasons=result.reasons,
        key=ctx.key,
        version=scored["champion"],
    )
    log.info("Compared %s as of %s with version %d: drift %s", ctx.name, ctx.as_of, scored["champion"], result.drifted)
    links = {"report": path} if result.html is not None else {}
    return Outcome({"drift": result.drifted, "report": path if links else None, "reasons": result.reasons}, links=links)


def _scored(ctx: StepContext) -> dict[str, int]:
    """Role -> version of what is scored: the champion at the period's start, and the references."""
    from evergreen.store.ledger import Ledger

    ledger = Ledger(ctx.store)
    start, _ = ctx.interval
    champion = ledger.champion_at(ctx.name, start)
    if champion is None or champion.version is None:
        return {}
    roles = {"champion": champion.version}
    for reference in ctx.model.monitoring.reference_versions:
        if reference == "first":
            first = ledger.first(ctx.name)
            if first is not None and first.version is not None and first.as_of_time <= start:
                roles["first"] = first.version
        else:
            roles[f"version_{reference}"] = reference
    return roles


def _score(ctx: StepContext, frame: pa.Table, scored: dict[str, int]) -> pa.Table:
    """Predictions of every scored version for every row, labelled or not."""
    from evergreen.monitoring.performance import score_table

    frames = {ctx.inp.workspace: frame}
    predictions = {}
    for version in sorted(set(scored.values())):
        training = bundles.training_of(ctx, version)
        loaded = bundles.load(ctx, training.bundle)
        if not set(loaded.features) <= set(frame.column_names) and training.record.workspace not in frames:
            start, end = ctx.interval
            workspace = ctx.declared(training.record.workspace)
            model = workspace.models[ctx.name]
            rows = tables.label_rows(ctx, model, known_by=end, event_from=start, event_to=end)
            frames[training.record.workspace] = tables.model_frame(
                ctx, model, workspace, training.record.workspace, rows, known_by=end
            )
        predictions[version] = loaded.predict(frames.get(training.record.workspace, frame))
    return score_table(frame, scored, predictions, as_of=ctx.as_of)


def _open_periods(ctx: StepContext) -> dict[str, tuple[datetime, datetime]]:
    """This period, the one before, and earlier ones that had rows without a mature label when last judged.

    The one before always: what the gateway answered in its last seconds is shipped after it was judged.
    """
    from evergreen.spec.timing import interval_of, key_of

    start, end = ctx.interval
    periods = {ctx.as_of: (start, end)}
    delay = ctx.model.label.delay + ctx.driver.late_window
    cron, zone = ctx.driver.schedule.cron, ctx.driver.timezone
    finish = start
    while finish + delay >= start and len(periods) < 32:
        key = key_of(cron, zone, finish)
        periods[key] = interval_of(cron, zone, key)
        finish = periods[key][0]
    return dict(sorted(periods.items(), key=lambda item: item[1]))


def _plain(ctx: StepContext, kind: str) -> pa.Table | None:
    table = ctx.lake.table(f"{kind}/{ctx.name}")
    return table.read() if table.exists() else None


MONITOR = Step(monitor, monitor_depends)
REPORT = Step(report, report_depends)
