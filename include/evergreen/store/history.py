"""A model's ledger as a value: who serves, who is bad, who holds. Pure; the database is in ``ledger``.

An entry either changes the server (``promote``, ``roll_back``) or only what may happen next (``release``).
What follows from the entries, in order of ``seq``:

- The champion is the version of the last entry that changed the server.
- A rollback marks the version that it takes off as bad. A bad version is never "previous" and never "last good" until
  it serves again, which only a person who names it can bring about.
- A hold begins with a manual rollback and ends with ``release``, with nothing else: a promotion by a
  person changes the server and leaves the hold, since it says nothing about the candidates that the hold keeps back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from evergreen.store.documents import canonical, plain

Action = Literal["promote", "roll_back", "release"]
_CHAINED = (
    "model", "seq", "version", "action", "actor", "reason", "evidence", "as_of", "as_of_time", "at", "holds",
    "served_from", "key", "prev_hash",
)  # fmt: skip


@dataclass(frozen=True)
class Promotion:
    """One entry of the ledger.

    Attributes:
        seq: 1, 2, 3, … per model.
        version: The version that serves from here on; ``None`` where the entry changes no server.
        as_of: The data clock's key under which it was decided; ``as_of_time`` is its instant.
        at: The database's wall clock, never before the entry ahead.
        holds: Whether the entry begins (or renews) a hold.
        served_from: ``at`` where the entry changes the server.
        served_to: When the next server took over; with ``end_cause``, its action, the only fields ever filled later.
        key: What a retry recognizes its own entry by.
        row_hash: SHA-256 over ``prev_hash`` and all that never changes.
    """

    model: str
    seq: int
    version: int | None
    action: Action
    actor: str
    reason: str
    evidence: Mapping[str, Any]
    as_of: str
    as_of_time: datetime
    at: datetime
    holds: bool = False
    served_from: datetime | None = None
    served_to: datetime | None = None
    end_cause: str | None = None
    key: str | None = None
    prev_hash: str = ""
    row_hash: str = ""

    @property
    def serves(self) -> bool:
        """Whether the entry changed the server."""
        return self.version is not None

    def expected_hash(self) -> str:
        """What ``row_hash`` must be."""
        document = {name: getattr(self, name) for name in _CHAINED}
        return hashlib.sha256(canonical(document).encode()).hexdigest()


@dataclass(frozen=True)
class Hold:
    """A hold that stands: candidates whose request was written before ``seq`` never promote."""

    model: str
    seq: int
    since: datetime
    as_of: str
    actor: str
    reason: str


def following(last: Promotion | None, entry: Promotion) -> Promotion:
    """The entry as it follows ``last``: numbered, timed, chained."""
    at = (entry.at if last is None else max(entry.at, last.at)).astimezone(UTC)
    chained = replace(
        entry,
        seq=1 if last is None else last.seq + 1,
        evidence=plain(entry.evidence),
        as_of_time=entry.as_of_time.astimezone(UTC),
        at=at,
        served_from=at if entry.serves else None,
        prev_hash="" if last is None else last.row_hash,
    )
    return replace(chained, row_hash=chained.expected_hash())


def champion(entries: Sequence[Promotion]) -> Promotion | None:
    """The entry whose version serves now."""
    return next((entry for entry in reversed(entries) if entry.serves), None)


def champion_at(entries: Sequence[Promotion], as_of_time: datetime) -> Promotion | None:
    """The entry whose version served at an instant of the data clock: the last by seq that is not after it."""
    return champion([entry for entry in entries if entry.as_of_time <= as_of_time])


def first(entries: Sequence[Promotion]) -> Promotion | None:
    """The entry with which the model began to serve."""
    return next((entry for entry in entries if entry.serves), None)


def rolled_back_versions(entries: Sequence[Promotion]) -> set[int]:
    """Versions that were taken off by a rollback and have not served since."""
    bad: set[int] = set()
    serving: int | None = None
    for entry in entries:
        if entry.version is None:
            continue
        if entry.action == "roll_back" and serving is not None:
            bad.add(serving)
        bad.discard(entry.version)
        serving = entry.version
    return bad


def good_servers(entries: Sequence[Promotion]) -> list[Promotion]:
    """The newest entry of each version that served and is not marked bad, newest first; the champion leads."""
    bad = rolled_back_versions(entries)
    kept: dict[int, Promotion] = {}
    for entry in reversed(entries):
        if entry.version is not None and entry.version not in bad:
            kept.setdefault(entry.version, entry)
    return list(kept.values())


def last_good(entries: Sequence[Promotion]) -> Promotion | None:
    """The last server before the present one that is not marked bad: "previous", and where a rollback goes."""
    return next(iter(good_servers(entries)[1:]), None)


def recent_champions(entries: Sequence[Promotion], n: int) -> list[int]:
    """The last ``n`` distinct champions that are not marked bad, newest first."""
    return [entry.version for entry in good_servers(entries)[:n] if entry.version is not None]


def hold(entries: Sequence[Promotion]) -> Hold | None:
    """The hold that stands, if any."""
    for entry in reversed(entries):
        if entry.action == "release":
            return None
        if entry.holds:
            return Hold(entry.model, entry.seq, entry.at, entry.as_of, entry.actor, entry.reason)
    return None


def is_historic(entries: Sequence[Promotion], as_of_time: datetime) -> bool:
    """Whether work of that instant is older than the champion: it may report, but promotes and requests nothing."""
    server = champion(entries)
    return server is not None and as_of_time < server.as_of_time


def verify_chain(entries: Sequence[Promotion]) -> list[str]:
    """What is wrong with the ledger (a changed, a missing, an added entry); empty when all is well."""
    wrong: list[str] = []
    before = ""
    for seq, entry in enumerate(entries, start=1):
        if entry.seq != seq:
            wrong.append(f"{entry.model} seq {entry.seq}: seq {seq} must stand here")
            break
        if entry.prev_hash != before:
            wrong.append(f"{entry.model} seq {seq}: prev_hash is not the row_hash of the entry before")
        if entry.row_hash != entry.expected_hash():
            wrong.append(f"{entry.model} seq {seq}: row_hash does not match what stands in the entry")
        before = entry.row_hash
    server = champion(entries)
    serving = [entry.seq for entry in entries if entry.serves and entry.served_to is None]
    if serving != ([] if server is None else [server.seq]):
        wrong.append(f"serving are seq {serving}, must be the last entry that changed the server")
    return wrong
