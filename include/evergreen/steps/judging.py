"""Evaluation gate and registration: candidate, champion and memory on the same rows after all of their trainings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.steps import bundles, tables
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.evaluation.compare import Predicted

log = logging.getLogger(__name__)


def evaluate_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on the training, on the champions it is judged against and on the requests that it answers."""
    from evergreen.store.ledger import Ledger

    memory = Ledger(ctx.store).recent_champions(ctx.name, ctx.model.gate.memory)
    return {**_answering(ctx), "against": memory}


def evaluate(ctx: StepContext) -> Outcome:
    """Judges the candidate and records the decision; a refusal answers the requests."""
    from evergreen.steps.learning import giving_back

    with giving_back(ctx):
        return _evaluate(ctx)


def _evaluate(ctx: StepContext) -> Outcome:
    from evergreen.evaluation.compare import Predicted, judge
    from evergreen.evaluation.gate import decide
    from evergreen.evaluation.rows import rows_to_judge
    from evergreen.lake import trainingsets
    from evergreen.registry.candidates import gate_key
    from evergreen.store.decisions import Decisions
    from evergreen.store.ledger import Ledger
    from evergreen.store.requests import Requests

    made = ctx.inp.inputs["train"]
    training = bundles.training(ctx, made["training_id"]).record
    frame = trainingsets.get(ctx.lake, made["training_set"])
    against = {
        version: bundles.training_of(ctx, version)
        for version in Ledger(ctx.store).recent_champions(ctx.name, ctx.model.gate.memory)
    }
    candidate = bundles.load(ctx, made["bundle"])
    judged = rows_to_judge(
        frame,
        as_of_time=training.as_of_time,
        test_from=datetime.fromisoformat(candidate.document["test_from"]),
        test_through=datetime.fromisoformat(candidate.document["test_through"]),
        trained_throughs=[candidate.trained_through, *(other.trained_through for other in against.values())],
    )
    rows = frame.take(judged)
    inputs = judge(
        ctx.model,
        labels=rows["_label"],
        event_times=[rows["_event_time"][0].as_py(), rows["_event_time"][-1].as_py()] if rows.num_rows else [],
        candidate=Predicted(candidate.predict(rows), candidate.classes),
        champions=[_champion(ctx, frame, rows, version, other) for version, other in against.items()],
        fitted_labels=candidate.labels,
        importance=candidate.document["importance"],
        seed=training.seed,
    )
    decision = decide(inputs)
    stood = Decisions(ctx.store).record(
        kind="gate",
        resource=ctx.name,
        as_of=training.as_of,
        as_of_time=training.as_of_time,
        verdict=decision.verdict,
        figures=decision.figures,
        reasons=decision.reasons,
        key=gate_key(training.training_id),
        historic=Ledger(ctx.store).is_historic(ctx.name, training.as_of_time),
    )
    verdict, reasons = stood.verdict, list(stood.reasons)  # a training is judged once
    log.info("Gate of %s as of %s: %s", ctx.name, training.as_of, verdict)
    if verdict != "accept":
        Requests(ctx.store).answer(
            ctx.inp.inputs["claim"]["requests"],
            "refused",
            claimer=ctx.claimer,
            training_id=training.training_id,
            note="; ".join(reasons)[:1000],
        )
    return Outcome({"verdict": verdict, "reasons": [reason[:1000] for reason in reasons[:5]]})


def register_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on the training, on its verdict and on the requests that it answers."""
    return {**_answering(ctx), "verdict": ctx.inp.inputs["evaluate"]["verdict"]}


def register(ctx: StepContext) -> Outcome:
    """Registers an accepted candidate in MLflow; one training has one adopted version."""
    from evergreen.store.requests import Requests
    from evergreen.store.trainings import Trainings

    verdict = ctx.inp.inputs["evaluate"]
    if verdict["verdict"] != "accept":
        return Outcome(skip=f"the gate said {verdict['verdict']}: {'; '.join(verdict['reasons'])}")
    made = ctx.inp.inputs["train"]
    trainings = Trainings(ctx.store)
    known = bundles.training(ctx, made["training_id"]).record.adopted_version
    if known is None:
        strays = ctx.tracking.versions_of_training(ctx.name, made["training_id"])
        fresh = strays[0] if strays else ctx.tracking.register(ctx.name, made["run_id"], made["training_id"])
        known = trainings.adopt(made["training_id"], fresh)
    Requests(ctx.store).answer(
        ctx.inp.inputs["claim"]["requests"],
        "done",
        claimer=ctx.claimer,
        training_id=made["training_id"],
        note=f"version {known}",
    )
    log.info("Registered %s version %d from run %s", ctx.name, known, made["run_id"])
    event = {"version": known, "training_id": made["training_id"]}
    return Outcome(event, event=event, links={"mlflow_run": ctx.tracking.run_url(made["run_id"])})


def _answering(ctx: StepContext) -> dict[str, Any]:
    return {"training": ctx.inp.inputs["train"]["training_id"], "requests": ctx.inp.inputs["claim"]["requests"]}


def _champion(ctx: StepContext, frame: pa.Table, rows: pa.Table, version: int, training: bundles.Finished) -> Predicted:
    """A remembered champion's predictions of the judged rows, from its own features when the frame lacks them."""
    from evergreen.evaluation.compare import Predicted

    loaded = bundles.load(ctx, training.bundle)
    if not set(loaded.features) <= set(frame.column_names):
        rows = _own_features(ctx, rows, training.record.workspace)
    return Predicted(loaded.predict(rows), loaded.classes, version)


def _own_features(ctx: StepContext, rows: pa.Table, digest: str) -> pa.Table:
    """The same rows with the features that the champion's own workspace declares."""
    import pyarrow.compute as pc

    workspace = ctx.declared(digest)
    model = workspace.models[ctx.name]
    span = pc.min_max(rows["_event_time"]).as_py()
    end = ctx.as_of_time
    labelled = tables.label_rows(ctx, model, known_by=end, event_from=span["min"], event_to=end)
    own = tables.model_frame(ctx, model, workspace, digest, labelled, known_by=end)
    return own.take(pc.index_in(rows["_row_id"], own["_row_id"]))


EVALUATE = Step(evaluate, evaluate_depends)
REGISTER = Step(register, register_depends)
