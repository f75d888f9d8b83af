"""Training: on what a run has claimed, once; or a verdict that it cannot be."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError, UserError
from evergreen.spec.timing import parse_key
from evergreen.steps import bundles, tables
from evergreen.steps.building import catch_up_views
from evergreen.steps.claiming import answering, giving_back, withdrawn_skip
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step, digest

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.training.shortage import Shortage
    from evergreen.training.split import Parts

log = logging.getLogger(__name__)


def train_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on the tables' versions, on the claimed as_of and on the requests, which a verdict answers.

    Views that lag behind are built first.
    """
    catch_up_views(ctx)
    return {
        "as_of": ctx.inp.inputs["claim"]["as_of"],
        "tables": tables.versions(ctx, ctx.model),
        **answering(ctx),
    }


def train(ctx: StepContext) -> Outcome:
    """Builds the training set, fits, and logs to MLflow; one training per content.

    With too little to train on, which more data will mend, the requests are answered "cannot train, because".
    """
    withdrawn = withdrawn_skip(ctx)
    if withdrawn is not None:
        return withdrawn
    with giving_back(ctx):
        return _train(ctx)


def _train(ctx: StepContext) -> Outcome:
    import pyarrow as pa

    from evergreen.features.signature import feature_columns
    from evergreen.lake import trainingsets
    from evergreen.steps.record import training_record
    from evergreen.store.pins import Pins
    from evergreen.store.trainings import Trainings
    from evergreen.training.fit import fit, split
    from evergreen.training.shortage import nothing_published, shortage_of

    claim_, model = ctx.inp.inputs["claim"], ctx.model
    as_of: str = claim_["as_of"]
    end = parse_key(as_of, ctx.driver.timezone)
    missing = _unpublished(ctx)
    if missing:
        return _cannot_train(ctx, nothing_published(model, missing), as_of, end)
    unbuilt = tables.missing_views(ctx, model)
    if unbuilt:
        raise UserError(
            f"{ctx.name}.train as of {as_of}",
            "needs every feature view's table",
            value=unbuilt,
            remedy="Build these views first (their `.build` DAGs), then ask for the training again.",
        )
    used = tables.versions(ctx, model)
    rows = tables.label_rows(
        ctx,
        model,
        known_by=end,
        event_from=None if model.window is None else end - model.window,
        event_to=end,
        columns=[model.label.column, *model.request],
    )
    frame = tables.model_frame(ctx, model, ctx.workspace, ctx.inp.workspace, rows, known_by=end)
    del rows  # what of it is no part of the frame
    pa.default_memory_pool().release_unused()  # before a copy of the frame is made for the library
    features, parts = feature_columns(model, ctx.workspace), split(model, frame, end)
    if parts.short and model.window is not None:  # what is older than the window was not read: say what there is
        parts = split(model, _labels_ever(ctx, end), end)
    shortage = shortage_of(parts, model)
    if shortage is not None:
        return _cannot_train(ctx, shortage, as_of, end)
    nulls = _checked_nulls(ctx, frame, parts, features, as_of=as_of)
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
        inputs={"tables": used, "training_set": path, "seams": tables.seams(ctx, model)},
        seed=model.trainer.seed,
        causes=claim_["causes"],
        request_ids=claim_["requests"],
    )
    pins = Pins(ctx.store)
    for table, version in used.items():
        pins.pin(table, version, training_id)
    pins.pin(path, 0, training_id)
    ctx.refuse_overtaken()
    ctx.close()  # fitting may take hours, in which others want connections
    fitted = fit(model, frame, features, as_of_time=end, parts=parts)
    with tempfile.TemporaryDirectory(prefix="evergreen-") as scratch:
        folder = Path(scratch) / "bundle"
        record = training_record(
            ctx, fitted, frame, training_id=training_id, as_of=as_of, sha=sha, used=used, nulls=nulls, folder=folder
        )
        bundle = bundles.put(ctx, folder)
        run_id = ctx.tracking.log_training(record)
    stood = trainings.finish(
        training_id, run_id=run_id, trained_through=fitted.trained_through, training_set=sha, bundle=bundle
    )
    ctx.refuse_overtaken()
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
            "parts": parts.sizes,
            "trained_through": fitted.trained_through.isoformat(),
            "nulls": emptiest(nulls),
        },
        links={"mlflow_run": ctx.tracking.run_url(run_id)},
    )


