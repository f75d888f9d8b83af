"""Evaluation gate and registration: candidate, champion and memory on the same rows after all of their trainings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen import faults
from evergreen.steps import bundles, tables
from evergreen.steps.claiming import answering, giving_back, withdrawn_skip
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from evergreen.evaluation.compare import Predicted
    from evergreen.evaluation.gate import GateDecision
    from evergreen.store.decisions import Decision
    from evergreen.store.history import Promotion
    from evergreen.store.trainings import Training

log = logging.getLogger(__name__)


def evaluate_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on the training, on the champions it is judged against and on the requests that it answers."""
    from evergreen.store.ledger import Ledger

    memory = Ledger(ctx.store).recent_champions(ctx.name, ctx.model.gate.memory)
    return {**_answering(ctx), "against": memory}


def evaluate(ctx: StepContext) -> Outcome:
    """Judges the candidate and records the decision; a refusal answers the requests."""
    withdrawn = withdrawn_skip(ctx)
    if withdrawn is not None:
        return withdrawn
    with giving_back(ctx):
        return _evaluate(ctx)


def _evaluate(ctx: StepContext) -> Outcome:
    from evergreen.store.ledger import Ledger
    from evergreen.store.requests import Requests

    training_id = ctx.inp.inputs["train"]["training_id"]
    stood = verdict_on(ctx, training_id, Ledger(ctx.store).entries(ctx.name))
    verdict, reasons = stood.verdict, list(stood.reasons)
    if verdict != "accept":
        Requests(ctx.store).answer(
            ctx.inp.inputs["claim"]["requests"],
            "refused",
            claimer=ctx.claimer,
            training_id=training_id,
            note="; ".join(reasons)[:1000],
        )
    return Outcome({"verdict": verdict, "reasons": [reason[:1000] for reason in reasons[:5]]})


def verdict_on(ctx: StepContext, training_id: str, entries: Sequence[Promotion]) -> Decision:
    """The gate's verdict on a finished training, by its own files, against the champions that the ledger names.

    A verdict that stands on these entries is returned as it is, and so is that of a version that the ledger knows: a
    training is judged once against the same champions. Else it is judged now, and the decision bound to the number of
    the last entry.

    Args:
        ctx: Of any step of the model.
        training_id: Which one.
        entries: The model's ledger, as the caller has read it and goes on by.
    """
    from evergreen.registry.candidates import is_settled, newest_verdict
    from evergreen.registry.judgement import Judged
    from evergreen.store.decisions import Decisions

    training = bundles.training(ctx, training_id)
    known = newest_verdict(training.record, Decisions(ctx.store).of(ctx.name, kind="gate"))
    judged = None if known is None else Judged.read(known)
    if known is not None and (is_settled(training.record, entries) or (judged is not None and judged.stands(entries))):
        return known
    stood = _judge(_as_trained(ctx, training.record), training, entries)
    newest = newest_verdict(training.record, Decisions(ctx.store).of(ctx.name, kind="gate"))
    return newest or stood  # another's, if this task hung while the ledger went on


def _judge(ctx: StepContext, made: bundles.Finished, entries: Sequence[Promotion]) -> Decision:
    """Judges a training in its own context and records the verdict; of several at the same number one stands."""
    from evergreen.evaluation.compare import Predicted, judge
    from evergreen.evaluation.gate import decide
    from evergreen.evaluation.rows import rows_to_judge
    from evergreen.lake import trainingsets
    from evergreen.store import history

    training = made.record
    frame = trainingsets.get(ctx.lake, made.training_set)
    against = {
        version: bundles.training_of(ctx, version)
        for version in history.recent_champions(entries, ctx.model.gate.memory)
    }
    candidate = bundles.load(ctx, made.bundle)
    judged = rows_to_judge(
        frame,
        as_of_time=training.as_of_time,
        test_from=datetime.fromisoformat(candidate.document["test_from"]),
        test_through=datetime.fromisoformat(candidate.document["test_through"]),
        trained_throughs=[candidate.trained_through, *(other.trained_through for other in against.values())],
        gap=ctx.model.gap,
    )
    rows = frame.take(judged.rows)
    inputs = judge(
        ctx.model,
        labels=rows["_label"],
        event_times=[rows["_event_time"][0].as_py(), rows["_event_time"][-1].as_py()] if rows.num_rows else [],
        candidate=Predicted(candidate.predict(rows), candidate.classes),
        champions=[_champion(ctx, training, rows, version, other) for version, other in against.items()],
        fitted_labels=candidate.labels,
        importance=candidate.document["importance"],
        seed=training.seed,
        learnt_from=candidate.document,
        too_close=judged.too_close,
    )
    stood = _record(ctx, training, decide(inputs), entries, list(against))
    log.info("Gate of %s as of %s: %s", ctx.name, training.as_of, stood.verdict)
    return stood


