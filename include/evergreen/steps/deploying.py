"""Deployment: verify -> roll out -> settle. The store decides by compare-and-set; gateways follow and acknowledge."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError, Superseded, TransientError
from evergreen.steps import bundles
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step

if TYPE_CHECKING:
    from evergreen.registry.candidates import Candidate
    from evergreen.store.decisions import Decision
    from evergreen.store.gateways import Gateway
    from evergreen.store.history import Promotion

log = logging.getLogger(__name__)

LIVE_SECONDS = 15.0
"""A gateway that was not seen for so long counts as gone."""

GOLDEN_TOLERANCE = 1e-9
LATENCY_CALLS = 11


def verify(ctx: StepContext) -> Outcome:
    """Finds the newest waiting candidate that may be promoted, and tries it: loads, golden rows, latency.

    One that may not be, as by a hold, keeps no other from it. Where none may, the newest is recorded with its reasons.
    A candidate whose verdict was made against other champions than those of now is judged again first, and promoted
    after the very entry that this was done on.
    """
    from evergreen.registry.candidates import candidates
    from evergreen.registry.verdict import promotable
    from evergreen.steps.judging import verdict_on
    from evergreen.store.ledger import Ledger

    entries = Ledger(ctx.store).entries(ctx.name)
    waiting = candidates(ctx.store, ctx.name, entries)
    candidate = _first_that_may(waiting, entries) or _passed_over(ctx)
    if candidate is None:
        return Outcome(skip=_turned_down(ctx) or f"no candidate of {ctx.name} is waiting")
    verdict = promotable(candidate, entries, base_seq=len(entries), waiting=waiting)
    is_stale = verdict.codes == {"stale_verdict"}
    if is_stale and waiting:
        log.info("%s", verdict)
        again = verdict_on(ctx, candidate.training_id, entries)
        if again.verdict != "accept":
            return Outcome(skip=_no(candidate, again))
    elif not verdict.ok and not is_stale:
        reasons = [reason.text for reason in verdict.reasons]
        _record(ctx, candidate, verdict.reasons[0].code, reasons, {})
        return Outcome(skip=f"{ctx.name} is not promoted: {' '.join(reasons)}")
    figures, reasons = _tried(ctx, candidate)
    if reasons:
        _record(ctx, candidate, "refused", reasons, figures)
        return Outcome(skip=f"version {candidate.version} of {ctx.name} failed its checks: {'; '.join(reasons)}")
    log.info("Verified %s version %d: %s", ctx.name, candidate.version, figures)
    return Outcome(
        {
            "version": candidate.version,
            "training_id": candidate.training_id,
            "base_seq": len(entries),
            "as_of": candidate.as_of,
            "figures": figures,
        }
    )


def roll_out(ctx: StepContext) -> Outcome:
    """Promotes by compare-and-set on the sequence read at the start, then waits until every live gateway follows."""
    from evergreen.registry.candidates import candidate_of
    from evergreen.registry.promotion import promote
    from evergreen.store.trainings import Trainings

    plan = ctx.inp.inputs["verify"]
    training = Trainings(ctx.store).get(plan["training_id"])
    candidate = None if training is None else candidate_of(training)
    if training is None or candidate is None:
        raise DataError(f"{ctx.name} training {plan['training_id']}", "must have an adopted version")
    try:
        entry = promote(
            ctx.store,
            candidate,
            expected_seq=plan["base_seq"],
            actor="evergreen",
            reason=f"accepted by the gate; asked for by {', '.join(map(str, training.causes))}",
            evidence={"checks": plan["figures"]},
        )
    except Superseded as error:
        _record(ctx, candidate, "superseded", [str(error)], {})
        return Outcome(skip=f"version {candidate.version} of {ctx.name} is not promoted: {error}")
    live = _followed(ctx, entry)
    log.info("Rolled out %s version %s (seq %d) to %d gateway(s)", ctx.name, entry.version, entry.seq, len(live))
    done = {"version": entry.version, "seq": entry.seq, "gateways": len(live), "as_of": entry.as_of}
    return Outcome(done, links=bundles.run_link(ctx, entry.version))


def _followed(ctx: StepContext, entry: Promotion) -> list[Gateway]:
    """Waits until every live gateway serves by an entry; one that knows nothing of the model yet is behind, too.

    Raises:
        TransientError: When one does not within the time, with what it says itself.
    """
    from evergreen.store.gateways import Gateways

    gateways, told = Gateways(ctx.store), set[str]()
    deadline = time.monotonic() + ctx.settings.gateway_ack_seconds
    while True:
        live = gateways.live(ctx.name, LIVE_SECONDS)
        behind = [gateway for gateway in live if gateway.applied_seq < entry.seq]
        if not behind:
            return live
        for gateway in behind:
            if gateway.fault_seq >= entry.seq and gateway.instance not in told:
                told.add(gateway.instance)
                log.warning("Gateway %s cannot serve %s, %s", gateway.instance, ctx.name, gateway.fault)
        if time.monotonic() > deadline:
            raise TransientError(unfollowed(entry, behind, ctx.settings.gateway_ack_seconds))
        time.sleep(0.2)


def unfollowed(entry: Promotion, behind: Sequence[Gateway], seconds: float) -> str:
    """What keeps gateways from an entry, for who deploys: what each of them says, or that it says nothing."""
    lines = [
        f"{gateway.instance} ({gateway.url}) "
        + (
            f"cannot serve it: {gateway.fault}."
            if gateway.fault_seq >= entry.seq
            else f"still serves by seq {gateway.applied_seq}."
            if gateway.applied_seq
            else "has not loaded any version of it yet."
        )
        for gateway in behind
    ]
    return (
        f"{entry.model} version {entry.version} is promoted (seq {entry.seq}), but {len(behind)} live gateway(s) did "
        f"not acknowledge it within {seconds:g} s and answer as before. {' '.join(lines)} "
        "Mend that and clear this task, or roll the model back; the gateways go on trying."
    )


def settle(ctx: StepContext) -> Outcome:
    """Copies the decision to MLflow's aliases and checks that what serves is what was promoted."""
    from evergreen.registry.aliases import heal_aliases
    from evergreen.serving.probe import serving_version
    from evergreen.store.gateways import Gateways
    from evergreen.store.ledger import Ledger

    done = ctx.inp.inputs["roll_out"]
    heal_aliases(ctx.store, ctx.tracking, ctx.name)
    champion = Ledger(ctx.store).champion(ctx.name)
    serving = None if champion is None else champion.version
    event = {"version": serving, "seq": None if champion is None else champion.seq}
    if serving != done["version"]:
        log.warning("%s version %s was superseded by %s meanwhile", ctx.name, done["version"], serving)
    elif ctx.settings.gateway_url and (live := Gateways(ctx.store).live(ctx.name, LIVE_SECONDS)):
        answered = serving_version(ctx.settings.gateway_url, ctx.name)
        if answered != serving:
            faults = "".join(f" {gateway.instance} says: {gateway.fault}." for gateway in live if gateway.fault)
            raise TransientError(
                f"the gateway at {ctx.settings.gateway_url} serves version {answered} of {ctx.name}, "
                f"the store says {serving}.{faults}"
            )
        event["gateway_serves"] = answered
    return Outcome(event, event=event, links=bundles.run_link(ctx, serving))


