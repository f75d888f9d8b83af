"""Evidence on a champion, found in the store's records: what was judged of it, and what was acted on before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from evergreen.steps.context import StepContext

if TYPE_CHECKING:
    from evergreen.monitoring.evidence import Asked, Window
    from evergreen.steps.counting import LabelHistory
    from evergreen.store.history import Promotion
    from evergreen.store.requests import Request
    from evergreen.store.trainings import Training


def windows(ctx: StepContext, champion: Promotion | None) -> list[Window]:
    """Judged windows of the champion since it serves, oldest first; of several reports of one the last counts."""
    from evergreen.monitoring.evidence import Window
    from evergreen.store.decisions import Decisions

    if champion is None:
        return []
    newest = {
        report.as_of_time: report
        for report in Decisions(ctx.store).of(ctx.name, kind="drift")
        if report.version == champion.version and champion.as_of_time < report.as_of_time <= ctx.as_of_time
    }
    judged = [newest[moment] for moment in sorted(newest) if newest[moment].verdict in ("drift", "no drift")]
    return [Window(report.as_of, report.verdict == "drift") for report in judged]


def asked(ctx: StepContext, requests: Sequence[Request], version: int | None, history: LabelHistory) -> list[Asked]:
    """Earlier requests of the policy for the champion, with the evidence that they spent."""
    from evergreen.monitoring.evidence import Asked

    return [
        Asked(
            request.id,
            request.as_of_time,
            request.evidence["found"],
            is_unjudged=_is_unjudged(ctx, request),
            labels_since=history.labels_since(request.as_of_time),
        )
        for request in requests
        if "found" in request.evidence and request.evidence.get("version") == version
    ]


def _is_unjudged(ctx: StepContext, request: Request) -> bool:
    """Whether more rows, rather than other code, may make a verdict of it."""
    from evergreen.registry.candidates import newest_verdict
    from evergreen.store.decisions import Decisions
    from evergreen.store.trainings import Trainings

    training = None if request.training_id is None else Trainings(ctx.store).get(request.training_id)
    if training is None:
        return request.state not in ("open", "claimed", "withdrawn")
    gate = newest_verdict(training, Decisions(ctx.store).of(ctx.name, kind="gate"))
    return gate is not None and gate.verdict == "cannot_judge"


def since(trained: datetime | None, asked: Sequence[Asked], kind: str) -> datetime | None:
    """From when on rows are counted: the champion's training, or the last request for their sake."""
    moments = [each.as_of_time for each in asked if kind in each.found]
    return max([*moments, *([trained] if trained is not None else [])], default=None)


def baseline(training: Training | None, asked: Sequence[Asked]) -> dict[str, int]:
    """Table versions that a correction is measured against: of the last request for one, else of the training."""
    found = [each.found["upstream"] for each in asked if "upstream" in each.found]
    if found:
        pairs = (each.rpartition("@") for each in found[-1])
        return {name: int(number) for name, _, number in pairs}
    return {} if training is None else dict(training.inputs.get("tables", {}))
