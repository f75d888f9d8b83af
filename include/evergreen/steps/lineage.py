"""Where a model version comes from, and the proof: training again from what was kept gives the same predictions."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from evergreen.errors import DataError, TransientError, UserError
from evergreen.settings import Settings
from evergreen.steps import bundles
from evergreen.steps.context import StepContext
from evergreen.steps.contract import RunRef, StepInput

if TYPE_CHECKING:
    from evergreen.store.trainings import Training


log = logging.getLogger(__name__)


class Lineage(BaseModel):
    """All that a model version was made from and by.

    Attributes:
        tables: Table -> version that the training read.
        seams: Where one of the datasets goes on in one table under two definitions (``on_change: continue``).
        training_set: Content address of the rows it was fitted and judged on.
        rows: How many of them were in each part; ``nulls`` is each feature's share of nulls where it was learnt from.
        workspace: Digest of the frozen files; ``files`` are their names.
        spec: The model's file, complete, as it was then.
        params: What the training library was really given.
        mlflow_version: MLflow's own number of its copy there, when last seen.
        environment: ``python``, ``machine``, ``packages`` and their ``digest``.
        causes: Requests that the training answered: cause, reason, as_of.
        gate: Verdict and reasons of the judgement that counts, and the ledger's number that it was made on (``seq``).
        acts: Ledger entries that made the version serve: who, when, why.
        erased: Erasures that took rows out of the training set: since then the version cannot be reproduced.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    version: int
    as_of: str
    training_id: str
    run_id: str | None
    mlflow_version: int | None
    tables: Mapping[str, int]
    seams: Sequence[Mapping[str, str]]
    training_set: str
    rows: Mapping[str, int]
    nulls: Mapping[str, float]
    trained_through: datetime
    workspace: str
    files: Sequence[str]
    spec_digest: str
    spec: Mapping[str, Any]
    params: Mapping[str, str]
    seed: int
    threads: int
    environment: Mapping[str, Any]
    causes: Sequence[Mapping[str, str]]
    gate: Mapping[str, Any] | None
    acts: Sequence[Mapping[str, Any]]
    erased: Sequence[Mapping[str, Any]]


