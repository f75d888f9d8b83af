"""Candidates: adopted versions that the gate accepted and that nobody has decided about yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from evergreen.store.decisions import Decision, Decisions
from evergreen.store.history import Promotion
from evergreen.store.ledger import Ledger
from evergreen.store.store import Store
from evergreen.store.trainings import Training, Trainings

_CLOSED = frozenset({"refused", "superseded"})


@dataclass(frozen=True)
class Candidate:
    """A version that could be promoted.

    Attributes:
        as_of: The training's; ``as_of_time`` is its instant.
        requested_seq: Number of the ledger entry after which its training was requested (see ``Training``).
        workspace: Digest of the files that it was trained by.
    """

    model: str
    version: int
    training_id: str
    as_of: str
    as_of_time: datetime
    requested_seq: int
    workspace: str = ""

    @property
    def order(self) -> tuple[datetime, int]:
        """What makes one candidate newer than another: later data, then the later version."""
        return self.as_of_time, self.version


def gate_key(training_id: str) -> str:
    """The key under which a training's gate decision is recorded, which may be before it has a version."""
    return f"gate:{training_id}"


def has_passed_gate(training: Training, decisions: Sequence[Decision]) -> bool:
    """Whether the newest gate decision on the training, or on the version it adopted, accepts it."""
    verdicts = [
        decision.verdict
        for decision in decisions
        if decision.kind == "gate"
        and (
            decision.key == gate_key(training.training_id)
            or (decision.version is not None and decision.version == training.adopted_version)
        )
    ]
    return bool(verdicts) and verdicts[-1] == "accept"


def candidate_of(training: Training) -> Candidate | None:
    """The candidate that a training gave; ``None`` before it adopted a version."""
    if training.adopted_version is None:
        return None
    return Candidate(
        model=training.model,
        version=training.adopted_version,
        training_id=training.training_id,
        as_of=training.as_of,
        as_of_time=training.as_of_time,
        requested_seq=training.requested_seq,
        workspace=training.workspace,
    )


def waiting(
    trainings: Sequence[Training], decisions: Sequence[Decision], entries: Sequence[Promotion]
) -> list[Candidate]:
    """Candidates that wait, newest first; the first supersedes the others.

    Left out are versions that have served, versions that a ``deployment`` decision refused or superseded, and those
    older than one that was promoted since.

    Args:
        trainings: All of the model.
        decisions: All on the model, in the order of recording.
        entries: The model's ledger.
    """
    served = {entry.version for entry in entries if entry.serves}
    closed = {d.version for d in decisions if d.kind == "deployment" and d.verdict in _CLOSED}
    every = [candidate for training in trainings if (candidate := candidate_of(training)) is not None]
    overtaken = max((candidate.order for candidate in every if candidate.version in served), default=None)
    accepted = {training.training_id for training in trainings if has_passed_gate(training, decisions)}
    return sorted(
        (
            candidate
            for candidate in every
            if candidate.training_id in accepted
            and candidate.version not in served | closed
            and (overtaken is None or candidate.order > overtaken)
        ),
        key=lambda candidate: candidate.order,
        reverse=True,
    )


def candidates(store: Store, model: str) -> list[Candidate]:
    """Candidates of a model that wait, newest first."""
    return waiting(Trainings(store).of(model), Decisions(store).of(model), Ledger(store).entries(model))
