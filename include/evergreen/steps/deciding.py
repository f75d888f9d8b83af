"""The retraining decision: all causes are weighed here, each evaluation is recorded, the "no" too."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evergreen.steps import evidence, tables
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step, digest
from evergreen.steps.counting import LabelHistory

if TYPE_CHECKING:
    from evergreen.monitoring.policy import PolicyInputs

log = logging.getLogger(__name__)

MOST_TOLD = 100
"""At most so many requests are named when it rings."""


def decide_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on what was watched and on the ledger."""
    from evergreen.store.ledger import Ledger

    return {"inputs": ctx.inp.inputs, "seq": Ledger(ctx.store).seq(ctx.name)}


def decide(ctx: StepContext) -> Outcome:
    """Gathers the figures, asks the policy, records its answer and writes a request when it says so.

    What was recorded stands: a retry after the request was written finds that request, not a cool-down.
    """
    from evergreen.monitoring.policy import decide as policy
    from evergreen.store.decisions import Decisions
    from evergreen.store.requests import Requests

    decisions = Decisions(ctx.store)
    stood = decisions.by_key(ctx.key)
    if stood is None:
        inputs = gather(ctx)
        decision = policy(inputs)
        stood = decisions.record(
            kind="retraining",
            resource=ctx.name,
            as_of=ctx.as_of,
            as_of_time=ctx.as_of_time,
            verdict=decision.verdict,
            figures={**decision.figures, "version": inputs.version, "found": decision.found},
            reasons=decision.reasons,
            key=ctx.key,
            historic=decision.verdict == "historic",
        )
    verdict, reasons = stood.verdict, list(stood.reasons)
    log.info("Retraining of %s as of %s: %s", ctx.name, ctx.as_of, verdict)
    if verdict != "retrain":
        return Outcome({"verdict": verdict, "reasons": reasons})
    request = Requests(ctx.store).open(
        ctx.name,
        ctx.as_of,
        ctx.as_of_time,
        cause=",".join(stood.figures["found"]),
        reason="; ".join(reasons),
        dedupe_key=f"{ctx.name}:{ctx.as_of}:policy:{digest([ctx.inp.workspace, stood.figures['found']])[:16]}",
        evidence=stood.figures,
    )
    return Outcome({"verdict": verdict, "request": request.id, "reasons": reasons})


def ring(ctx: StepContext) -> Outcome:
    """Rings for the requests of this model that are open, whoever wrote them."""
    from evergreen.store.requests import Requests

    waiting = [request.id for request in Requests(ctx.store).open_of(ctx.name)]
    if not waiting:
        verdict = ctx.inp.inputs.get("decide", {})
        return Outcome(skip=f"no retraining of {ctx.name} is requested: {'; '.join(verdict.get('reasons', []))}")
    told = {"requests": waiting[-MOST_TOLD:], "open": len(waiting)}
    return Outcome(told, event=told)


def gather(ctx: StepContext) -> PolicyInputs:
    """Everything that the policy weighs, read from store and lake by the data clock.

    Of drift and decay that is what was found of the champion since it serves: what an earlier champion, or this one
    before another, was found to do says nothing about it.
    """
    from evergreen.monitoring.evidence import Value
    from evergreen.monitoring.policy import PolicyInputs
    from evergreen.registry.candidates import newest_verdict
    from evergreen.store.decisions import Decisions
    from evergreen.store.ledger import Ledger
    from evergreen.store.periods import Periods
    from evergreen.store.requests import Requests
    from evergreen.store.trainings import Trainings

    model, end = ctx.model, ctx.as_of_time
    requests = Requests(ctx.store).of(ctx.name)
    champion = Ledger(ctx.store).champion(ctx.name)
    version = None if champion is None else champion.version
    training = None if version is None else Trainings(ctx.store).by_version(ctx.name, version)
    history = LabelHistory(ctx)
    gate_value, values = None, []
    if champion is not None and version is not None and training is not None:
        gate = newest_verdict(training, Decisions(ctx.store).of(ctx.name, kind="gate"))
        gate_value = None if gate is None else gate.figures["candidate"].get(model.monitoring_metric)
        periods = Periods(ctx.store).of_champion(ctx.name, version, after=champion.as_of_time, until=end)
        values = [
            Value(row.as_of, row.value, row.n_labelled)
            for row in periods
            if row.value is not None and row.metric == model.monitoring_metric  # another one before the file was edited
        ]
    asked = evidence.asked(ctx, requests, version, history)
    trained = None if training is None else training.as_of_time
    return PolicyInputs(
        spec=model.retraining,
        metric=model.monitoring_metric,
        as_of_time=end,
        as_of=ctx.as_of,
        code=ctx.inp.workspace,
        version=version,
        champion_as_of=None if champion is None else champion.as_of_time,
        training_as_of=trained,
        gate_value=gate_value,
        values=values,
        windows=evidence.windows(ctx, champion),
        drift_windows=model.monitoring.drift.windows,
        asked=asked,
        labelled_from=history.begin,
        labelled_through=history.through,
        labelled_rows=history.labels_since(None),
        kept_back=model.kept_back,
        rows_since=history.rows_since(evidence.since(trained, asked, "new_rows")),
        labels_since=history.labels_since(evidence.since(trained, asked, "new_labels")),
        code_changed=None if training is None else training.workspace != ctx.inp.workspace,
        upstream_changed=_upstream_changed(ctx, evidence.baseline(training, asked))
        if model.retraining.upstream
        else None,
        tables=tuple(f"{name}@{number}" for name, number in tables.versions(ctx, model).items()),
        last_request_as_of=max((each.as_of_time for each in requests if each.as_of_time <= end), default=None),
        open_requests=sum(request.state in ("open", "claimed") for request in requests),
        min_rows=model.gate.min_rows,
    )


def _upstream_changed(ctx: StepContext, known: Mapping[str, int]) -> bool:
    """Whether rows that stood in these versions of the tables were corrected or withdrawn since.

    What was looked at and found to be new rows only is noted, so that the next period looks at its own.
    """
    from evergreen.lake.tables import Looked
    from evergreen.store.consumed import Consumed

    consumed = Consumed(ctx.store)
    for name, version in known.items():
        table = ctx.lake.table(name)
        if version < 0 or not table.exists() or table.version() == version:
            continue
        who, newest = f"{ctx.name} upstream", tables.version_of(ctx, name)
        looked = Looked.read(consumed.watermark(who, f"{name}@{version}"))
        if table.is_corrected(version, looked, known_by=ctx.as_of_time, whole=_is_whole(ctx, name), newest=newest):
            return True
        consumed.mark(who, f"{name}@{version}", Looked(newest, ctx.as_of_time).written())
    return False


def _is_whole(ctx: StepContext, table: str) -> bool:
    """Whether a table holds whole snapshots, as its definition says; what has none may."""
    from evergreen.store.definitions import Definitions

    definition = Definitions(ctx.store).of_table(table)
    return definition is None or ("event_time" in definition.document and definition.document["event_time"] is None)


DECIDE = Step(decide, decide_depends)
RING = Step(ring)
