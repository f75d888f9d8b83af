"""Bundles of trained models (what is served): frozen folders in the lake, unpacked once per machine."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evergreen.errors import DataError
from evergreen.steps.context import StepContext

if TYPE_CHECKING:
    from evergreen.store.trainings import Training
    from evergreen.training.bundle import Loaded


class Finished(NamedTuple):
    """A training that has ended, and what it left.

    Attributes:
        bundle: Digest of the frozen folder that serves.
        training_set: Content address of the training set.
        trained_through: Last event time that fit or early stopping used.
    """

    record: Training
    bundle: str
    training_set: str
    trained_through: datetime


def put(ctx: StepContext, folder: Path) -> str:
    """Freezes a bundle's folder into the lake and returns its digest."""
    from evergreen.lake.workspace import freeze

    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    return freeze(ctx.lake, files)


def load(ctx: StepContext, digest: str) -> Loaded:
    """Opens a bundle; every file's hash is checked."""
    from evergreen.lake.workspace import thaw
    from evergreen.training.bundle import load as load_folder

    return load_folder(thaw(ctx.lake, digest, ctx.settings.home / "cache" / "bundles"))


def training_of(ctx: StepContext, version: int) -> Finished:
    """The training whose adopted version this is.

    Raises:
        DataError: When there is none.
    """
    from evergreen.store.trainings import Trainings

    return _finished(Trainings(ctx.store).by_version(ctx.name, version), f"{ctx.name} version {version}")


def run_link(ctx: StepContext, version: int | None) -> dict[str, str]:
    """The link to the MLflow run that made a version; empty where there is none."""
    from evergreen.store.trainings import Trainings

    found = None if version is None else Trainings(ctx.store).by_version(ctx.name, version)
    return {} if found is None or found.run_id is None else {"mlflow_run": ctx.tracking.run_url(found.run_id)}


def training(ctx: StepContext, training_id: str) -> Finished:
    """A finished training by its id.

    Raises:
        DataError: When there is none.
    """
    from evergreen.store.trainings import Trainings

    return _finished(Trainings(ctx.store).get(training_id), f"{ctx.name} training {training_id[:12]}")


def _finished(found: Training | None, place: str) -> Finished:
    if found is None or found.bundle is None or found.training_set is None or found.trained_through is None:
        raise DataError(place, "must be of a finished training")
    return Finished(found, found.bundle, found.training_set, found.trained_through)
