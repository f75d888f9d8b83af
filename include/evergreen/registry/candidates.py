"""Candidates: adopted versions that the gate accepted and that nobody has decided about yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from evergreen.registry.judgement import Judged
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
        judged: What its newest verdict was made on; absent when the store does not say, so that it must be made again.
    """

    model: str
    version: int
    training_id: str
    as_of: str
    as_of_time: datetime
    requested_seq: int
    workspace: str = ""
    judged: Judged | None = None

    @property
    def order(self) -> tuple[datetime, int]:
        """What makes one candidate newer than another: later data, then the later version."""
        return self.as_of_time, self.version


def gate_key(training_id: str, seq: int | None = None) -> str:
    """The key of a training's gate decision, which may be made before it has a version.

    Args:
        seq: Number of the ledger, of every judgement after the first.
    """
    return f"gate:{training_id}" if seq is None else f"gate:{training_id}:{seq}"


def newest_verdict(training: Training, decisions: Sequence[Decision]) -> Decision | None:
    """The gate decision on a training, or on its version, that counts: of the highest ledger number, then the last.

    Not simply the last: a task that hung may record an old judgement late.

    Args:
        decisions: On the model, in the order of recording.
    """
    first = gate_key(training.training_id)
    mine = [
        decision
        for decision in decisions
        if decision.kind == "gate"
        and (
            decision.key == first
            or decision.key.startswith(f"{first}:")
            or (decision.version is not None and decision.version == training.adopted_version)
        )
    ]
    ordered = sorted(mine, key=lambda decision: -1 if decision.ledger_seq is None else decision.ledger_seq)
    return ordered[-1] if ordered else None


def is_settled(training: Training, entries: Sequence[Promotion]) -> bool:
    """Whether the ledger knows the training's version: what was decided by its verdict is done, and it stays."""
    return training.adopted_version is not None and any(e.version == training.adopted_version for e in entries)


def has_passed_gate(training: Training, decisions: Sequence[Decision]) -> bool:
    """Whether the newest gate decision on the training accepts it."""
    verdict = newest_verdict(training, decisions)
    return verdict is not None and verdict.verdict == "accept"


def candidate_of(training: Training, decisions: Sequence[Decision] = ()) -> Candidate | None:
    """The candidate that a training gave; ``None`` before it adopted a version.

    Args:
        decisions: On the model, in the order of recording: they say what it was judged on.
    """
    if training.adopted_version is None:
        return None
    verdict = newest_verdict(training, decisions)
    return Candidate(
        model=training.model,
        version=training.adopted_version,
        training_id=training.training_id,
        as_of=training.as_of,
        as_of_time=training.as_of_time,
        requested_seq=training.requested_seq,
        workspace=training.workspace,
        judged=None if verdict is None else Judged.read(verdict),
    )


def waiting(
    trainings: Sequence[Training], decisions: Sequence[Decision], entries: Sequence[Promotion]
) -> list[Candidate]:
    """Candidates that wait, newest first; the first supersedes the others.

    Left out are versions that have served, versions that a ``deployment`` decision refused or superseded, and those
    older than one that was promoted since. A verdict that must be made again keeps a candidate waiting.

    Args:
        trainings: All of the model.
        decisions: All on the model, in the order of recording.
        entries: The model's ledger.
    """
    served = {entry.version for entry in entries if entry.serves}
    closed = {d.version for d in decisions if d.kind == "deployment" and d.verdict in _CLOSED}
    every = [candidate for training in trainings if (candidate := candidate_of(training, decisions)) is not None]
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


def candidates(store: Store, model: str, entries: Sequence[Promotion] | None = None) -> list[Candidate]:
    """Candidates of a model that wait, newest first.

    Args:
        entries: The model's ledger where the caller has read it; read now when absent.
    """
    known = Ledger(store).entries(model) if entries is None else entries
    return waiting(Trainings(store).of(model), Decisions(store).of(model), known)
