"""MLflow's copies of adopted versions: found by the training's tag, made again from its run, numbered by MLflow.

Version numbers are the store's. MLflow counts its own, from 1 again when a registered model was deleted there, so its
number is looked up by the tag each time, and noted in the store for people.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from evergreen.errors import DataError, TransientError, UserError
from evergreen.registry.candidates import has_passed_gate
from evergreen.store.decisions import Decisions
from evergreen.store.store import Store
from evergreen.store.trainings import Training, Trainings

log = logging.getLogger(__name__)


class Copies(Protocol):
    """The part of ``tracking`` that this package needs; the numbers are MLflow's own."""

    def register(self, model: str, run_id: str, training_id: str, *, tags: Mapping[str, Any] | None = None) -> int:
        """Registers the run of a training, unless that has a version, and returns the number."""

    def heal_aliases(self, model: str, wanted: Mapping[str, int | None]) -> object:
        """Makes the registered model's aliases these; ``None`` takes one away."""


def copied(tracking: Copies, training: Training) -> int | None:
    """MLflow's number of the copy of an adopted training, which is made if it is not there.

    Returns:
        The number; ``None``, with the reason in the log, where there is nothing left to make a copy from.

    Raises:
        TransientError: When MLflow does not answer, or fails.
    """
    name = f"{training.model} version {training.adopted_version}"
    if training.run_id is None:
        log.error("%s has no copy in MLflow: training %s left no run", name, training.training_id)
        return None
    tags = {"version": training.adopted_version}
    try:
        return tracking.register(training.model, training.run_id, training.training_id, tags=tags)
    except DataError as error:
        log.error("%s has no copy in MLflow, and none can be made; it serves and is kept all the same: %s", name, error)
        return None


def note(store: Store, training: Training, number: int | None) -> None:
    """Keeps MLflow's number, where it is not the one that was noted."""
    if number != training.mlflow_version:
        Trainings(store).note_mlflow_version(training.training_id, number)


def register(store: Store, tracking: Copies, training: Training) -> int:
    """Gives a finished training its version and, as far as MLflow can be had, a copy there.

    Without MLflow it is registered all the same; :func:`evergreen.registry.aliases.heal_aliases` makes the copy later.

    Returns:
        The store's number; the same whenever it is called.
    """
    version = Trainings(store).adopt(training.training_id)
    try:
        number = copied(tracking, replace(training, adopted_version=version))
    except TransientError as error:
        log.warning("%s version %d has no copy in MLflow yet: %s", training.model, version, error)
    else:
        note(store, training, number)
    return version


def register_run(
    store: Store | None, tracking: Copies, model: str, run_id: str, training_id: str
) -> tuple[int | None, int]:
    """Registers an MLflow run that somebody names, with a version in the store if it is of an accepted training.

    Here MLflow is what is asked for, so that its faults are raised.

    Args:
        store: Absent where there is none.

    Returns:
        The store's number, ``None`` for what was not trained here; and MLflow's.

    Raises:
        UserError: When the gate did not accept the training, or MLflow has no such run.
        TransientError: When MLflow does not answer, or fails.
    """
    training = None if store is None else Trainings(store).get(training_id)
    if store is None or training is None or (training.model, training.run_id) != (model, run_id):
        return None, tracking.register(model, run_id, training_id)
    if not has_passed_gate(training, Decisions(store).of(model, kind="gate")):
        raise UserError(
            f"{model} training {training_id[:12]}",
            "must be one that the gate accepted",
            remedy="Evaluate it first; a refused training has no version.",
        )
    version = Trainings(store).adopt(training_id)
    number = tracking.register(model, run_id, training_id, tags={"version": version})
    note(store, training, number)
    return version, number
