"""Types of columns that nobody declared, where they meet others: of the run's other files, of the published table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError, shorten
from evergreen.ingest.cast import cast
from evergreen.ingest.exact import FLOAT_HOLDS
from evergreen.ingest.normalise import digits, is_empty, is_whole, plain
from evergreen.spec.base import DType

if TYPE_CHECKING:
    import pyarrow as pa

_BESIDE = "with the other columns that are needed"


@dataclass(frozen=True)
class Look:
    """What the files that come first have in a column, or those that come next.

    Attributes:
        file: Name of the first of them.
        kind: Its type, after ``normalise.plain``.
        is_empty: Whether it has no value.
        is_whole: Whether the files' own type has whole numbers only.
        is_decimal: Whether it is one of decimals.
        fits: Number types that hold all values.
    """

    file: str
    kind: pa.DataType
    is_empty: bool
    is_whole: bool
    is_decimal: bool
    fits: frozenset[pa.DataType]

    @classmethod
    def at(cls, file: str, column: Any, values: Any, timezone: str) -> Look:
        """Looks at a column of the files and at its values after ``normalise.plain``."""
        import pyarrow as pa

        numbers = (pa.float64(), pa.int64()) if values.type in (pa.float64(), pa.int64()) else ()
        fits = frozenset(kind for kind in numbers if _convert(values, kind, timezone) is not None)
        is_decimal = pa.types.is_decimal(column.type)
        return cls(file, values.type, is_empty(values), is_whole(column.type), is_decimal, fits)


def agree(looks: Sequence[Look], name: str) -> pa.DataType | None:
    """The type of a column that loses no digit of it; ``None`` for one without any value.

    Raises:
        DataError: Its parts are of types that only a person can join.
    """
    full = list(dict.fromkeys(look for look in looks if not look.is_empty))
    if not full:
        return None
    for target in _targets(full):
        if all(target in look.fits for look in full) or not _is_number(target):
            return target
    first, other = full[0], next(each for each in full if each.kind != full[0].kind)
    raise DataError(
        other.file, f"must have the same type as {first.file} in column {name}, which is {first.kind} there",
        value=str(other.kind),
        remedy=f"Declare `{name}: string`, or the type that is meant, under columns, {_BESIDE}.",
    )  # fmt: skip


def bring(column: Any, values: Any, target: pa.DataType | None, timezone: str) -> Any:
    """A column of the files in the type that :func:`agree` found.

    Args:
        column: Of the files.
        values: It after ``normalise.plain``.
        target: The type.
        timezone: Of dates that become instants.
    """
    import pyarrow as pa

    if values.type == target:
        return values
    if target is None or is_empty(values):
        return pa.nulls(len(values), target or pa.null())
    if pa.types.is_string(target) and pa.types.is_decimal(column.type):
        return digits(column)
    return _convert(values, target, timezone)


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
    import pyarrow as pa

    for index, name in enumerate(rows.column_names):
        kind, column = published.get(name), rows[name]
        if kind is None or column.type == arrow_type(kind):
            continue
        if is_empty(column):
            rows = rows.set_column(index, name, pa.nulls(len(column), arrow_type(kind)))
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


def _targets(looks: Sequence[Look]) -> list[pa.DataType]:
    """Types that may hold them all, best first."""
    import pyarrow as pa

    distinct = list(dict.fromkeys(look.kind for look in looks))
    if len(distinct) == 1:
        return distinct
    if all(look.is_whole for look in looks):
        return [pa.string()]
    if all(_is_number(kind) for kind in distinct):
        return [pa.float64(), pa.int64()]
    if all(look.is_decimal for look in looks):
        return [pa.string()]
    times = [each for each in distinct if pa.types.is_date32(each) or pa.types.is_timestamp(each)]
    return [arrow_type("timestamp")] if len(times) == len(distinct) else []


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return kind in (pa.float64(), pa.int64())


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
        return column.cast(target) if (size or 0) < FLOAT_HOLDS else None
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
