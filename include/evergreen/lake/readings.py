"""What keys say of their rows, window by window of event time: never all of it has to be in memory.

All versions of a row have one event time (except of whole snapshots, which have one window), so that each window's rows
can be set against the table's own by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

Span = tuple[datetime, datetime]
"""Least and greatest event time, both inclusive."""


class Keyed(NamedTuple):
    """What one key says of the rows of a window.

    Attributes:
        rows: See :meth:`evergreen.lake.tables.Table.append_versions`.
        as_of: The key.
        until: Its instant.
        changed_known_at: Known time of changed rows and tombstones.
    """

    rows: pa.Table
    as_of: str | None
    until: datetime
    changed_known_at: datetime


class Readings(Protocol):
    """The readings of one or more keys of a table."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of the rows."""

    @property
    def num_rows(self) -> int:
        """Rows of all keys."""

    @property
    def keys(self) -> Sequence[str]:
        """The keys' names, in the order of the keys."""

    @property
    def span(self) -> Span | None:
        """Event times of all rows; ``None`` without rows."""

    @property
    def marks(self) -> Sequence[datetime]:
        """Instants at which to cut the rows by their event time, ascending; none where they fit into memory."""

    def between(self, first: datetime | None, end: datetime | None) -> Sequence[Keyed]:
        """What the keys, each of them and in their order, say of a window's rows.

        Args:
            first: Least event time; ``None`` for all before ``end``.
            end: Exclusive; ``None`` for all from ``first`` on.
        """


class Held:
    """Readings in memory: one window.

    Args:
        keyed: At least one, in the order of the keys.
    """

    marks: Sequence[datetime] = ()

    def __init__(self, keyed: Sequence[Keyed]) -> None:
        self._keyed = list(keyed)

    @property
    def schema(self) -> pa.Schema:
        """See :class:`Readings`, as for the others."""
        import pyarrow as pa

        return pa.unify_schemas([each.rows.schema for each in self._keyed])

    @property
    def num_rows(self) -> int:
        """See :class:`Readings`."""
        return sum(each.rows.num_rows for each in self._keyed)

    @property
    def keys(self) -> list[str]:
        """See :class:`Readings`."""
        return [each.as_of for each in self._keyed if each.as_of is not None]

    @property
    def span(self) -> Span | None:
        """See :class:`Readings`."""
        return joined([span_of(each.rows) for each in self._keyed])

    def between(self, first: datetime | None, end: datetime | None) -> list[Keyed]:
        """See :class:`Readings`."""
        return self._keyed


def span_of(rows: pa.Table) -> Span | None:
    """Event times of rows."""
    import pyarrow.compute as pc

    span = pc.min_max(rows["_event_time"]).as_py()
    return None if span["min"] is None else (span["min"], span["max"])


def joined(spans: Sequence[Span | None]) -> Span | None:
    """What several spans cover together."""
    known = [span for span in spans if span is not None]
    return (min(first for first, _ in known), max(last for _, last in known)) if known else None