def _first_that_may(waiting: Sequence[Candidate], entries: Sequence[Promotion]) -> Candidate | None:
    """The newest candidate that may be promoted, once it is judged again where it must be; else the newest."""
    from evergreen.registry.verdict import promotable

    for candidate in waiting:
        verdict = promotable(candidate, entries, base_seq=len(entries), waiting=waiting)
        if verdict.codes <= {"stale_verdict"}:
            return candidate
    return next(iter(waiting), None)


def _passed_over(ctx: StepContext) -> Candidate | None:
    """A candidate of this run's own as_of that no longer waits, so that its end is recorded with its reasons."""
    from evergreen.registry.candidates import candidate_of, has_passed_gate
    from evergreen.store.decisions import Decisions
    from evergreen.store.ledger import Ledger
    from evergreen.store.trainings import Trainings

    decisions = Decisions(ctx.store).of(ctx.name)
    known = {entry.version for entry in Ledger(ctx.store).entries(ctx.name)}
    known |= {decision.version for decision in decisions if decision.kind == "deployment"}
    for training in Trainings(ctx.store).of(ctx.name):
        candidate = candidate_of(training, decisions)
        if candidate is None or training.as_of != ctx.as_of or candidate.version in known:
            continue
        if has_passed_gate(training, decisions):
            return candidate
    return None