class Retrained(BaseModel):
    """A training done again, beside the one that was kept.

    Attributes:
        rows: Rows of the training set that both predicted.
        largest_difference: Between the two predictions of one row; 0 when they are the same.
        environment_changed: Packages that differ from those it was trained in, as ``then -> now``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    largest_difference: float
    environment_changed: Mapping[str, str]

    @property
    def is_same(self) -> bool:
        """Whether every prediction is the same to the last bit."""
        return self.largest_difference == 0.0


def lineage(settings: Settings, model: str, version: int) -> Lineage:
    """Reads everything that a model version stands on.

    Raises:
        UserError: When the model has no such version.
    """
    from evergreen.registry.candidates import newest_verdict
    from evergreen.store.decisions import Decisions
    from evergreen.store.ledger import Ledger
    from evergreen.store.requests import Requests

    ctx, made = _opened(settings, model, version)
    training = made.record
    kept = bundles.load(ctx, made.bundle)
    environment = json.loads((kept.folder / "environment.json").read_text(encoding="utf-8"))
    gate = newest_verdict(training, Decisions(ctx.store).of(model, kind="gate"))
    asked = [request for request in Requests(ctx.store).of(model) if request.training_id == training.training_id]
    return Lineage(
        model=model,
        version=version,
        as_of=training.as_of,
        training_id=training.training_id,
        run_id=training.run_id,
        mlflow_version=training.mlflow_version,
        tables=training.inputs["tables"],
        seams=training.inputs.get("seams", []),
        training_set=made.training_set,
        rows=kept.document.get("rows", {}),
        nulls=kept.document.get("nulls", {}),
        trained_through=made.trained_through,
        workspace=training.workspace,
        files=sorted(path.relative_to(ctx.root).as_posix() for path in ctx.root.rglob("*.*") if path.is_file()),
        spec_digest=training.spec_digest,
        spec=ctx.model.model_dump(mode="json"),
        params=_params(ctx, training, kept.document["facts"]),
        seed=training.seed,
        threads=kept.document["threads"],
        environment=environment,
        causes=[{"cause": each.cause, "reason": each.reason, "as_of": each.as_of} for each in asked],
        gate=None if gate is None else {"verdict": gate.verdict, "reasons": list(gate.reasons), "seq": gate.ledger_seq},
        acts=[
            {"seq": entry.seq, "action": entry.action, "actor": entry.actor, "reason": entry.reason, "at": entry.at}
            for entry in Ledger(ctx.store).entries(model)
            if entry.version == version
        ],
        erased=_erased(ctx, training),
    )


def retrain(settings: Settings, model: str, version: int) -> Retrained:
    """Fits once more, by the frozen files, on the kept rows and with the kept seed, and compares every prediction.

    Registers nothing and writes nothing.

    Raises:
        UserError: When the model has no such version, or rows of its training set were erased.
        DataError: When something of it was changed or lost since.
    """
    import numpy as np

    from evergreen.features.signature import feature_columns
    from evergreen.lake import trainingsets
    from evergreen.training.fit import fit

    ctx, made = _opened(settings, model, version)
    if erased := _erased(ctx, made.record):
        rows = sum(each["rows"] for each in erased)
        rule = "cannot be reproduced: a person's rows were erased from its training set"
        raise UserError(f"{model} version {version}", rule, value=f"{rows} rows", remedy="See `evergreen erasures`.")
    kept = bundles.load(ctx, made.bundle)
    frame = trainingsets.get(ctx.lake, made.training_set)
    fitted = fit(
        ctx.model,
        frame,
        feature_columns(ctx.model, ctx.workspace),
        as_of_time=made.record.as_of_time,
        seed=made.record.seed,
    )
    then, now = kept.predict(frame), fitted.predict(frame)
    if then.shape == now.shape:
        same = (then == now) | (np.isnan(then) & np.isnan(now))
        difference = np.where(same, 0.0, np.abs(then - now)).max(initial=0.0)
    else:
        difference = np.inf
    return Retrained(
        rows=frame.num_rows,
        largest_difference=float(np.nan_to_num(difference, nan=np.inf, posinf=np.inf)),
        environment_changed=_changed(json.loads((kept.folder / "environment.json").read_text(encoding="utf-8"))),
    )


def _opened(settings: Settings, model: str, version: int) -> tuple[StepContext, bundles.Finished]:
    from evergreen.store.store import Store
    from evergreen.store.trainings import Trainings

    trainings = Trainings(Store(settings.store_url))
    found = trainings.by_version(model, version)
    if found is None:
        raise UserError(
            f"{model}: version", "must be an adopted one", value=version, remedy=_known(trainings.of(model))
        )
    who = RunRef(dag_id="evergreen.show", run_id=f"{model}/{version}")
    inp = StepInput(step="train", kind="model", resource=model, as_of=found.as_of, workspace=found.workspace, run=who)
    ctx = StepContext(inp, settings)
    return ctx, bundles.training_of(ctx, version)


def _erased(ctx: StepContext, training: Training) -> list[dict[str, Any]]:
    from evergreen.store.erasures import Erasures

    return [
        {"request": request.id, "at": request.requested_at, "rows": lost["rows"], "of": lost["of"]}
        for request, lost in Erasures(ctx.store).of_training(training.training_id)
    ]


def _params(ctx: StepContext, training: Training, facts: Mapping[str, Any]) -> Mapping[str, str]:
    """From the bundle; those of trainings before it kept them from MLflow, as long as it does."""
    if "params" in facts or training.run_id is None:
        params: Mapping[str, str] = facts.get("params", {})
        return params
    try:
        return ctx.tracking.run_params(training.run_id)
    except (DataError, TransientError) as error:
        log.warning("The parameters of %s version %s are not shown: %s", ctx.name, training.adopted_version, error)
        return {}


def _known(trainings: Sequence[Training]) -> str:
    versions = sorted(each.adopted_version for each in trainings if each.adopted_version is not None)
    return f"There are {', '.join(map(str, versions))}." if versions else "There is none yet: train the model first."


def _changed(then: Mapping[str, Any]) -> dict[str, str]:
    from evergreen.training.environment import environment

    now = environment()

    def versions(packages: Sequence[str]) -> dict[str, str]:
        return {name: number for name, _, number in (each.partition("==") for each in packages)}

    before = {"python": then["python"], "machine": then["machine"], **versions(then["packages"])}
    after = {"python": now.python, "machine": now.machine, **versions(now.packages)}
    return {
        name: f"{before.get(name, 'absent')} -> {after.get(name, 'absent')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    }
