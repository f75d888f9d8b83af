"""Who takes which request: what a request is, and the pure decision of a claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

State = Literal["open", "claimed", "done", "refused", "not_needed", "superseded", "withdrawn", "cannot_train"]
Answer = Literal["done", "refused", "not_needed", "superseded", "cannot_train"]
MANUAL = "manual"
"""Cause of what a person asks for by hand: it is answered by a training of its own, or withdrawn."""


@dataclass(frozen=True)
class Request:
    """A wish for a training.

    Attributes:
        cause: ``drift``, ``decay``, ``new_rows``, ``manual``, …
        after_seq: Number of the model's newest ledger entry when it was written: a hold of that seq or an older one
            does not bind what this request leads to.
        lease_until: Until when (wall clock) nobody else may take it from ``claimed_by``.
        joined: Whether it came too late for ``claimed_by`` to take, but is answered by its claim.
        tries: How often it was claimed.
        note: What it was answered with: the version, the reason.
        created: Whether this very call inserted it; known to :meth:`Requests.open` alone.
    """

    id: int
    model: str
    dedupe_key: str
    cause: str
    reason: str
    evidence: Mapping[str, Any]
    as_of: str
    as_of_time: datetime
    created_at: datetime
    after_seq: int
    state: State
    claimed_by: str | None
    lease_until: datetime | None
    joined: bool
    training_id: str | None
    note: str
    answered_at: datetime | None
    tries: int
    created: bool = False


class Shares(NamedTuple):
    """What a claim does with the unanswered requests."""

    taken: list[Request]
    renewed: list[Request]
    joined: list[tuple[Request, Request]]
    """Requests, each with the live one that answers it too."""


def share_out(
    unanswered: Sequence[Request], claimer: str, now: datetime, *, as_of_time: datetime | None, only: bool, again: bool
) -> Shares:
    """Decides a claim; see :meth:`Requests.claim`.

    Args:
        unanswered: The model's open and claimed requests.
        again: Whether the claimer has claimed before.
    """
    live = [r for r in unanswered if r.claimed_by is not None and r.lease_until is not None and r.lease_until >= now]
    shares, free = Shares([], [], []), []
    for request in unanswered:
        other = next((each for each in live if each.claimed_by != claimer and answers(each, request)), None)
        if request.claimed_by == claimer:
            shares.renewed.append(request)
        elif request in live:
            continue
        elif request.state == "open" and other is not None:
            shares.joined.append((request, other))
        else:
            free.append(request)
    if not again:
        chosen = _next_as_of(free, as_of_time, only=only)
        shares.taken.extend(request for request in free if request.as_of_time == chosen)
    return shares


def _next_as_of(free: Sequence[Request], as_of_time: datetime | None, *, only: bool) -> datetime | None:
    """The as_of to train: one's own; else the one that was tried least often, of these the newest."""
    if only or any(request.as_of_time == as_of_time for request in free):
        return as_of_time
    tries: dict[datetime, int] = {}
    for request in free:
        tries[request.as_of_time] = max(request.tries, tries.get(request.as_of_time, 0))
    return min(sorted(tries, reverse=True), key=tries.__getitem__, default=None)


def answers(live: Request, request: Request) -> bool:
    """Whether a claimed request's training answers another: the same data, and nothing decided in between.

    What is asked for the sake of certain files (by a person, or since they changed) only a claimer answers that works
    by these.
    """
    same = live.as_of_time == request.as_of_time and live.after_seq >= request.after_seq
    wanted = wanted_files(request)
    return same and (wanted is None or (live.claimed_by or "").endswith(f"@{wanted}"))


def claimer_of(run: str, files: str) -> str:
    """The name under which a run claims: the same for each of its tries, and saying by which files it works.

    Args:
        files: Digest of the workspace that the run froze.
    """
    return f"{run}@{files}"


def wanted_files(request: Request) -> str | None:
    """Digest of the files that a request is about; ``None`` where any will do."""
    code = (request.evidence.get("found") or {}).get("code") or [None]
    wanted: str | None = request.evidence.get("files") or code[0]
    return wanted


def outdates(done: Request, request: Request) -> bool:
    """Whether a training on newer data made a machine's wish void, with nothing decided about the model between."""
    older = request.as_of_time < done.as_of_time and request.after_seq <= done.after_seq
    return older and request.cause != MANUAL
