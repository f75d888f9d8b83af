"""What becomes of an interval, noted for those that come after: published, or skipped and why.

A skipped task rings nothing, so the last task of an ingestion or a build runs after a skipped one too, publishes
nothing and rings all the same: whoever is woken finds here what is missing, and need not wait for it.
"""

from __future__ import annotations

from typing import NamedTuple

from evergreen.errors import shorten
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome

NAMED = 10
"""At most so many inputs are named in a step's output."""


class Arrivals(NamedTuple):
    """How far the inputs of a model's period have come.

    Attributes:
        awaited: Of which nothing is noted for the period yet.
        skipped: Of which there is nothing for it, and why; what was published before is read.
    """

    awaited: list[str]
    skipped: dict[str, str]


def skipped(ctx: StepContext, reason: str) -> Outcome:
    """Ends the step skipped, and notes why."""
    from evergreen.store.intervals import Intervals

    Intervals(ctx.store).skipped(ctx.name, ctx.as_of, ctx.as_of_time, reason)
    return Outcome(skip=reason)


def published(ctx: StepContext) -> None:
    """Notes that the interval's rows stand in the resource's table."""
    from evergreen.store.intervals import Intervals

    Intervals(ctx.store).published(ctx.name, ctx.as_of, ctx.as_of_time)


def why_nothing(ctx: StepContext, before: str) -> str | None:
    """Why the step before was skipped; ``None`` when it was not.

    Args:
        before: The step whose output there would be.
    """
    from evergreen.store.intervals import Intervals

    if ctx.inp.inputs.get(before):
        return None
    noted = Intervals(ctx.store).at([ctx.name], ctx.as_of_time).get(ctx.name)
    return None if noted is None else noted.reason or "nothing new was found"


def nothing(ctx: StepContext, reason: str) -> Outcome:
    """Publishes nothing and lets it ring."""
    told = {"skipped": shorten(reason, 500)}
    return Outcome(told, event=told)


def arrivals(ctx: StepContext) -> Arrivals:
    """How far the inputs have come that a model's monitoring waits for (see :func:`evergreen.spec.cadence.driving`)."""
    from evergreen.spec.cadence import driving
    from evergreen.store.intervals import Intervals

    names = driving(ctx.model, ctx.workspace.datasets, ctx.workspace.views)
    noted = Intervals(ctx.store).at(names, ctx.as_of_time)
    return Arrivals(
        [name for name in names if name not in noted],
        {name: noted[name].reason for name in names if name in noted and noted[name].state == "skipped"},
    )


def told(missing: dict[str, str]) -> dict[str, str]:
    """What is missing, as small as a step's output must be."""
    few = {name: shorten(reason, 200) for name, reason in list(missing.items())[:NAMED]}
    return few | ({"…": f"and {len(missing) - NAMED} more"} if len(missing) > NAMED else {})
