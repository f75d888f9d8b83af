"""What one training tells MLflow, in our own types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Library = Literal["lightgbm", "sklearn"]


@dataclass(frozen=True)
class DataInput:
    """A table that a training used.

    Attributes:
        name: Such as ``datasets/flights`` or ``training set``.
        digest: Of its content or its version; at most 36 characters are shown.
        source: Where it lies: a URI, with a version if it has one.
        context: ``training``, ``features`` or ``labels``.
        rows: How many it has; ``None`` if that was not counted.
    """

    name: str
    digest: str
    source: str
    context: str = "training"
    rows: int | None = None


@dataclass(frozen=True)
class Flavor:
    """The model as MLflow's own flavor, for people and tools; what serves is the bundle.

    Attributes:
        library: Which flavor.
        native: The library's own object.
        features: Names of the encoded columns.
        example: A few encoded rows, of shape (rows, features).
        predicted: Their predictions.
        requirements: Pinned, so that MLflow need not infer them (which takes seconds).
        trusted_types: Of skops, that this model holds.
    """

    library: Library
    native: Any
    features: Sequence[str]
    example: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.float64]
    requirements: Sequence[str]
    trusted_types: Sequence[str] = ()


@dataclass(frozen=True)
class TrainingRecord:
    """One training.

    Attributes:
        training_id: Its identity; a run is found again by it.
        model: The model's name; also the experiment's and the registered model's.
        as_of: Partition key.
        params: Of the trainer.
        metrics: Final figures; what is ``None`` or not finite is left out.
        curves: Per metric its value at each iteration.
        tags: Digests, cause, seed and the like; stored with the prefix ``evergreen.``.
        inputs: Tables that were used.
        bundle: Folder that is served.
        flavor: The model for MLflow.
        files: Further files or folders by artifact folder, such as reports.
    """

    training_id: str
    model: str
    as_of: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float | None]
    tags: Mapping[str, Any]
    bundle: Path
    flavor: Flavor
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    inputs: Sequence[DataInput] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
