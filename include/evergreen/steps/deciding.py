"""The retraining decision: all causes are weighed here, each evaluation is recorded, the "no" too."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step

log = logging.getLogger(__name__)


def decide_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on what was watched and on the ledger."""
    from evergreen.store.ledger import Ledger

    return {"inputs": ctx.inp.inputs, "seq": Ledger(ctx.store).seq(ctx.name)}


def decide(ctx: StepContext) -> Outcome:
    """Gathers the figures, asks the policy, records its answer and writes a request when it says so."""
    from evergreen.monitoring.policy import decide as policy
    from evergreen.store.decisions import Decisions
    from evergreen.store.requests import Requests

    inputs = gather(ctx)
    decision = policy(inputs)
    Decisions(ctx.store).record(
        kind="retraining",
        resource=ctx.name,
        as_of=ctx.as_of,
        as_of_time=ctx.as_of_time,
        verdict=decision.verdict,
        figures=decision.figures,
        reasons=decision.reasons,
        key=ctx.key,
        historic=decision.verdict == "historic",
    )
    log.info("Retraining of %s as of %s: %s", ctx.name, ctx.as_of, decision.verdict)
    if decision.verdict != "retrain":
        return Outcome({"verdict": decision.verdict, "reasons": decision.reasons})
    request = Requests(ctx.store).open(
        ctx.name,
        ctx.as_of,
        ctx.as_of_time,
        cause=",".join(cause.kind for cause in decision.causes),
        reason="; ".join(cause.reason for cause in decision.causes),
        dedupe_key=f"{ctx.name}:{ctx.as_of}:policy:{ctx.inp.workspace[:16]}",
        evidence=decision.figures,
    )
    return Outcome({"verdict": decision.verdict, "request": request.id, "reasons": decision.reasons})


def ring(ctx: StepContext) -> Outcome:
    """Rings for the requests of this model that are open, whoever wrote them."""
    from evergreen.store.requests import Requests

    waiting = [request.id for request in Requests(ctx.store).open_of(ctx.name)]
    if not waiting:
        verdict = ctx.inp.inputs.get("decide", {})
        return Outcome(skip=f"no retraining of {ctx.name} is requested: {'; '.join(verdict.get('reasons', []))}")
    return Outcome({"requests": waiting}, event={"requests": waiting})


def gather(ctx: StepContext) -> Any:
    """Everything that the policy weighs, read from store and lake by the data clock."""
    from evergreen.monitoring.policy import PolicyInputs
    from evergreen.registry.candidates import gate_key
    from evergreen.store.decisions import Decisions
    from evergreen.store.ledger import Ledger
    from evergreen.store.periods import Periods
    from evergreen.store.requests import Requests
    from evergreen.store.trainings import Trainings

    model, end = ctx.model, ctx.as_of_time
    ledger = Ledger(ctx.store)
    champion = ledger.champion(ctx.name)
    version = None if champion is None else champion.version
    training = None if version is None else Trainings(ctx.store).by_version(ctx.name, version)
    history = label_history(ctx)
    drift = [d for d in Decisions(ctx.store).of(ctx.name, kind="drift") if d.as_of_time <= end]
    drifted = {d.as_of_time: d.verdict == "drift" for d in drift if d.verdict != "cannot judge"}
    newest = Requests(ctx.store).newest(ctx.name)
    gate_value = None
    if champion is not None and training is not None:
        gate = Decisions(ctx.store).by_key(gate_key(training.training_id))
        gate_value = None if gate is None else gate.figures["candidate"].get(model.monitoring_metric)
    periods = [
        row
        for row in Periods(ctx.store).of(ctx.name)
        if row.as_of_time <= end and row.role == "champion" and row.version == version
    ]
    return PolicyInputs(
        spec=model.retraining,
        metric=model.monitoring_metric,
        as_of_time=end,
        champion_as_of=None if champion is None else champion.as_of_time,
        training_as_of=None if training is None else training.as_of_time,
        gate_value=gate_value,
        recent_values=[(row.as_of_time, row.value, row.n_labelled) for row in periods if row.value is not None],
        drifted=[drifted[moment] for moment in sorted(drifted)],
        drift_windows=model.monitoring.drift.windows,
        labelled_from=history["from"],
        labelled_through=history["through"],
        rows_since=history["rows_since"](None if training is None else training.as_of_time),
        labels_since=history["labels_since"](None if training is None else training.as_of_time),
        code_changed=None if training is None else training.workspace != ctx.inp.workspace,
        upstream_changed=_upstream_changed(ctx, training.inputs) if training and model.retraining.upstream else None,
        last_request_as_of=None if newest is None else newest.as_of_time,
        open_requests=sum(request.state in ("open", "claimed") for request in Requests(ctx.store).of(ctx.name)),
    )


def label_history(ctx: StepContext) -> dict[str, Any]:
    """Span of the labelled rows known by as_of, and counters of rows newer than an instant."""
    import pyarrow as pa
    import pyarrow.compute as pc

    model, end = ctx.model, ctx.as_of_time
    rows = ctx.lake.table(f"datasets/{model.label.dataset}").read(
        columns=[model.label.column], known_by=end, event_from=None, event_to=end
    )
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


def _upstream_changed(ctx: StepContext, trained_on: Mapping[str, Any]) -> bool:
    """Whether rows below what the champion was trained on were corrected or withdrawn since."""
    import pyarrow.compute as pc

    for name, version in trained_on.get("tables", {}).items():
        table = ctx.lake.table(name)
        if not table.exists() or table.version() == version:
            continue
        before = table.read_versions([], version=version)
        after = table.read_versions([], known_by=ctx.as_of_time)
        since = after.filter(pc.greater(after["_commit"], pc.max(before["_commit"])))
        if pc.any(pc.is_in(since["_row_id"], value_set=before["_row_id"].combine_chunks())).as_py():
            return True
    return False


DECIDE = Step(decide, decide_depends)
RING = Step(ring)
