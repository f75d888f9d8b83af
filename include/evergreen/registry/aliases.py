"""MLflow's aliases: a copy of the ledger for people and tools; nothing here is decided by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from evergreen.registry.candidates import Candidate, waiting
from evergreen.store import history
from evergreen.store.decisions import Decisions
from evergreen.store.history import Promotion
from evergreen.store.ledger import Ledger
from evergreen.store.store import Store
from evergreen.store.trainings import Trainings


class AliasWriter(Protocol):
    """The part of ``tracking`` that this module needs."""

    def heal_aliases(self, model: str, aliases: Mapping[str, int | None]) -> object:
        """Makes the registered model's aliases these; ``None`` takes one away."""


def aliases(entries: Sequence[Promotion], challenger: Candidate | None = None) -> dict[str, int | None]:
    """What the aliases must be.

    Args:
        entries: The model's ledger.
        challenger: The newest candidate that waits.
    """
    server, previous = history.champion(entries), history.last_good(entries)
    return {
        "champion": server.version if server else None,
        "previous": previous.version if previous else None,
        "challenger": challenger.version if challenger else None,
    }


def heal_aliases(store: Store, tracking: AliasWriter, model: str) -> dict[str, int | None]:
    """Copies the store's truth to MLflow and returns it; may be called at any time."""
    entries = Ledger(store).entries(model)
    challengers = waiting(Trainings(store).of(model), Decisions(store).of(model), entries)
    wanted = aliases(entries, next(iter(challengers), None))
    tracking.heal_aliases(model, wanted)
    return wanted
