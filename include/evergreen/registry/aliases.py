"""MLflow's aliases: a copy of the ledger for people and tools; nothing here is decided by them.

What MLflow cannot do now stops nothing: it is told in the log, and put right the next time that the model registers,
deploys, or is acted upon.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from evergreen.errors import TransientError
from evergreen.registry.candidates import Candidate, waiting
from evergreen.registry.copies import Copies, copied, note
from evergreen.store import history
from evergreen.store.decisions import Decisions
from evergreen.store.history import Promotion
from evergreen.store.ledger import Ledger
from evergreen.store.store import Store
from evergreen.store.trainings import Training, Trainings

log = logging.getLogger(__name__)


def aliases(entries: Sequence[Promotion], challenger: Candidate | None = None) -> dict[str, int | None]:
    """What the aliases must stand for, in the store's numbers.

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


def heal_aliases(store: Store, tracking: Copies, model: str) -> dict[str, int | None]:
    """Makes MLflow's aliases stand for the trainings that the store names; may be called at any time.

    An alias is set only on a version that carries its training's tag. Where MLflow has none and none can be made, the
    alias is taken away, since it would stand for another training.

    Returns:
        What the aliases must stand for, in the store's numbers, whether MLflow could be had or not.
    """
    entries, trainings = Ledger(store).entries(model), Trainings(store).of(model)
    challengers = waiting(trainings, Decisions(store).of(model), entries)
    wanted = aliases(entries, next(iter(challengers), None))
    adopted = {training.adopted_version: training for training in trainings if training.adopted_version is not None}
    seen: list[tuple[Training, int | None]] = []
    try:
        for alias, version in wanted.items():
            training = None if version is None else adopted.get(version)
            number = None if training is None else copied(tracking, training)
            if training is not None:
                seen.append((training, number))
            tracking.heal_aliases(model, {alias: number})
    except TransientError as error:
        log.warning("Could not copy to MLflow's aliases who serves %s, which changes nothing in it: %s", model, error)
    for training, number in seen:
        note(store, training, number)
    return wanted
