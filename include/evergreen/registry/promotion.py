"""Promotion: of a candidate by the machine, of a named version by a person."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from evergreen.errors import Superseded, UserError
from evergreen.registry.candidates import Candidate, candidates, has_passed_gate
from evergreen.registry.verdict import promotable
from evergreen.store import history
from evergreen.store.decisions import Decisions
from evergreen.store.history import Promotion
from evergreen.store.ledger import Ledger
from evergreen.store.store import Store
from evergreen.store.trainings import Trainings

log = logging.getLogger(__name__)


def promote(
    store: Store,
    candidate: Candidate,
    *,
    expected_seq: int,
    actor: str,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> Promotion:
    """Makes a candidate that waits the champion, once, if nothing was decided since its rollout began.

    Its newest verdict must stand at ``expected_seq``, and the entry is inserted after that very number.

    Args:
        candidate: Which one; what it was judged on is read from the store.
        expected_seq: The ledger's seq when the rollout began.
        key: What a retry is recognized by; the training's id by default, since a training is promoted once.

    Returns:
        The entry; of a repeated call the one that stands, even if something else serves by now.

    Raises:
        Superseded: When the candidate may not be promoted (any more); the message holds the reasons.
    """
    model, ledger = candidate.model, Ledger(store)
    key = key or f"promote:{candidate.training_id}"
    stored = ledger.by_key(model, key)
    if stored is not None:
        return stored
    entries = ledger.entries(model)
    waiting = candidates(store, model, entries)
    known = next((c for c in waiting if (c.version, c.training_id) == (candidate.version, candidate.training_id)), None)
    verdict = promotable(known or candidate, entries, base_seq=expected_seq, waiting=waiting)
    if known is None and verdict.codes <= {"stale_verdict"}:
        raise Superseded(
            f"Version {candidate.version} of {model} does not wait to be promoted: its training adopted another, "
            "the gate did not accept it, or its deployment was ended."
        )
    if known is None or not verdict.ok:
        raise Superseded(str(verdict))
    entry = ledger.append(
        model,
        expected_seq,
        version=candidate.version,
        action="promote",
        actor=actor,
        reason=reason,
        evidence={
            "training_id": candidate.training_id,
            "judged_seq": known.judged and known.judged.seq,
            **(evidence or {}),
        },
        as_of=candidate.as_of,
        as_of_time=candidate.as_of_time,
        key=key,
    )
    log.info("Promoted %s version %s at seq %s", model, entry.version, entry.seq)
    return entry


def promote_named(
    store: Store,
    model: str,
    version: int,
    *,
    actor: str,
    reason: str,
    as_of: str,
    as_of_time: datetime,
    evidence: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> Promotion:
    """Makes the version that a person names the champion: also one that was rolled back, is historic, or is held.

    It clears the version's bad mark. It neither lifts a hold nor begins one: what the hold keeps back are other
    candidates, and about them the person said nothing. It passes no version that the gate did not.

    Raises:
        UserError: When there is no such version, the gate never accepted it, or it serves already.
        Superseded: When somebody else decided at the same moment.
    """
    ledger = Ledger(store)
    stored = None if key is None else ledger.by_key(model, key)
    if stored is not None:
        return stored
    entries = ledger.entries(model)
    _check_named(version, _may_serve(store, model, entries), entries, model)
    as_of, as_of_time = not_before_champion(entries, as_of, as_of_time)
    entry = ledger.append(
        model,
        len(entries),
        version=version,
        action="promote",
        actor=actor,
        reason=reason,
        evidence={"named": True, **(evidence or {})},
        as_of=as_of,
        as_of_time=as_of_time,
        key=key,
    )
    log.info("Promoted %s version %s, named by %s, at seq %s", model, version, actor, entry.seq)
    return entry


def not_before_champion(entries: Sequence[Promotion], as_of: str, as_of_time: datetime) -> tuple[str, datetime]:
    """The as_of of a person's act: never before that of the champion it replaces, so that the data clock runs on."""
    server = history.champion(entries)
    return (
        (as_of, as_of_time) if server is None or server.as_of_time <= as_of_time else (server.as_of, server.as_of_time)
    )


def _may_serve(store: Store, model: str, entries: Sequence[Promotion]) -> set[int]:
    decisions = Decisions(store).of(model)
    passed = {
        training.adopted_version
        for training in Trainings(store).of(model)
        if training.adopted_version is not None and has_passed_gate(training, decisions)
    }
    return passed | {entry.version for entry in entries if entry.version is not None}


def _check_named(version: int, known: set[int], entries: Sequence[Promotion], model: str) -> None:
    server = history.champion(entries)
    if server is not None and server.version == version:
        raise UserError(f"{model}: version", "must not be the one that serves already", value=version)
    if version not in known:
        raise UserError(
            f"{model}: version",
            "must be one that the gate accepted",
            value=version,
            remedy=f"There are {sorted(known)}." if known else "There is none yet: train the model first.",
        )