def emptiest(nulls: Mapping[str, float], most: int = 20) -> dict[str, float]:
    """The features with the largest shares of nulls, those without any left out; small JSON."""
    some = sorted((name for name, share in nulls.items() if share), key=lambda name: -nulls[name])
    return {name: round(nulls[name], 6) for name in some[:most]}


def _unpublished(ctx: StepContext) -> list[str]:
    """Datasets that the model needs and of which nothing was ever published: data will come, nobody has to act."""
    views = ctx.workspace.views
    names = [ctx.model.label.dataset]
    names += [name for view in tables.missing_views(ctx, ctx.model) for name in views[view].reads]
    found = {name: tables.table_of(ctx, "dataset", name) for name in names}
    return [name for name, table in found.items() if tables.version_of(ctx, table) < 0]


def _labels_ever(ctx: StepContext, end: datetime) -> pa.Table:
    """The columns by which rows are parted, of the whole history."""
    label = ctx.model.label.column
    rows = tables.label_rows(ctx, ctx.model, known_by=end, event_from=None, event_to=end, columns=[label])
    columns = {"_row_id": "_row_id", "_event_time": "_event_time", "_label_known_at": "_known_at"}
    columns["_label"] = label
    return rows.select(list(columns.values())).rename_columns(list(columns))


def _cannot_train(ctx: StepContext, shortage: Shortage, as_of: str, as_of_time: datetime) -> Outcome:
    """Records the verdict and answers the requests with it."""
    from evergreen.store.decisions import Decisions
    from evergreen.store.ledger import Ledger
    from evergreen.store.requests import Requests

    reason = f"{ctx.name} cannot be trained as of {as_of}: {shortage.reason}"
    Decisions(ctx.store).record(
        kind="training",
        resource=ctx.name,
        as_of=as_of,
        as_of_time=as_of_time,
        verdict="cannot_train",
        figures=shortage.figures,
        reasons=[reason],
        key=ctx.key,
        historic=Ledger(ctx.store).is_historic(ctx.name, as_of_time),
    )
    requests = ctx.inp.inputs["claim"]["requests"]
    Requests(ctx.store).answer(requests, "cannot_train", claimer=ctx.claimer, note=reason[:1000])
    log.info("%s", reason)
    return Outcome(skip=reason)


def _checked_nulls(
    ctx: StepContext, frame: pa.Table, parts: Parts, features: Sequence[str], *, as_of: str
) -> dict[str, float]:
    """Share of nulls of each feature in the rows that are learnt from.

    Raises:
        DataError: When a feature is emptier than the spec allows, naming the build or the view.
    """
    import numpy as np

    from evergreen.features.signature import views_of
    from evergreen.store.row_counts import RowCounts
    from evergreen.training.nulls import null_shares, refusals

    learnt = np.concatenate([parts.fit, parts.validation])
    nulls = null_shares(frame, learnt, features)
    told = ", ".join(f"{name} {share:.1%}" for name, share in emptiest(nulls).items())
    log.info("Nulls in the %d rows that %s learns from: %s", len(learnt), ctx.name, told or "none")
    refused = refusals(
        nulls,
        ctx.model,
        views_of(ctx.model, ctx.workspace),
        lambda dataset: any(count.good for count in RowCounts(ctx.store).of(dataset)),
    )
    if refused:
        raise DataError(
            f"{ctx.name}.train as of {as_of}",
            f"must learn from features that have values: of {len(learnt)} rows, {' '.join(refused[:5])[:-1]}",
            remedy=f"If that is right, allow it: max_null or max_null_of in models/{ctx.name}.yaml.",
        )
    return nulls


TRAIN = Step(train, train_depends)
