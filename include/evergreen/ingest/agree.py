"""Types of columns that nobody declared, where they meet others: of the run's other files, of the published table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError, shorten
from evergreen.ingest.cast import cast
from evergreen.ingest.exact import FLOAT_HOLDS
from evergreen.ingest.normalise import is_empty, plain
from evergreen.spec.base import DType

if TYPE_CHECKING:
    import pyarrow as pa

_BESIDE = "with the other columns that are needed"


def agree(parts: Sequence[tuple[str, Any]], name: str, timezone: str, *, whole: bool) -> list[Any]:
    """Brings the parts of a column to one type without losing a digit.

    Args:
        parts: The name of the first file of each batch, and its column, after ``normalise.plain``.
        name: The column.
        timezone: Of dates that meet instants.
        whole: Whether the files have nothing but whole numbers there, so that texts among them are digits.

    Raises:
        DataError: They are of types that only a person can join.
    """
    import pyarrow as pa

    full = [(file, column) for file, column in parts if not is_empty(column)]
    if not full:
        return [pa.nulls(len(column)) for _, column in parts]
    for target in _targets([column.type for _, column in full], whole=whole):
        converted = [_convert(column, target, timezone) for _, column in full]
        if all(each is not None for each in converted):
            values = iter(converted)
            return [pa.nulls(len(column), target) if is_empty(column) else next(values) for _, column in parts]
    first, other = full[0], next(each for each in full if each[1].type != full[0][1].type)
    raise DataError(
        other[0], f"must have the same type as {first[0]} in column {name}, which is {first[1].type} there",
        value=str(other[1].type),
        remedy=f"Declare `{name}: string`, or the type that is meant, under columns, {_BESIDE}.",
    )  # fmt: skip


def conform(
    rows: pa.Table, published: Mapping[str, DType], timezone: str, place: str, where: Callable[[int], str]
) -> pa.Table:
    """Brings columns that nobody declared to the types of the published table, where they lose nothing by it.

    Args:
        rows: Columns after ``normalise.plain``.
        published: Types of the table's columns.
        timezone: Of dates that become instants.
        place: The dataset, for messages.
        where: File and line of a row.

    Raises:
        DataError: A column is of another type than in the table; it says what to declare.
    """
    for index, name in enumerate(rows.column_names):
        kind, column = published.get(name), rows[name]
        if kind is None or is_empty(column) or column.type == arrow_type(kind):
            continue
        value = _convert(column, arrow_type(kind), timezone)
        if value is None:
            raise _other_type(column, name, kind, timezone, place, where)
        rows = rows.set_column(index, name, value)
    return rows


def arrow_type(kind: DType) -> pa.DataType:
    """The Arrow type of a declared one."""
    import pyarrow as pa

    types: dict[DType, pa.DataType] = {
        "int": pa.int64(), "float": pa.float64(), "string": pa.string(), "bool": pa.bool_(), "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }  # fmt: skip
    return types[kind]


def _targets(kinds: Sequence[pa.DataType], *, whole: bool) -> list[pa.DataType]:
    """Types that may hold them all, best first."""
    import pyarrow as pa

    distinct = list(dict.fromkeys(kinds))
    if len(distinct) == 1:
        return distinct
    if whole:
        return [pa.string()]
    numbers = [each for each in distinct if pa.types.is_int64(each) or pa.types.is_float64(each)]
    if len(numbers) == len(distinct):
        return [pa.float64(), pa.int64()]
    times = [each for each in distinct if pa.types.is_date32(each) or pa.types.is_timestamp(each)]
    return [arrow_type("timestamp")] if len(times) == len(distinct) else []


def _convert(column: Any, target: pa.DataType, timezone: str) -> Any:
    """A column in another type; ``None`` where that would change what it says."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_, kind = pa.types, column.type
    if kind == target:
        return column
    if is_.is_date32(kind) and is_.is_timestamp(target):
        return plain(column.cast(pa.timestamp("us")), "", timezone).values
    if is_.is_int64(kind) and is_.is_string(target):
        return column.cast(target)
    if not (is_.is_int64(kind) or is_.is_float64(kind)) or not (is_.is_int64(target) or is_.is_float64(target)):
        return None
    if is_.is_float64(kind):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
    size = pc.max(pc.abs(column)).as_py() if is_.is_float64(kind) else 0
    try:
        return column.cast(target) if size < FLOAT_HOLDS else None
    except pa.ArrowInvalid:  # a digit would be lost
        return None


def _other_type(
    column: Any, name: str, kind: DType, timezone: str, place: str, where: Callable[[int], str]
) -> DataError:
    import pyarrow as pa

    texts = pa.table({name: column.cast(pa.string())})
    misfits = cast(texts, {name: kind}, timezone).misfits
    index = misfits[0].index if misfits else int(column.is_valid().index(True).as_py())
    wider = _wider(kind, column.type)
    return DataError(
        f"{place} column {name}", f"must be {kind} as in the table", value=shorten(str(texts[name][index]), 80),
        remedy=f"It stands in {where(index)}. Declare `{name}: {wider}` under columns, {_BESIDE}, or "
        f"`{name}: {kind}` to set such rows aside.",
    )  # fmt: skip


def _wider(kind: DType, found: pa.DataType) -> DType:
    import pyarrow as pa

    if kind in ("int", "float") and (pa.types.is_float64(found) or pa.types.is_int64(found)):
        return "float"
    return "timestamp" if kind == "date" and pa.types.is_timestamp(found) else "string"
