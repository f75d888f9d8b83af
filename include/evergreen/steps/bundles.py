"""Bundles of trained models (what is served): frozen folders in the lake, unpacked once per machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evergreen.errors import DataError
from evergreen.steps.context import StepContext

if TYPE_CHECKING:
    from evergreen.store.trainings import Training
    from evergreen.training.bundle import Loaded


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


def training_of(ctx: StepContext, version: int) -> Training:
    """The training whose adopted version this is."""
    from evergreen.store.trainings import Trainings

    training = Trainings(ctx.store).by_version(ctx.name, version)
    if training is None or training.bundle is None:
        raise DataError(f"{ctx.name} version {version}", "must be the adopted version of a finished training")
    return training
