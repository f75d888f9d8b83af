"""The seam between Evergreen and a training library: one adapter module per library behind these types."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evergreen.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ADAPTERS = {"lightgbm": "evergreen.training.lightgbm_trainer", "sklearn": "evergreen.training.sklearn_trainer"}


@dataclass(frozen=True)
class Problem:
    """What a trainer is asked to solve.

    Attributes:
        task: ``binary``, ``multiclass`` or ``regression``.
        metric: The one the gate decides by.
        n_classes: Of classification.
        features: Names, in the matrix's order.
        categorical: Positions of the categorical columns.
        place: The model's file, for messages, such as ``models/flights_late.yaml``.
    """

    task: str
    metric: str
    n_classes: int
    features: list[str]
    categorical: list[int]
    place: str


@dataclass(frozen=True)
class Rows:
    """Encoded rows: ``X`` of shape (rows, features) and ``y`` of shape (rows,)."""

    X: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]


class Estimator(Protocol):
    """A fitted model. Predicting is safe from several threads."""

    library: str

    @property
    def native(self) -> Any:
        """The library's own object."""
        ...

    def predict(self, X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Of shape (rows,): probability of class 1, or value; multiclass: (rows, classes) probabilities."""
        ...

    def importance(self) -> list[float]:
        """Share of each feature, summing to 1; empty when the library has none."""
        ...

    def save(self, folder: Path) -> None:
        """Writes the model into a folder, without pickle."""
        ...

    def trusted_types(self) -> list[str]:
        """Types it holds that skops must be told to trust; all are on our allow list."""
        ...


@dataclass(frozen=True)
class Trained:
    """What a trainer gives back.

    Attributes:
        estimator: Fitted.
        params: Everything it was really given.
        curves: Per metric its values on the validation rows, one per iteration; may be empty.
        best_iteration: Iterations kept; ``None`` where there are none.
    """

    estimator: Estimator
    params: dict[str, Any]
    curves: dict[str, list[float]]
    best_iteration: int | None


class Trainer(Protocol):
    """Fits one estimator.

    Attributes:
        stops_early: Whether it looks at the validation rows to stop. One that does not is fitted on those too.
    """

    stops_early: bool

    def fit(self, problem: Problem, fit: Rows, validation: Rows) -> Trained:
        """Fits; the same seed, threads and rows give the same predictions.

        Raises:
            UserError: When the library refuses the parameters, naming the field of the model's file.
        """
        ...


def trainer_of(spec: Any) -> Trainer:
    """The trainer of a spec's ``trainer`` section."""
    trainer: Trainer = import_module(ADAPTERS[spec.kind]).trainer(spec)
    return trainer


def load_estimator(library: str, folder: Path, *, task: str, n_classes: int, threads: int) -> Estimator:
    """Loads what :meth:`Estimator.save` wrote.

    Raises:
        DataError: When the library is not known here or the file cannot be read.
    """
    if library not in ADAPTERS:
        raise DataError(f"bundle {folder.parent}", f"must be of a known library ({', '.join(ADAPTERS)})", value=library)
    estimator: Estimator = import_module(ADAPTERS[library]).load(
        folder, task=task, n_classes=n_classes, threads=threads
    )
    return estimator
