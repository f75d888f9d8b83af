"""Requests of a run: asked for, claimed, given back. All that is claimed together has one as_of."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from evergreen.errors import UserError
from evergreen.steps import tables
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step, digest

if TYPE_CHECKING:
    from evergreen.store.claims import Request

log = logging.getLogger(__name__)

LEASE_SECONDS = 3600.0


class _Answered(NamedTuple):
    training_id: str
    state: Literal["done", "refused"]
    note: str


def claim(ctx: StepContext) -> Outcome:
    """Claims all open requests of one as_of: its own, or, where there is none, one that is left over.

    A run that a person started writes a request first, and takes nothing of another as_of. Requests that an earlier
    training of the same code and data has answered in the meantime are closed by it.
    """
    from evergreen.store.requests import Requests

    requests = Requests(ctx.store)
    by_hand = ctx.inp.run.run_type == "manual"
    if by_hand:
        answered = _asked_before(ctx, ask(ctx))
        if answered is not None:
            return Outcome(skip=answered)
    claimed = requests.claim(ctx.name, ctx.claimer, LEASE_SECONDS, as_of_time=ctx.as_of_time, only=by_hand)
    if not claimed:
        return Outcome(skip=f"no request of {ctx.name} is open: another run has taken them, or they were withdrawn")
    as_of = ctx.as_of if claimed[0].as_of_time == ctx.as_of_time else claimed[0].as_of
    withdrawn = _withdrawn(ctx, as_of, [request.id for request in claimed])
    if withdrawn is not None:
        return withdrawn
    trained = _answered_before(ctx, as_of)
    if trained is not None:
        requests.answer(
            [r.id for r in claimed],
            trained.state,
            claimer=ctx.claimer,
            training_id=trained.training_id,
            note=trained.note,
        )
        told = f" ({trained.state}: {trained.note})" if trained.state == "refused" else ""
        what = f"{ctx.name} was trained for {as_of} on the same code and data: {trained.training_id[:12]}"
        return Outcome(skip=f"{what}{told}")
    causes = sorted({cause for request in claimed for cause in request.cause.split(",")})
    log.info("Claimed %d request(s) of %s as of %s: %s", len(claimed), ctx.name, as_of, ", ".join(causes))
    return Outcome(
        {
            "requests": [request.id for request in claimed],
            "causes": causes,
            "reason": "; ".join(dict.fromkeys(request.reason for request in claimed))[:1000],
            "as_of": as_of,
        }
    )


def ask(ctx: StepContext) -> Request:
    """Writes the request of a run that a person started, once for the same code and data.

    One that was withdrawn says no to what asked then; a person who asks later gets a request of their own.
    """
    from evergreen.store.claims import MANUAL
    from evergreen.store.requests import Requests

    reason = str(ctx.inp.conf.get("reason") or "asked for by hand")
    if len(reason) > 500:
        raise UserError("conf reason", "must have at most 500 characters", value=reason)
    again = str(ctx.inp.conf.get("again") or "")
    key = digest([ctx.name, ctx.as_of, MANUAL, ctx.inp.workspace, tables.versions(ctx, ctx.model), again])
    while True:
        request = Requests(ctx.store).open(
            ctx.name,
            ctx.as_of,
            ctx.as_of_time,
            cause=MANUAL,
            reason=f"{ctx.inp.actor}: {reason}",
            dedupe_key=key,
            evidence={"run": ctx.claimer, "files": ctx.inp.workspace},
        )
        if request.state != "withdrawn" or request.evidence.get("run") == ctx.claimer:
            return request
        key = digest([key, request.id])


def _asked_before(ctx: StepContext, request: Request) -> str | None:
    """Why a person's request is not worked on: it has its answer."""
    if request.created or request.state in ("open", "claimed"):
        return None
    if request.state == "withdrawn":
        return f"request {request.id} of {ctx.name} was withdrawn ({request.note})"
    what = "could not be trained" if request.state == "cannot_train" else "was trained"
    told = f": {request.note}" if request.state == "cannot_train" else ""
    return (
        f"{ctx.name} {what} for {ctx.as_of} on the same code and data before (request {request.id}, {request.state}"
        f'{told}); to do it all the same give conf {{"again": "any word"}}'
    )


def withdrawn_skip(ctx: StepContext) -> Outcome | None:
    """How a run ends whose requests a person has withdrawn, all of them, after they were claimed."""
    claimed = ctx.inp.inputs["claim"]
    return _withdrawn(ctx, claimed["as_of"], claimed["requests"])


def _withdrawn(ctx: StepContext, as_of: str, ids: Sequence[int]) -> Outcome | None:
    from evergreen.store.requests import Requests

    notes = Requests(ctx.store).withdrawn_from(ctx.name, ctx.claimer, ids)
    return Outcome(skip=f"the requests of {ctx.name} as of {as_of} were withdrawn ({notes})") if notes else None


@contextmanager
def giving_back(ctx: StepContext) -> Iterator[None]:
    """Opens the run's requests again when a person's mistake ends it: who asks after the repair must find them."""
    from evergreen.store.requests import Requests

    try:
        yield
    except UserError:
        for request in Requests(ctx.store).give_back(ctx.name, ctx.claimer):
            log.warning(
                "Request %d of %s (%s as of %s) is open again: ask once more after the repair, or end it by "
                "`evergreen withdraw %s %d --reason ...`",
                request.id, ctx.name, request.cause, request.as_of, ctx.name, request.id,
            )  # fmt: skip
        raise


def answering(ctx: StepContext) -> dict[str, Any]:
    """The requests that a run answers, and whether they still are to be answered."""
    withdrawn = withdrawn_skip(ctx)
    return {
        "requests": ctx.inp.inputs["claim"]["requests"],
        **({} if withdrawn is None else {"withdrawn": withdrawn.skip}),
    }


def _answered_before(ctx: StepContext, as_of: str) -> _Answered | None:
    """What a training of the same as_of, code and table versions answered, if there is one.

    A no counts as long as it stands: said against champions that count no more, it is asked for again.
    """
    from evergreen.registry.candidates import is_settled, newest_verdict
    from evergreen.registry.judgement import Judged
    from evergreen.store.decisions import Decisions
    from evergreen.store.ledger import Ledger
    from evergreen.store.trainings import Trainings

    if ctx.inp.conf.get("again"):
        return None
    now, entries = tables.versions(ctx, ctx.model), Ledger(ctx.store).entries(ctx.name)
    gates = Decisions(ctx.store).of(ctx.name, kind="gate")
    for training in Trainings(ctx.store).of(ctx.name):
        same = training.as_of == as_of and training.workspace == ctx.inp.workspace
        if not same or training.inputs.get("tables") != now:
            continue
        verdict = newest_verdict(training, gates)
        is_no = verdict is not None and verdict.verdict != "accept" and not is_settled(training, entries)
        if verdict is None or not is_no:
            if training.adopted_version is not None:
                return _Answered(training.training_id, "done", "answered by an earlier training")
            continue
        judged = Judged.read(verdict)
        if judged is not None and judged.stands(entries):
            return _Answered(training.training_id, "refused", "; ".join(verdict.reasons)[:1000])
    return None


CLAIM = Step(claim)
