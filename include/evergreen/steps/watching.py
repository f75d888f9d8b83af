"""Monitoring: score the period with what served, join the labels that have come, report drift."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evergreen.steps import bundles, closing, pages, ripening, staging, tables
from evergreen.steps.building import catch_up_views
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)


def monitor_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on how far the inputs have come, the tables' versions, who served, and the prediction log."""
    come = closing.arrivals(ctx)
    inputs = {**come._asdict(), "anyway": _anyway(ctx)}
    if come.awaited and not _anyway(ctx):
        return {"inputs": inputs}
    catch_up_views(ctx)
    logs = {name: ctx.lake.table(f"{name}/{ctx.name}").version() for name in ("predictions", "feedback")}
    return {"inputs": inputs, "tables": tables.versions(ctx, ctx.model), "scored": _scored(ctx), "logs": logs}


def monitor(ctx: StepContext) -> Outcome:
    """Scores the period's rows, point in time, with the champion at its start and the reference versions.

    It waits for no input that was skipped: it runs with what is there and says what is missing. Earlier periods whose
    labels have ripened since are judged again from their stored scores.
    """
    from evergreen.store.periods import Periods
    from evergreen.store.resources import Seen

    start, end = ctx.interval
    model, periods = ctx.model, Periods(ctx.store)
    come = closing.arrivals(ctx)
    obstacle = _obstacle(ctx, come)
    if obstacle is not None:
        periods.wait(ctx.name, ctx.as_of, start, end, obstacle)
        return Outcome(skip=obstacle)
    rows = tables.label_rows(ctx, model, known_by=end, event_from=start, event_to=end)
    scored = _scored(ctx) if rows.num_rows else {}
    frames = _frames(ctx, rows, scored)
    frame = frames[scored.get("champion")]
    scores, of_period = _score(ctx, frames, scored), {"column": "as_of", "value": ctx.as_of}
    ctx.lake.table(f"scores/{ctx.name}").replace(scores, **of_period, guard=ctx.refuse_overtaken)
    missing = come.skipped | dict.fromkeys(come.awaited, "it was not waited for")
    for name, why in missing.items():
        log.warning("Nothing of %s for %s: %s", name, ctx.as_of, why)
    periods.open(ctx.name, ctx.as_of, start, end, "; ".join(f"{name}: {why}" for name, why in missing.items()))
    judged = ripening.judge(ctx)
    Seen(ctx.store).note_as_of(ctx.name, ctx.as_of, ctx.as_of_time)
    log.info("Watched %s as of %s over %d rows", ctx.name, ctx.as_of, frame.num_rows)
    told = {"missing": closing.told(missing), "still_waiting": _still_waiting(ctx)}
    return Outcome({"frame": staging.put(ctx.lake, frame), "rows": frame.num_rows, **told, **judged})


def _obstacle(ctx: StepContext, come: closing.Arrivals) -> str | None:
    """Why the period cannot be watched yet, if it cannot."""
    if come.awaited and not _anyway(ctx):
        return (
            f"{ctx.name} waits for {', '.join(come.awaited)} as of {ctx.as_of}; to watch it without, trigger this DAG "
            f'with partition key {ctx.as_of} and conf {{"anyway": true}}'
        )
    nothing = tables.missing_views(ctx, ctx.model)
    if tables.version_of(ctx, tables.table_of(ctx, "dataset", ctx.model.label.dataset)) < 0:
        nothing.insert(0, ctx.model.label.dataset)
    if not nothing:
        return None
    reasons = "".join(f" ({name}: {why})" for name, why in closing.told(come.skipped).items())
    return f"{ctx.name} as of {ctx.as_of} cannot be watched: nothing of {', '.join(nothing)} yet{reasons}"


def _still_waiting(ctx: StepContext) -> list[str]:
    """Earlier periods that were never watched; the newest ones are named."""
    from evergreen.store.periods import Periods

    waiting = [each for each in Periods(ctx.store).in_state(ctx.name, "waiting") if each.as_of_time < ctx.as_of_time]
    for each in waiting[-closing.NAMED :]:
        log.warning("Still not watched: %s", each.note)
    return [each.as_of for each in waiting[-closing.NAMED :]]


