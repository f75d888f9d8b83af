"""Rows that are set aside: never lost, each with its reason."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Stage = Literal["read", "validate"]


@dataclass(frozen=True)
class Reject:
    """One row set aside.

    Attributes:
        reason: For people: what is wrong with which value.
        rule: For grouping: the broken rule's short name, such as ``columns.dep_delay``.
        row: The row as JSON text.
        source: File it came from, relative to the landing root, if known.
        line: Line in that file where the row starts (1 is the header's), if known.
    """

    reason: str
    rule: str
    row: str
    source: str | None = None
    line: int | None = None


def schema() -> pa.Schema:
    """The columns of every quarantine table."""
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        [("reason", text), ("rule", text), ("row", text), ("source", text), ("line", pa.int64()), ("stage", text),
         ("as_of", text)]
    )  # fmt: skip


def to_table(rejects: Sequence[Reject], *, stage: Stage, as_of: str) -> pa.Table:
    """The rejects as a quarantine table, in the order given."""
    import pyarrow as pa

    columns = {
        "reason": [each.reason for each in rejects],
        "rule": [each.rule for each in rejects],
        "row": [each.row for each in rejects],
        "source": [each.source for each in rejects],
        "line": [each.line for each in rejects],
        "stage": [stage] * len(rejects),
        "as_of": [as_of] * len(rejects),
    }
    return pa.table(columns, schema=schema())


def rows_as_json(rows: pa.Table, indices: Iterable[int]) -> list[str]:
    """JSON text of some rows of a table."""
    import pyarrow as pa

    chosen = rows.take(pa.array(list(indices), type=pa.int64()))
    try:
        values = chosen.to_pylist()
    except (OverflowError, ValueError):  # a time that Python's calendar does not have
        values = pa.table({name: as_text(chosen[name]) for name in chosen.column_names}).to_pylist()
    return [to_json(row) for row in values]


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times as text, whatever they are; other columns as they are."""
    import pyarrow as pa

    is_time = pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)
    return column.cast(pa.string()) if is_time else column


def to_json(row: dict[str, Any]) -> str:
    """JSON text of one row; instants in ISO form, a NaN as null."""
    return json.dumps({key: _plain(value) for key, value in row.items()}, ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value