def _record(
    ctx: StepContext, training: Training, decision: GateDecision, entries: Sequence[Promotion], against: list[int]
) -> Decision:
    """Keeps a verdict: the first under the training's key, any later one under that and the ledger's number."""
    from evergreen.registry.candidates import gate_key
    from evergreen.store import history
    from evergreen.store.decisions import Decisions

    seq = len(entries)

    def record(key: str) -> Decision:
        return Decisions(ctx.store).record(
            kind="gate",
            resource=ctx.name,
            as_of=training.as_of,
            as_of_time=training.as_of_time,
            verdict=decision.verdict,
            figures={**decision.figures, "against": against, "memory": ctx.model.gate.memory},
            reasons=decision.reasons,
            key=key,
            version=training.adopted_version,
            historic=history.is_historic(entries, training.as_of_time),
            ledger_seq=seq,
        )

    faults.point("verdict:before")
    stood = record(gate_key(training.training_id))
    if stood.ledger_seq != seq:  # another judgement's, of another state of the ledger
        stood = record(gate_key(training.training_id, seq))
    faults.point("verdict:after")
    return stood


def _as_trained(ctx: StepContext, training: Training) -> StepContext:
    """The step's context with the files and the data clock that the training had."""
    return ctx.at(training.as_of, workspace=training.workspace, inputs=ctx.inp.inputs, key=ctx.key)


def register_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on the training, on its verdict and on the requests that it answers."""
    return {**_answering(ctx), "verdict": ctx.inp.inputs["evaluate"]["verdict"]}


def register(ctx: StepContext) -> Outcome:
    """Gives an accepted candidate its version, in the store, and MLflow a copy; one training has one version."""
    from evergreen.registry.aliases import heal_aliases
    from evergreen.registry.copies import register as register_training
    from evergreen.store.requests import Requests

    withdrawn = withdrawn_skip(ctx)
    if withdrawn is not None:
        return withdrawn
    verdict = ctx.inp.inputs["evaluate"]
    if verdict["verdict"] != "accept":
        heal_aliases(ctx.store, ctx.tracking, ctx.name)  # what was left undone while MLflow was away
        return Outcome(skip=f"the gate said {verdict['verdict']}: {'; '.join(verdict['reasons'])}")
    made = ctx.inp.inputs["train"]
    known = register_training(ctx.store, ctx.tracking, bundles.kept(ctx, made["training_id"]).record)
    Requests(ctx.store).answer(
        ctx.inp.inputs["claim"]["requests"],
        "done",
        claimer=ctx.claimer,
        training_id=made["training_id"],
        note=f"version {known}",
    )
    heal_aliases(ctx.store, ctx.tracking, ctx.name)
    log.info("Registered %s version %d from run %s", ctx.name, known, made["run_id"])
    event = {"version": known, "training_id": made["training_id"]}
    return Outcome(event, event=event, links={"mlflow_run": ctx.tracking.run_url(made["run_id"])})


def _answering(ctx: StepContext) -> dict[str, Any]:
    return {"training": ctx.inp.inputs["train"]["training_id"], **answering(ctx)}


def _champion(ctx: StepContext, candidate: Training, rows: pa.Table, version: int, of: bundles.Finished) -> Predicted:
    """A remembered champion's predictions of the judged rows, by its own code and definitions."""
    from evergreen.evaluation.compare import Predicted

    loaded = bundles.load(ctx, of.bundle)
    if of.record.workspace != candidate.workspace:
        rows = _own_features(ctx, candidate, rows, of.record)
    return Predicted(loaded.predict(rows), loaded.classes, version)


def _own_features(ctx: StepContext, candidate: Training, rows: pa.Table, of: Training) -> pa.Table:
    """The same rows with another version's features, from the tables as the candidate's training read them."""
    import pyarrow.compute as pc

    from evergreen.steps.frames import own_frame

    ctx.versions.update(candidate.inputs["tables"])
    end = candidate.as_of_time
    span = pc.min_max(rows["_event_time"]).as_py()
    if span["min"] is None:
        found = tables.label_rows(ctx, ctx.model, known_by=end, event_from=end, event_to=end)
    else:
        found = tables.label_rows(ctx, ctx.model, known_by=end, event_from=span["min"], event_to=end)
    found = found.take(pc.index_in(rows["_row_id"], value_set=found["_row_id"].combine_chunks()))
    return own_frame(ctx, of, found, known_by=end)


EVALUATE = Step(evaluate, evaluate_depends)
REGISTER = Step(register, register_depends)
