"""Feature columns to the float matrix that every trainer eats, and back to JSON for the gateway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

from evergreen.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

ColumnKind = Literal["number", "time", "category"]
MAX_CATEGORIES = 1000


@dataclass(frozen=True)
class EncodedColumn:
    """How one column becomes a float.

    Attributes:
        name: The feature.
        kind: ``number`` as it is (true = 1), ``time`` in seconds since 1970 UTC, ``category`` by its code.
        categories: Of ``category``: the values, in alphabetical order; the code is the position.
        other: Whether rarer values were seen when fitting; then every unlisted value gets the code after the last,
            else it counts as missing.
    """

    name: str
    kind: ColumnKind
    categories: tuple[str, ...] = ()
    other: bool = False


@dataclass(frozen=True)
class Encoder:
    """Columns in the order of the matrix. Missing, unknown and infinite values become NaN."""

    columns: tuple[EncodedColumn, ...] = field(default=())

    @classmethod
    def fit(cls, table: pa.Table, names: Sequence[str], *, max_categories: int = MAX_CATEGORIES) -> Encoder:
        """Learns kinds from the types and categories from the rows.

        Args:
            table: The fit rows only, so that nothing of validation or test is learnt.
            names: The features, in order.
            max_categories: So many most frequent values of a column are kept.

        Raises:
            DataError: When a column is absent or has a type that cannot be a feature.
        """
        return cls(tuple(_learn(table, name, max_categories) for name in names))

    @property
    def names(self) -> list[str]:
        """The features, in order."""
        return [column.name for column in self.columns]

    @property
    def categorical(self) -> list[int]:
        """Positions of the categorical columns."""
        return [index for index, column in enumerate(self.columns) if column.kind == "category"]

    def transform(self, table: pa.Table) -> npt.NDArray[np.float64]:
        """Encodes a table into a matrix of shape (rows, features).

        Raises:
            DataError: When a column is absent or of another kind than the one learnt.
        """
        import numpy as np

        matrix = np.empty((table.num_rows, len(self.columns)), dtype=np.float64)
        for index, column in enumerate(self.columns):
            if column.name not in table.column_names:
                raise DataError(f"feature {column.name}", "must be a column of the table", value=table.column_names)
            matrix[:, index] = _encode(table.column(column.name), column)
        return matrix

    def transform_rows(self, rows: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64]:
        """Encodes a few rows of Python (or JSON) values, faster than by way of a table; absent keys are missing.

        Raises:
            DataError: When a value has the wrong type, naming row and column.
        """
        import numpy as np

        matrix = np.empty((len(rows), len(self.columns)), dtype=np.float64)
        for position, row in enumerate(rows):
            for index, (name, convert) in enumerate(self._converters):
                value = row.get(name)
                if value is None:
                    matrix[position, index] = np.nan
                    continue
                try:
                    matrix[position, index] = convert(value)
                except (TypeError, ValueError, OverflowError) as error:
                    rule = str(error) or "has a value of the wrong type"
                    raise DataError(f"rows[{position}].{name}", rule, value=value) from None
        matrix[~np.isfinite(matrix)] = np.nan
        return matrix

    def to_dict(self) -> dict[str, Any]:
        """JSON form, read back by :meth:`from_dict`."""
        return {
            "columns": [
                {"name": c.name, "kind": c.kind}
                | ({"categories": list(c.categories), "other": c.other} if c.kind == "category" else {})
                for c in self.columns
            ]
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Encoder:
        """The inverse of :meth:`to_dict`."""
        return cls(
            tuple(
                EncodedColumn(c["name"], c["kind"], tuple(c.get("categories", ())), bool(c.get("other", False)))
                for c in document["columns"]
            )
        )

    @cached_property
    def _converters(self) -> list[tuple[str, Callable[[Any], float]]]:
        return [(column.name, _converter(column)) for column in self.columns]


def _learn(table: pa.Table, name: str, max_categories: int) -> EncodedColumn:
    import pyarrow.compute as pc

    if name not in table.column_names:
        raise DataError(f"feature {name}", "must be a column of the training frame", value=table.column_names)
    column = table.column(name)
    kind = _kind_of(name, column.type)
    if kind != "category":
        return EncodedColumn(name, kind)
    counted = pc.value_counts(_text(column))
    counts = Counter({row["values"]: row["counts"] for row in counted.to_pylist() if row["values"] is not None})
    kept = sorted(counts, key=lambda value: (-counts[value], value))[:max_categories]
    return EncodedColumn(name, kind, tuple(sorted(kept)), other=len(counts) > len(kept))


def _kind_of(name: str, dtype: pa.DataType) -> ColumnKind:
    from pyarrow import types

    if types.is_dictionary(dtype):
        return _kind_of(name, dtype.value_type)
    if types.is_string(dtype) or types.is_large_string(dtype) or types.is_string_view(dtype):
        return "category"
    if types.is_timestamp(dtype) or types.is_date(dtype):
        return "time"
    if types.is_integer(dtype) or types.is_floating(dtype) or types.is_boolean(dtype) or types.is_decimal(dtype):
        return "number"
    if types.is_null(dtype):
        return "number"
    raise DataError(
        f"feature {name}",
        "must be int, float, bool, string, date or timestamp",
        value=str(dtype),
        remedy="Cast it in the feature view or the dataset's select.",
    )


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    return column.cast(pa.string())


def _encode(column: pa.ChunkedArray, how: EncodedColumn) -> npt.NDArray[np.float64]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count == len(column):
        return np.full(len(column), np.nan)
    kind = _kind_of(how.name, column.type)
    if kind != how.kind:
        raise DataError(f"feature {how.name}", f"must be a {how.kind} as in training", value=str(column.type))
    if kind == "category":
        text = _text(column)
        codes = pc.index_in(text, value_set=pa.array(how.categories, pa.string()))
        if how.other:
            codes = pc.if_else(pc.is_valid(text), pc.fill_null(codes, len(how.categories)), codes)
    elif kind == "time":
        micros = column.cast(pa.timestamp("us")).cast(pa.int64())
        codes = pc.divide(micros.cast(pa.float64()), 1e6)
    else:
        codes = column
    values = np.asarray(codes.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _converter(column: EncodedColumn) -> Callable[[Any], float]:
    if column.kind == "number":
        return _number
    if column.kind == "time":
        return _seconds
    codes = {value: float(code) for code, value in enumerate(column.categories)}
    missing = float(len(column.categories)) if column.other else float("nan")

    def code(value: Any) -> float:
        if not isinstance(value, str):
            raise TypeError("must be a string")
        return codes.get(value, missing)

    return code


def _number(value: Any) -> float:
    if isinstance(value, str | bytes):
        raise TypeError("must be a number or true or false")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError("must be a number or true or false") from None


def _seconds(value: Any) -> float:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("must be an ISO 8601 date or date-time such as 2013-02-01T06:00:00Z") from None
    if isinstance(value, datetime):
        return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    raise TypeError("must be an ISO 8601 date or date-time such as 2013-02-01T06:00:00Z")


def json_value(value: object) -> object:
    """A feature's value as JSON carries it: times as ISO text, NaN as null."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float) and value != value:
        return None
    return float(cast(Any, value)) if type(value).__name__ == "Decimal" else value
