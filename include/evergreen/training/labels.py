"""Labels as numbers: true/false to 0/1, classes to their position, and what a naive guess needs to know of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


@dataclass(frozen=True)
class LabelSummary:
    """What the fit rows' labels look like, kept with the model so that a naive baseline can be judged later.

    Attributes:
        rows: How many labels.
        mean: Their mean; of binary labels the base rate. Of multiclass labels 0.
        median: Their median. Of multiclass labels 0.
        shares: Share of each class, in the order of the classes; empty in regression.
    """

    rows: int
    mean: float
    median: float
    shares: tuple[float, ...]

    @property
    def classes_seen(self) -> int:
        """How many classes have at least one row."""
        return sum(share > 0 for share in self.shares)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self) | {"shares": list(self.shares)}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> LabelSummary:
        """The inverse of :meth:`to_dict`."""
        return cls(**{**document, "shares": tuple(document["shares"])})


def classes_of(task: str, labels: pa.ChunkedArray) -> list[Any]:
    """The classes, sorted, of the fit rows' labels; ``[0, 1]`` in binary tasks, empty in regression."""
    if task == "regression":
        return []
    if task == "binary":
        return [0, 1]
    return sorted(value for value in labels.unique().to_pylist() if value is not None)


def encode_labels(task: str, labels: pa.ChunkedArray, classes: list[Any]) -> npt.NDArray[np.float64]:
    """Labels as floats of shape (rows,): the value, 0/1, or the class's position (-1 for an unknown class).

    Raises:
        DataError: When the labels do not fit the task.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    dtype = labels.type
    if pa.types.is_dictionary(dtype):
        labels = labels.cast(dtype.value_type)
        dtype = labels.type
    if task == "multiclass":
        if not classes:
            return np.full(len(labels), -1.0)
        codes = pc.fill_null(pc.index_in(labels, value_set=pa.array(classes).cast(dtype)), -1)
        return np.asarray(codes.to_numpy(), dtype=np.float64)
    numeric = pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_boolean(dtype)
    if not numeric and not pa.types.is_decimal(dtype):
        wanted = "true/false or 0/1 since the task is binary" if task == "binary" else "a number"
        raise DataError("label", f"must be {wanted}", value=str(dtype), remedy="Derive it in the dataset's select.")
    values = np.asarray(labels.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    bad = ~np.isfinite(values) if task == "regression" else ~np.isin(values, (0.0, 1.0))
    if bad.any():
        wanted = "finite numbers" if task == "regression" else "0 or 1, true or false, since the task is binary"
        raise DataError("label", f"must hold only {wanted}", value=float(values[bad][0]))
    return values


def summarize(task: str, y: npt.NDArray[np.float64], classes: list[Any]) -> LabelSummary:
    """What :class:`LabelSummary` says, of encoded labels."""
    import numpy as np

    if task == "multiclass":
        counts = np.bincount(y[y >= 0].astype(int), minlength=len(classes))
        return LabelSummary(len(y), 0.0, 0.0, tuple(float(share) for share in counts / max(len(y), 1)))
    mean = float(np.mean(y))
    shares = (1.0 - mean, mean) if task == "binary" else ()
    return LabelSummary(len(y), mean, float(np.median(y)), shares)
