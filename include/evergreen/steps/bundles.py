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


def kept(ctx: StepContext, training_id: str) -> Finished:
    """A finished training of which a version is about to be made: what that needs is kept from expiring, and pinned.

    Raises:
        DataError: When it has expired, which it does when no version is made of a training for long.
    """
    from evergreen.lake.trainingsets import path_of as set_of
    from evergreen.lake.workspace import path_of
    from evergreen.store.pins import Pins

    found = training(ctx, training_id)
    pins = Pins(ctx.store)
    for table, version in found.record.inputs.get("tables", {}).items():
        pins.pin(table, version, training_id)
    pins.pin(set_of(found.training_set), 0, training_id)
    for path in (path_of(found.bundle), set_of(found.training_set)):
        if not ctx.lake.blobs.renew(path):
            remedy = "No version was made of this training for so long that it expired: ask for a new one."
            raise DataError(ctx.lake.blobs.uri(path), "must exist in the lake", remedy=remedy)
    return found


def _finished(found: Training | None, place: str) -> Finished:
    if found is None or found.bundle is None or found.training_set is None or found.trained_through is None:
        raise DataError(place, "must be of a finished training")
    return Finished(found, found.bundle, found.training_set, found.trained_through)
