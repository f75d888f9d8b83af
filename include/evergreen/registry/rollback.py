"""Rollback to a good version, the hold that comes with it, and the release."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from evergreen.errors import UserError
from evergreen.registry.promotion import not_before_champion
from evergreen.store import history
from evergreen.store.history import Promotion
from evergreen.store.ledger import Ledger
from evergreen.store.store import Store

log = logging.getLogger(__name__)


def target(entries: Sequence[Promotion], model: str, to_version: int | None = None) -> int:
    """The version that a rollback goes to: the named one, else the last good one.

    Args:
        entries: The model's ledger.
        to_version: A version that has served; it may be one that was rolled back, since a person names it.

    Raises:
        UserError: When nothing serves, there is no good version left, or the named one serves or never did.
    """
    server = history.champion(entries)
    if server is None:
        raise UserError(f"{model}: rollback", "needs a champion, and nothing serves yet")
    served = sorted({entry.version for entry in entries if entry.version is not None} - {server.version})
    others = f"Versions that have served: {served}." if served else f"Only version {server.version} has ever served."
    if to_version is None:
        good = history.last_good(entries)
        if good is None or good.version is None:
            bad = sorted(history.rolled_back_versions(entries))
            remedy = f"{others} Rolled back were {bad}; name a version to bring it back." if served else others
            raise UserError(f"{model}: rollback", "needs a good version before the present one", remedy=remedy)
        return good.version
    if to_version == server.version:
        raise UserError(f"{model}: version", "must not be the one that serves already", value=to_version, remedy=others)
    if to_version not in served:
        remedy = f'{others} Use the action "promote" for one that never did.'
        raise UserError(f"{model}: version", "must be one that has served", value=to_version, remedy=remedy)
    return to_version


def roll_back(
    store: Store,
    model: str,
    *,
    to_version: int | None = None,
    actor: str,
    reason: str,
    as_of: str,
    as_of_time: datetime,
    evidence: Mapping[str, Any] | None = None,
    holds: bool = True,
    expected_seq: int | None = None,
    key: str | None = None,
) -> Promotion:
    """Takes the champion off, marks it bad, and lets a good version serve.

    Args:
        to_version: A version by name; the last good one by default.
        as_of: Under which key of the data clock; one before the champion's counts as the champion's.
        holds: Whether the model is held from here on: yes when a person acts.
        expected_seq: The ledger's seq that the wish was made against; by default the present one.
        key: What a retry is recognized by; without it a retry would roll back once more.

    Raises:
        UserError: When there is no version to go to.
        Superseded: When somebody else decided first.
    """
    ledger = Ledger(store)
    stored = None if key is None else ledger.by_key(model, key)
    if stored is not None:
        return stored
    entries = ledger.entries(model)
    as_of, as_of_time = not_before_champion(entries, as_of, as_of_time)
    off = history.champion(entries)
    entry = ledger.append(
        model,
        len(entries) if expected_seq is None else expected_seq,
        version=target(entries, model, to_version),
        action="roll_back",
        actor=actor,
        reason=reason,
        evidence={"from_version": off and off.version, "named": to_version is not None, **(evidence or {})},
        as_of=as_of,
        as_of_time=as_of_time,
        holds=holds,
        key=key,
    )
    log.info("Rolled %s back to version %s at seq %s", model, entry.version, entry.seq)
    return entry


def release(
    store: Store,
    model: str,
    *,
    actor: str,
    reason: str,
    as_of: str,
    as_of_time: datetime,
    evidence: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> Promotion:
    """Lifts the hold: candidates that it kept back may be promoted again, rolled-back versions still not.

    Raises:
        UserError: When the model is not held.
        Superseded: When somebody else decided at the same moment.
    """
    ledger = Ledger(store)
    stored = None if key is None else ledger.by_key(model, key)
    if stored is not None:
        return stored
    entries = ledger.entries(model)
    hold = history.hold(entries)
    if hold is None:
        raise UserError(f"{model}: release", "needs a model that is held, and this one is not")
    as_of, as_of_time = not_before_champion(entries, as_of, as_of_time)
    entry = ledger.append(
        model,
        len(entries),
        version=None,
        action="release",
        actor=actor,
        reason=reason,
        evidence={"hold_seq": hold.seq, **(evidence or {})},
        as_of=as_of,
        as_of_time=as_of_time,
        key=key,
    )
    log.info("Released %s at seq %s", model, entry.seq)
    return entry
