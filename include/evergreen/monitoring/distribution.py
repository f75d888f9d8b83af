"""Two samples of one column as counts of the same values: nulls and infinite values are values of their own.

Numbers of few distinct values are counted by value, others in bins that hold about as many rows each; text and
booleans by value. Nothing here computes with the values themselves, so that none is too large, too small or too odd.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

Kind = Literal["number", "bool", "text"]

MAX_DISTINCT = 20
"""Numbers of at most so many distinct values are counted by value."""
MISSING, MINUS, PLUS = "missing", "-infinity", "+infinity"


@dataclass(frozen=True)
class Side:
    """One sample.

    Attributes:
        codes: Position of each row's value in :attr:`Column.values`.
        n_missing: Rows without a value (null or NaN).
        n_infinite: Rows with an infinite one.
    """

    codes: npt.NDArray[np.int64]
    n_missing: int
    n_infinite: int

    @property
    def missing_share(self) -> float:
        """Share of the rows without a value, 0 to 1."""
        return self.n_missing / len(self.codes) if len(self.codes) else 0.0


@dataclass(frozen=True)
class Column:
    """Both samples of one column.

    Attributes:
        values: What is told apart, as text: values, bins (``[1, 2.5)``), and what is odd.
    """

    name: str
    values: tuple[str, ...]
    reference: Side
    current: Side

    @property
    def is_empty(self) -> bool:
        """Whether neither side has any value."""
        return all(side.n_missing == len(side.codes) for side in (self.reference, self.current))

    def counts(self, side: Side) -> npt.NDArray[np.int64]:
        """How often each value occurs on a side."""
        import numpy as np

        return np.bincount(side.codes, minlength=len(self.values)).astype(np.int64)


def tabulate(name: str, reference: pa.ChunkedArray, current: pa.ChunkedArray) -> Column:
    """Counts two samples by the same values.

    What kind of column it is follows from its type, and where a side has no value at all from the other side's: nulls
    change nothing. Where the sides differ (a number that came as text), both are compared as text.
    """
    import numpy as np

    kinds = {kind for kind in (_kind(reference), _kind(current)) if kind is not None}
    if kinds <= {"number", "bool"} and "number" in kinds:
        before, after = _numbers(reference), _numbers(current)
        values, codes = _count_numbers(np.concatenate([before, after]))
        infinite = [int(np.isinf(side).sum()) if side.dtype.kind == "f" else 0 for side in (before, after)]
    else:
        values, codes = _count_texts(_texts(reference) + _texts(current))
        infinite = [0, 0]
    missing = len(values)
    sides = []
    for part, n_infinite in zip((codes[: len(reference)], codes[len(reference) :]), infinite, strict=True):
        sides.append(Side(np.where(part < 0, missing, part), int((part < 0).sum()), n_infinite))
    return Column(name, (*values, MISSING), sides[0], sides[1])


def _kind(column: pa.ChunkedArray) -> Kind | None:
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if column.null_count == len(column):
        return None
    if pa.types.is_boolean(kind):
        return "bool"
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return "number" if number or pa.types.is_temporal(kind) else "text"


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """The values as floats, in the order of the values themselves; NaN where there is none."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count == len(column):
        return np.full(len(column), np.nan)
    if pa.types.is_temporal(column.type):
        wide = column.type.bit_width == 64
        column = column.cast(pa.int64() if wide else pa.int32())
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    import pyarrow as pa

    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int64() if column.type.bit_width == 64 else pa.int32())
    return [None if value is None or value != value else _text(value) for value in column.to_pylist()]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _count_texts(texts: list[str | None]) -> tuple[list[str], npt.NDArray[np.int64]]:
    import numpy as np

    values = sorted({text for text in texts if text is not None})
    positions = {text: number for number, text in enumerate(values)}
    return values, np.array([-1 if text is None else positions[text] for text in texts], dtype=np.int64)


def _count_numbers(numbers: npt.NDArray[np.float64]) -> tuple[list[str], npt.NDArray[np.int64]]:
    import numpy as np

    finite = np.isfinite(numbers)
    distinct = np.unique(numbers[finite])
    if len(distinct) <= MAX_DISTINCT:
        values = [f"{value:.10g}" for value in distinct]
        codes = np.searchsorted(distinct, numbers)
    else:
        edges = _edges(np.sort(numbers[finite]), distinct)
        values = [f"[{low:.6g}, {high:.6g})" for low, high in pairwise(edges)]
        values.append(f"from {edges[-1]:.6g}")
        codes = np.searchsorted(edges, numbers, side="right") - 1
    codes = np.where(numbers == -np.inf, len(values), codes)
    codes = np.where(numbers == np.inf, len(values) + 1, codes)
    return [*values, MINUS, PLUS], np.where(np.isnan(numbers), -1, codes).astype(np.int64)


def _edges(ordered: npt.NDArray[np.float64], distinct: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Lower bounds of bins with about as many rows each; a value that fills a bin alone has one of its own.

    How many is Sturges' rule (1926): 1 + log2(rows).
    """
    import numpy as np

    bins = 1 + int(np.ceil(np.log2(len(ordered))))
    cuts, times = np.unique(ordered[np.arange(bins) * len(ordered) // bins], return_counts=True)
    after = np.searchsorted(distinct, cuts[times > 1], side="right")
    return np.union1d(cuts, distinct[after[after < len(distinct)]])
