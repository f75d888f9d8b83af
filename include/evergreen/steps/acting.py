"""Acts of a person: roll back, promote a named version, release a hold, withdraw a request."""

from __future__ import annotations

import logging

from evergreen.steps import bundles
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step

log = logging.getLogger(__name__)


def act(ctx: StepContext) -> Outcome:
    """Does what the run's conf says; see :func:`~evergreen.registry.acts.parse_rollback_conf`."""
    from evergreen.registry.acts import parse_rollback_conf, perform
    from evergreen.registry.aliases import heal_aliases

    wish = parse_rollback_conf(ctx.inp.conf)
    if wish.action == "withdraw" and wish.request is not None:
        return _withdraw(ctx, wish.request, wish.reason)
    run = f"{ctx.inp.run.dag_id}/{ctx.inp.run.run_id}"
    entry = perform(ctx.store, ctx.name, wish, actor=ctx.inp.actor, as_of=ctx.as_of, as_of_time=ctx.as_of_time, key=run)
    heal_aliases(ctx.store, ctx.tracking, ctx.name)
    log.info("%s: %s by %s gave version %s (seq %d)", ctx.name, wish.action, ctx.inp.actor, entry.version, entry.seq)
    event = {"action": wish.action, "version": entry.version, "seq": entry.seq}
    return Outcome(event, event=event, links=bundles.run_link(ctx, entry.version))


def _withdraw(ctx: StepContext, request: int, reason: str) -> Outcome:
    from evergreen.store.requests import Requests

    ended = Requests(ctx.store).withdraw(ctx.name, request, actor=ctx.inp.actor, reason=reason)
    log.info(
        "Request %d of %s (%s as of %s) is withdrawn: %s", ended.id, ctx.name, ended.cause, ended.as_of, ended.note
    )
    event = {"action": "withdraw", "request": ended.id}
    return Outcome(event, event=event)


ACT = Step(act)