def _turned_down(ctx: StepContext) -> str | None:
    """Why the newest candidate of this run's own as_of no longer waits, if the gate took its yes back."""
    from evergreen.registry.candidates import candidate_of, is_settled, newest_verdict
    from evergreen.store.decisions import Decisions
    from evergreen.store.ledger import Ledger
    from evergreen.store.trainings import Trainings

    decisions, entries = Decisions(ctx.store).of(ctx.name), Ledger(ctx.store).entries(ctx.name)
    for training in reversed(Trainings(ctx.store).of(ctx.name)):
        candidate = candidate_of(training)
        if candidate is None or training.as_of != ctx.as_of:
            continue
        newest = newest_verdict(training, decisions)
        if newest is None or newest.verdict == "accept" or is_settled(training, entries):
            return None
        return _no(candidate, newest)
    return None


def _no(candidate: Candidate, verdict: Decision) -> str:
    return (
        f"version {candidate.version} of {candidate.model} is not promoted: judged again at seq {verdict.ledger_seq}, "
        f"the gate says {verdict.verdict}: {'; '.join(verdict.reasons)}"
    )


def _tried(ctx: StepContext, candidate: Candidate) -> tuple[dict[str, Any], list[str]]:
    """Figures of a trial run of the bundle, and what is wrong with it."""
    training = bundles.training_of(ctx, candidate.version)
    loaded = bundles.load(ctx, training.bundle)
    difference = loaded.golden_difference()
    rows = loaded.document["golden"]["rows"][:1]
    took = []
    for _ in range(LATENCY_CALLS):
        began = time.perf_counter()
        loaded.predict_rows(rows)
        took.append(1000 * (time.perf_counter() - began))
    median = sorted(took)[len(took) // 2]
    most = ctx.model.deployment.max_latency_ms
    reasons = []
    if difference > GOLDEN_TOLERANCE:
        reasons.append(
            f"golden rows differ from training's predictions by {difference:.3g}, at most {GOLDEN_TOLERANCE:g}"
        )
    if median > most:
        reasons.append(f"one row takes {median:.3g} ms (median), deployment.max_latency_ms is {most:g}")
    return {"golden_difference": difference, "latency_ms": round(median, 3)}, reasons


def _record(ctx: StepContext, candidate: Candidate, verdict: str, reasons: list[str], figures: dict[str, Any]) -> None:
    from evergreen.store.decisions import Decisions

    Decisions(ctx.store).record(
        kind="deployment",
        resource=ctx.name,
        as_of=candidate.as_of,
        as_of_time=candidate.as_of_time,
        verdict=verdict,
        figures=figures,
        reasons=reasons,
        key=f"deploy:{candidate.training_id}:{verdict}",
        version=candidate.version,
        historic=verdict == "historic",
    )
    log.info("Deployment of %s version %s: %s (%s)", ctx.name, candidate.version, verdict, "; ".join(reasons))


VERIFY = Step(verify)
ROLL_OUT = Step(roll_out)
SETTLE = Step(settle)