def _anyway(ctx: StepContext) -> bool:
    return bool(ctx.inp.conf.get("anyway"))


def report_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on the period's frame and on the champion whose training it is compared with."""
    return {"monitor": ctx.inp.inputs["monitor"], "scored": _scored(ctx)}


def report(ctx: StepContext) -> Outcome:
    """Compares the period's features with what the champion was trained on; Evidently draws what matters at once."""
    from evergreen.monitoring.drift import compare
    from evergreen.store.decisions import Decisions

    scored = _scored(ctx)
    if "champion" not in scored:
        return Outcome({"drift": None, "reason": "there was no champion at the period's start"})
    if not ctx.inp.inputs["monitor"]["rows"]:
        return Outcome({"drift": None, "reason": "the period has no rows, which is neither drift nor none"})
    training = bundles.training_of(ctx, scored["champion"])
    columns = bundles.load(ctx, training.bundle).features
    frame, spec = ctx.inp.inputs["monitor"]["frame"], ctx.model.monitoring.drift
    reference, current = pages.rows(ctx.lake, training.training_set, columns, frame)
    result = compare(reference, current, spec, page="if it matters")
    path = f"reports/{ctx.name}/{ctx.as_of}/drift-{ctx.key[:12]}.html"
    if result.is_compared:
        pages.note(ctx.lake, path, training_set=training.training_set, columns=columns, frame=frame, spec=spec)
    if result.html is not None:
        pages.keep(ctx.lake, path, result)
    Decisions(ctx.store).record(
        kind="drift",
        resource=ctx.name,
        as_of=ctx.as_of,
        as_of_time=ctx.as_of_time,
        verdict=result.verdict,
        figures=result.figures,
        reasons=[*result.reasons, *_seams(ctx, training.record.workspace)],
        key=ctx.key,
        version=scored["champion"],
    )
    log.info("Compared %s as of %s with version %d: %s", ctx.name, ctx.as_of, scored["champion"], result.verdict)
    links = {"report": path} if result.is_compared else {}
    return Outcome({"drift": result.drifted, "report": path if links else None, "reasons": result.reasons}, links=links)


def _seams(ctx: StepContext, workspace: str) -> list[str]:
    """What a reader of a drift report must know: before and after a seam, rows mean different things."""
    return [
        f"{seam['dataset']} goes on in {seam['table']} under another definition from {seam['from']} on (a seam): "
        "what differs across it need not be drift"
        for seam in tables.seams(ctx, ctx.declared(workspace).models[ctx.name], workspace)
    ]


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


def _frames(ctx: StepContext, rows: pa.Table, scored: dict[str, int]) -> dict[int | None, pa.Table]:
    """The period's rows with the features of each scored version, by its own code and definitions.

    Without a champion, under ``None``, with those that the run's own workspace declares.
    """
    from evergreen.steps.frames import own_frame

    _, end = ctx.interval
    if not rows.num_rows:
        return {None: rows}
    if "champion" not in scored:
        return {None: tables.model_frame(ctx, ctx.model, ctx.workspace, ctx.inp.workspace, rows, known_by=end)}
    by_workspace: dict[str, pa.Table] = {}
    found: dict[int | None, pa.Table] = {}
    for version in sorted(set(scored.values())):
        record = bundles.training_of(ctx, version).record
        if record.workspace not in by_workspace:
            by_workspace[record.workspace] = own_frame(ctx, record, rows, known_by=end)
        found[version] = by_workspace[record.workspace]
    return found


def _score(ctx: StepContext, frames: Mapping[int | None, pa.Table], scored: dict[str, int]) -> pa.Table:
    """Predictions of every scored version for every row, labelled or not."""
    from evergreen.monitoring.performance import score_table

    predictions = {
        version: bundles.load(ctx, bundles.training_of(ctx, version).bundle).predict(frames[version])
        for version in set(scored.values())
    }
    return score_table(next(iter(frames.values())), scored, predictions, as_of=ctx.as_of)


MONITOR = Step(monitor, monitor_depends, keeps_rows=True)
REPORT = Step(report, report_depends)
