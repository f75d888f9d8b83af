"""May this candidate be promoted now? A pure decision over the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evergreen.registry.candidates import Candidate
from evergreen.store import history
from evergreen.store.history import Promotion

Code = Literal[
    "superseded", "rolled_back", "served_before", "historic", "held", "newer_candidate_waits", "stale_verdict"
]


@dataclass(frozen=True)
class Reason:
    """Why not: a word for programs and a sentence for people."""

    code: Code
    text: str


@dataclass(frozen=True)
class Verdict:
    """The decision: it may be promoted when there is no reason against it."""

    reasons: tuple[Reason, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the candidate may be promoted now."""
        return not self.reasons

    @property
    def codes(self) -> set[Code]:
        """The words of all reasons."""
        return {reason.code for reason in self.reasons}

    def __str__(self) -> str:
        return "may be promoted" if self.ok else " ".join(reason.text for reason in self.reasons)


def promotable(
    candidate: Candidate, entries: Sequence[Promotion], *, base_seq: int, waiting: Sequence[Candidate] = ()
) -> Verdict:
    """Decides whether a candidate may be promoted, with all reasons against it.

    Args:
        candidate: From an adopted version that the gate accepted. A verdict that no longer stands is a reason where
            there is no other, since it passes when the candidate is judged again.
        entries: The model's ledger.
        base_seq: The ledger's seq when the rollout began.
        waiting: Other candidates; one that is newer, and may itself be promoted, goes first.
    """
    name = f"Version {candidate.version} of {candidate.model}"
    reasons = _own_reasons(candidate, entries, name)
    seq = entries[-1].seq if entries else 0
    if seq != base_seq:
        since = next((entry for entry in entries if entry.seq == base_seq + 1), None)
        what = f" ({since.action} by {since.actor}: {since.reason})" if since else ""
        reasons.append(Reason("superseded", f"{name} was to follow seq {base_seq}, but seq {seq} stands{what}."))
    newer = [
        other.version
        for other in waiting
        if other.order > candidate.order and not _own_reasons(other, entries, str(other.version))
    ]
    if newer:
        reasons.append(Reason("newer_candidate_waits", f"{name} gives way to the newer version {max(newer)}."))
    return Verdict(tuple(reasons or _stale(candidate, entries, name)))


def _stale(candidate: Candidate, entries: Sequence[Promotion], name: str) -> list[Reason]:
    judged = candidate.judged
    if judged is None:
        return [Reason("stale_verdict", f"{name} was judged without a note on which champions: it is judged again.")]
    if judged.stands(entries):
        return []
    then, now = sorted(judged.rivals(entries)), sorted(history.recent_champions(entries, judged.memory))
    text = f"{name} was judged at seq {judged.seq} against versions {then}, but by now {now} count: it is judged again."
    return [Reason("stale_verdict", text)]


def _own_reasons(candidate: Candidate, entries: Sequence[Promotion], name: str) -> list[Reason]:
    reasons: list[Reason] = []
    by_name = "Only a person who names it brings it back."
    if candidate.version in history.rolled_back_versions(entries):
        reasons.append(Reason("rolled_back", f"{name} was rolled back. {by_name}"))
    elif any(entry.version == candidate.version for entry in entries):
        reasons.append(Reason("served_before", f"{name} serves or has served. {by_name}"))
    server = history.champion(entries)
    if server is not None and history.is_historic(entries, candidate.as_of_time):
        reasons.append(
            Reason("historic", f"{name}, as of {candidate.as_of}, is older than the champion, as of {server.as_of}.")
        )
    hold = history.hold(entries)
    if hold is not None and candidate.requested_seq < hold.seq:
        reasons.append(
            Reason(
                "held",
                f"{name} was requested before {hold.actor} held the model at seq {hold.seq} ({hold.reason}). "
                "Release the model, name the version, or request a training on newer data or code.",
            )
        )
    return reasons
