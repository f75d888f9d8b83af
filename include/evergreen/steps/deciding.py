"""The retraining decision: all causes are weighed here, each evaluation is recorded, the "no" too."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from evergreen.steps import evidence, tables
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step, digest

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
    history = label_history(ctx)
    gate_value, values = None, []
    if champion is not None and version is not None and training is not None:
        gate = newest_verdict(training, Decisions(ctx.store).of(ctx.name, kind="gate"))
        gate_value = None if gate is None else gate.figures["candidate"].get(model.monitoring_metric)
        periods = Periods(ctx.store).of_champion(ctx.name, version, after=champion.as_of_time, until=end)
        values = [Value(row.as_of, row.value, row.n_labelled) for row in periods if row.value is not None]
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
        labelled_from=history["from"],
        labelled_through=history["through"],
        labelled_rows=history["labels_since"](None),
        kept_back=model.kept_back,
        rows_since=history["rows_since"](evidence.since(trained, asked, "new_rows")),
        labels_since=history["labels_since"](evidence.since(trained, asked, "new_labels")),
        code_changed=None if training is None else training.workspace != ctx.inp.workspace,
        upstream_changed=_upstream_changed(ctx, evidence.baseline(training, asked))
        if model.retraining.upstream
        else None,
        tables=tuple(f"{name}@{number}" for name, number in tables.versions(ctx, model).items()),
        last_request_as_of=max((each.as_of_time for each in requests if each.as_of_time <= end), default=None),
        open_requests=sum(request.state in ("open", "claimed") for request in requests),
        min_rows=model.gate.min_rows,
    )


def label_history(ctx: StepContext) -> dict[str, Any]:
    """Span of the labelled rows known by as_of, and counters of rows newer than an instant."""
    import pyarrow as pa
    import pyarrow.compute as pc

    model, end = ctx.model, ctx.as_of_time
    table = tables.table_of(ctx, "dataset", model.label.dataset)
    rows = tables.read(ctx, table, [model.label.column], known_by=end, event_to=end)
    labelled = rows.filter(pc.is_valid(rows[model.label.column]))
    span = pc.min_max(labelled["_event_time"]).as_py()
    if span["min"] is not None:  # a history counts from the local midnight of its first day
        local = span["min"].astimezone(ZoneInfo(ctx.driver.timezone))
        span["min"] = local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)

    def since(table: pa.Table) -> Any:
        def count(moment: Any) -> int:
            if moment is None:
                return int(table.num_rows)
            bound = pa.scalar(moment, table["_event_time"].type)
            return int(pc.sum(pc.greater_equal(table["_event_time"], bound)).as_py() or 0)

        return count

    return {"from": span["min"], "through": span["max"], "rows_since": since(rows), "labels_since": since(labelled)}


def _upstream_changed(ctx: StepContext, known: Mapping[str, int]) -> bool:
    """Whether rows that stood in these versions of the tables were corrected or withdrawn since."""
    import pyarrow.compute as pc

    for name, version in known.items():
        table = ctx.lake.table(name)
        if version < 0 or not table.exists() or table.version() == version:
            continue
        before = table.read_versions([], version=version)
        after = table.read_versions([], known_by=ctx.as_of_time)
        since = after.filter(pc.greater(after["_commit"], pc.max(before["_commit"])))
        if pc.any(pc.is_in(since["_row_id"], value_set=before["_row_id"].combine_chunks())).as_py():
            return True
    return False


DECIDE = Step(decide, decide_depends)
RING = Step(ring)
