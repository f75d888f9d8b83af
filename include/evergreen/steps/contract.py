"""The step: an idempotent command with a typed input, a typed output and a key.

The key is a digest of what the result depends on (step, resource, as_of, workspace, versions of the inputs), never a
run id or a try number. The result is written into the lake put-if-absent before the step ends; a step that is called
again with the same key returns the stored result and does nothing.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from evergreen import faults
from evergreen.errors import DataError, TransientError, UserError
from evergreen.settings import Settings

if TYPE_CHECKING:
    from evergreen.steps.context import StepContext

log = logging.getLogger(__name__)

Kind = Literal["dataset", "feature_view", "model"]


class RunRef(BaseModel):
    """Who runs: only for claiming work and for finding the frozen workspace, never part of a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dag_id: str
    run_id: str
    run_type: str = "manual"


class StepInput(BaseModel):
    """What a step is called with; small JSON.

    Attributes:
        as_of: The run's key: the exclusive end of the data's interval.
        workspace: Digest of the frozen workspace.
        inputs: Outputs of earlier steps of the run, by task id.
        conf: What a person gave with a manual run; data, never a template.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    kind: Kind
    resource: str
    as_of: str
    workspace: str
    run: RunRef
    inputs: dict[str, dict[str, Any]] = {}
    conf: dict[str, Any] = {}
    actor: str = "evergreen"


class StepResult(BaseModel):
    """What a step gives; small JSON.

    Attributes:
        output: Figures, versions and lake paths for the steps after it.
        skip: Why there was nothing to do; absent when something was done.
        event: Extra of the asset event that the last task of a DAG rings.
        links: ``mlflow_run`` (URL) and ``report`` (lake path), for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    as_of: str
    output: dict[str, Any] = {}
    skip: str | None = None
    event: dict[str, Any] | None = None
    links: dict[str, str] = {}


class Outcome(NamedTuple):
    """What a step's function returns; the runner adds key and as_of."""

    output: Mapping[str, Any] = {}
    skip: str | None = None
    event: Mapping[str, Any] | None = None
    links: Mapping[str, str] = {}


class Step(NamedTuple):
    """A step: what its result depends on, and the function that gives it.

    ``depends`` gives everything beyond step, resource, as_of and workspace that the result is a function of. A step
    without it acts on the store by keys of its own (claim, promote, …) and is run again each time it is called. What
    ``keeps_rows`` outside of tables is refused when an erasure went through all while it ran.
    """

    run: Callable[[StepContext], Outcome]
    depends: Callable[[StepContext], Mapping[str, Any]] | None = None
    keeps_rows: bool = False


STEPS: dict[tuple[Kind, str], str] = {
    ("dataset", "read"): "evergreen.steps.ingestion:READ",
    ("dataset", "validate"): "evergreen.steps.ingestion:VALIDATE",
    ("dataset", "publish"): "evergreen.steps.ingestion:PUBLISH",
    ("dataset", "rebuild"): "evergreen.steps.rebuilding:REBUILD",
    ("feature_view", "build"): "evergreen.steps.building:BUILD",
    ("feature_view", "publish"): "evergreen.steps.building:PUBLISH",
    ("model", "monitor"): "evergreen.steps.watching:MONITOR",
    ("model", "report"): "evergreen.steps.watching:REPORT",
    ("model", "decide"): "evergreen.steps.deciding:DECIDE",
    ("model", "ring"): "evergreen.steps.deciding:RING",
    ("model", "claim"): "evergreen.steps.claiming:CLAIM",
    ("model", "train"): "evergreen.steps.learning:TRAIN",
    ("model", "evaluate"): "evergreen.steps.judging:EVALUATE",
    ("model", "register"): "evergreen.steps.judging:REGISTER",
    ("model", "verify"): "evergreen.steps.deploying:VERIFY",
    ("model", "roll_out"): "evergreen.steps.deploying:ROLL_OUT",
    ("model", "settle"): "evergreen.steps.deploying:SETTLE",
    ("model", "act"): "evergreen.steps.acting:ACT",
}
"""Where each step stands; imported when it runs."""


def digest(document: object) -> str:
    """Hex SHA-256 of a JSON document in canonical form."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def run_step(inp: StepInput, settings: Settings) -> StepResult:
    """Runs a step once per key.

    Raises:
        UserError: For a mistake of the caller; a retry would meet it again.
        NotReady: When what is waited for is not there yet.
        TransientError: For a fault that a retry may not meet again.
    """
    from evergreen.steps.context import StepContext

    step = _find(inp.kind, inp.step)
    ctx = StepContext(inp, settings)
    try:
        _ = ctx.sweeps  # before anything is read
        return _run(step, ctx, inp)
    except DataError as error:
        if ctx.is_overtaken():  # what it read went while it ran, which another try does not meet
            raise TransientError(f"Rows were erased while {inp.step} of {inp.resource} ran: {error}") from error
        raise
    finally:
        ctx.close()


def _run(step: Step, ctx: StepContext, inp: StepInput) -> StepResult:
    head = {"step": inp.step, "kind": inp.kind, "resource": inp.resource, "as_of": inp.as_of, "work": inp.workspace}
    if step.depends is None:
        key = digest({**head, "run": inp.run.model_dump()})
        acted = _result(key, inp, step.run(ctx))
        faults.point(f"{inp.step}.event:before")
        return acted
    key = digest({**head, "depends": dict(step.depends(ctx))})
    name = f"{inp.kind}.{inp.step}"
    stored = ctx.lake.manifests.get(name, key)
    if stored is not None:
        log.info("Step %s of %s as of %s was done before (key %s)", name, inp.resource, inp.as_of, key[:12])
        return StepResult.model_validate(stored)
    result = _result(key, inp, step.run(ctx._replace_key(key)))
    faults.point(f"{inp.step}.manifest:before")
    kept = ctx.lake.manifests.put_if_absent(name, key, result.model_dump(mode="json"))
    faults.point(f"{inp.step}.manifest:after")
    if (
        step.keeps_rows and ctx.is_overtaken()
    ):  # asked after it stands: either we see the erasure, or it sees what stands
        ctx.lake.manifests.forget(name, key)
        ctx.refuse_overtaken()
    return StepResult.model_validate(kept)


def _find(kind: Kind, name: str) -> Step:
    target = STEPS.get((kind, name))
    if target is None:
        known = ", ".join(sorted(step for k, step in STEPS if k == kind))
        raise UserError("step", f"must be one of {known} for a {kind}", value=name)
    module, _, attribute = target.partition(":")
    step: Step = getattr(importlib.import_module(module), attribute)
    return step


def _result(key: str, inp: StepInput, outcome: Outcome) -> StepResult:
    return StepResult(
        key=key,
        as_of=inp.as_of,
        output=dict(outcome.output),
        skip=outcome.skip,
        event=None if outcome.event is None else dict(outcome.event),
        links=dict(outcome.links),
    )
