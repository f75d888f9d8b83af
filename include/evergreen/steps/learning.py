"""Training: claim every open request at once, then train once."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evergreen.errors import UserError
from evergreen.spec.timing import parse_key
from evergreen.steps import bundles, tables
from evergreen.steps.building import catch_up_views
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step, digest

log = logging.getLogger(__name__)

LEASE_SECONDS = 3600.0


def claim(ctx: StepContext) -> Outcome:
    """Claims all open requests of the model; a run that a person started writes one first.

    Requests that an earlier training of the same code and data has answered in the meantime are closed by it.
    """
    from evergreen.store.requests import Requests

    requests = Requests(ctx.store)
    if ctx.inp.run.run_type == "manual":
        reason = str(ctx.inp.conf.get("reason") or "asked for by hand")
        if len(reason) > 500:
            raise UserError("conf reason", "must have at most 500 characters", value=reason)
        again = str(ctx.inp.conf.get("again") or "")
        request = requests.open(
            ctx.name,
            ctx.as_of,
            ctx.as_of_time,
            cause="manual",
            reason=f"{ctx.inp.actor}: {reason}",
            dedupe_key=digest(
                [ctx.name, ctx.as_of, "manual", ctx.inp.workspace, tables.versions(ctx, ctx.model), again]
            ),
            evidence={},
        )
        if not request.created and request.state not in ("open", "claimed"):
            return Outcome(
                skip=f"{ctx.name} was trained for {ctx.as_of} on the same code and data before (request {request.id}, "
                f'{request.state}); to do it all the same give conf {{"again": "any word"}}'
            )
    claimed = requests.claim(ctx.name, ctx.claimer, LEASE_SECONDS)
    if not claimed:
        return Outcome(skip=f"no request of {ctx.name} is open: another run has taken them")
    newest = max(claimed, key=lambda request: request.as_of_time)
    answered = _answered_before(ctx, newest.as_of)
    if answered is not None:
        requests.answer(
            [r.id for r in claimed],
            "done",
            claimer=ctx.claimer,
            training_id=answered,
            note="answered by an earlier training",
        )
        return Outcome(skip=f"{ctx.name} was trained for {newest.as_of} on the same code and data: {answered[:12]}")
    causes = sorted({cause for request in claimed for cause in request.cause.split(",")})
    log.info("Claimed %d request(s) of %s as of %s: %s", len(claimed), ctx.name, newest.as_of, ", ".join(causes))
    return Outcome(
        {
            "requests": [request.id for request in claimed],
            "causes": causes,
            "reason": "; ".join(dict.fromkeys(request.reason for request in claimed))[:1000],
            "as_of": newest.as_of,
        }
    )


@contextmanager
def giving_back(ctx: StepContext) -> Iterator[None]:
    """Opens the run's requests again when a person's mistake ends it: who asks after the repair must find them."""
    from evergreen.store.requests import Requests

    try:
        yield
    except UserError:
        Requests(ctx.store).give_back(ctx.name, ctx.claimer)
        raise


def train_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on the tables' versions and on the claimed as_of; views that lag behind are built first."""
    catch_up_views(ctx)
    return {"as_of": ctx.inp.inputs["claim"]["as_of"], "tables": tables.versions(ctx, ctx.model)}


def train(ctx: StepContext) -> Outcome:
    """Builds the training set, fits, and logs to MLflow; one training per content."""
    with giving_back(ctx):
        return _train(ctx)


def _train(ctx: StepContext) -> Outcome:
    from evergreen.features.signature import feature_columns
    from evergreen.lake import trainingsets
    from evergreen.steps.record import training_record
    from evergreen.store.pins import Pins
    from evergreen.store.trainings import Trainings
    from evergreen.training.fit import fit

    claim_, model = ctx.inp.inputs["claim"], ctx.model
    as_of: str = claim_["as_of"]
    end = parse_key(as_of, ctx.driver.timezone)
    missing = tables.missing_views(ctx, model)
    if missing:
        raise UserError(
            f"{ctx.name}.train as of {as_of}",
            "needs every feature view's table",
            value=missing,
            remedy="Build these views first (their `.build` DAGs), then ask for the training again.",
        )
    used = tables.versions(ctx, model)
    rows = tables.label_rows(
        ctx, model, known_by=end, event_from=None if model.window is None else end - model.window, event_to=end
    )
    frame = tables.model_frame(ctx, model, ctx.workspace, ctx.inp.workspace, rows, known_by=end)
    path, sha = trainingsets.put(ctx.lake, frame)
    training_id = digest([ctx.name, as_of, ctx.inp.workspace, sha, model.trainer.seed])
    trainings = Trainings(ctx.store)
    trainings.start(
        training_id,
        ctx.name,
        as_of,
        end,
        spec_digest=digest(model.model_dump(mode="json")),
        workspace=ctx.inp.workspace,
        inputs={"tables": used, "training_set": path},
        seed=model.trainer.seed,
        causes=claim_["causes"],
        request_ids=claim_["requests"],
    )
    pins = Pins(ctx.store)
    for table, version in used.items():
        pins.pin(table, version, training_id)
    pins.pin(path, 0, training_id)
    fitted = fit(model, frame, feature_columns(model, ctx.workspace), as_of_time=end)
    with tempfile.TemporaryDirectory(prefix="evergreen-") as scratch:
        folder = Path(scratch) / "bundle"
        record = training_record(
            ctx, fitted, frame, training_id=training_id, as_of=as_of, sha=sha, used=used, folder=folder
        )
        bundle = bundles.put(ctx, folder)
        run_id = ctx.tracking.log_training(record)
    stood = trainings.finish(
        training_id, run_id=run_id, trained_through=fitted.trained_through, training_set=sha, bundle=bundle
    )
    run_id, bundle = stood.run_id or run_id, stood.bundle or bundle  # another try's, if that was first
    log.info("Trained %s as of %s on %d rows: run %s", ctx.name, as_of, frame.num_rows, run_id)
    return Outcome(
        {
            "training_id": training_id,
            "run_id": run_id,
            "bundle": bundle,
            "training_set": sha,
            "as_of": as_of,
            "rows": frame.num_rows,
            "trained_through": fitted.trained_through.isoformat(),
        },
        links={"mlflow_run": ctx.tracking.run_url(run_id)},
    )


def _answered_before(ctx: StepContext, as_of: str) -> str | None:
    """A judged training of the same as_of, code and table versions, if there is one."""
    from evergreen.registry.candidates import newest_verdict
    from evergreen.store.decisions import Decisions
    from evergreen.store.trainings import Trainings

    if ctx.inp.conf.get("again"):
        return None
    now = tables.versions(ctx, ctx.model)
    gates = Decisions(ctx.store).of(ctx.name, kind="gate")
    for training in Trainings(ctx.store).of(ctx.name):
        same = training.as_of == as_of and training.workspace == ctx.inp.workspace
        verdict = newest_verdict(training, gates)
        judged = training.adopted_version is not None or (verdict is not None and verdict.verdict != "accept")
        if same and judged and training.inputs.get("tables") == now:
            return training.training_id
    return None


CLAIM = Step(claim)
TRAIN = Step(train, train_depends)
