"""Where a model stands, in one look."""

from __future__ import annotations

from dataclasses import dataclass

from evergreen.registry.candidates import Candidate, waiting
from evergreen.store import history
from evergreen.store.decisions import Decisions
from evergreen.store.history import Hold, Promotion
from evergreen.store.ledger import Ledger
from evergreen.store.store import Store
from evergreen.store.trainings import Trainings


@dataclass(frozen=True)
class Status:
    """The ledger and what waits, summed up.

    Attributes:
        seq: Number of the newest entry; 0 if there is none.
        champion: The entry whose version serves.
        previous: Where a rollback would go.
        waiting: Candidates, newest first.
        hold: The hold that stands.
        rolled_back: Versions that only a person who names them brings back.
    """

    model: str
    seq: int
    champion: Promotion | None
    previous: Promotion | None
    waiting: tuple[Candidate, ...]
    hold: Hold | None
    rolled_back: frozenset[int]


def status(store: Store, model: str) -> Status:
    """Where a model stands now."""
    entries = Ledger(store).entries(model)
    return Status(
        model=model,
        seq=len(entries),
        champion=history.champion(entries),
        previous=history.last_good(entries),
        waiting=tuple(waiting(Trainings(store).of(model), Decisions(store).of(model), entries)),
        hold=history.hold(entries),
        rolled_back=frozenset(history.rolled_back_versions(entries)),
    )
