"""Who serves: the rules of promotion, rollback and hold over a list of entries, and what is live by them.

The same in plain words stands in DESIGN.md, section 4, and in docs/how-to/roll-back.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple


class Version(NamedTuple):
    """A version that the gate accepted.

    Attributes:
        as_of: Key of its training.
        requested_after: Number of the newest entry when it was asked for.
        definitions: Of all tables that it was trained with.
    """

    number: int
    as_of: str
    requested_after: int
    definitions: frozenset[Any]


class Entry(NamedTuple):
    """An act that stands in the ledger; ``version`` is None for a release."""

    action: Literal["promote", "roll_back", "release"]
    version: int | None
    as_of: str


@dataclass
class Ledger:
    """One model's versions and acts, both from 1."""

    versions: list[Version] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


def servers(ledger: Ledger) -> list[int]:
    """The versions in the order in which they began to serve."""
    return [entry.version for entry in ledger.entries if entry.version is not None]


def champion(ledger: Ledger) -> int | None:
    """The version that began to serve last."""
    return servers(ledger)[-1] if servers(ledger) else None


def champion_as_of(ledger: Ledger) -> str:
    return max((entry.as_of for entry in ledger.entries if entry.version is not None), default="")


def bad(ledger: Ledger) -> set[int]:
    """Versions that a rollback took off and that have not served since."""
    marked: set[int] = set()
    serving = None
    for entry in ledger.entries:
        if entry.version is not None:
            marked |= {serving} if entry.action == "roll_back" and serving is not None else set()
            marked -= {entry.version}
            serving = entry.version
    return marked


def last_good(ledger: Ledger) -> int | None:
    """The last server before the champion that is not marked bad."""
    others = [each for each in servers(ledger) if each not in {champion(ledger), *bad(ledger)}]
    return others[-1] if others else None


def hold(ledger: Ledger) -> int | None:
    """Number of the rollback that holds the model: the last one since the last release."""
    found = None
    for number, entry in enumerate(ledger.entries, start=1):
        if entry.action != "promote":
            found = number if entry.action == "roll_back" else None
    return found


def may_follow(ledger: Ledger, version: Version) -> bool:
    """Whether a version could be promoted by the machine, others apart.

    Not if it has served, if its data are older than the champion's, or if it was asked for before a hold.
    """
    held = hold(ledger)
    return (
        version.number not in servers(ledger)
        and version.as_of >= champion_as_of(ledger)
        and (held is None or version.requested_after >= held)
    )


def may_promote(ledger: Ledger, version: Version) -> bool:
    """Whether the machine promotes a version: the newest of those that could be, and newer than all that served."""
    served = [each for each in ledger.versions if each.number in servers(ledger)]
    rivals = [each for each in ledger.versions if may_follow(ledger, each)] + served
    return may_follow(ledger, version) and all(order(each) <= order(version) for each in rivals)


def order(version: Version) -> tuple[str, int]:
    """What makes a version newer: later data, then the later number."""
    return version.as_of, version.number


def live(ledger: Ledger, references: Sequence[str]) -> set[int]:
    """Rule 12: the champion, the last good version, and the references."""
    found = {champion(ledger), last_good(ledger)}
    if "first" in references and servers(ledger):
        found.add(servers(ledger)[0])
    return {each for each in found if each is not None}
