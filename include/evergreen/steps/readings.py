"""Publishing readings: planned in the store, appended to the lake, noted as done."""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import Superseded
from evergreen.lake.readings import Keyed, Span, joined, span_of
from evergreen.lake.spill import Spill
from evergreen.steps import staging
from evergreen.steps.context import StepContext

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.lake.draft import Asked, Reading
    from evergreen.lake.tables import Appended
    from evergreen.steps.staging import Staged
    from evergreen.store.coverage import Covered

WINDOW = 64 * 2**20
"""Bytes of staged rows, before compression, that are published at once."""
WINDOW_ROWS = 500_000
_TICK = timedelta(microseconds=1)
_TWICE = 2
"""How often each staged row may be read, about, before they are sorted into files first."""


class Key(NamedTuple):
    """A key that rows are published for.

    Attributes:
        until: Its instant.
        changed_known_at: Known time of what changed.
    """

    as_of: str
    until: datetime
    changed_known_at: datetime


class StagedReadings:
    """Staged rows as :class:`evergreen.lake.readings.Readings`.

    Args:
        staged: The rows.
        keys: Theirs, in the order of the keys.
        event_time: Column of the event time; ``None`` for whole snapshots.
        key_column: Column that says which key a row is of; ``None`` where there is one.
        finish: Gives rows their system columns but ``_commit``.
        window: Bytes of a window.
    """

    def __init__(
        self,
        staged: Staged,
        keys: Sequence[Key],
        *,
        event_time: str | None,
        key_column: str | None,
        finish: Callable[[pa.Table], pa.Table],
        window: int | None = None,
    ) -> None:
        self._staged, self._keys, self._event_time, self._key_column = staged, list(keys), event_time, key_column
        self._finish, self._window = finish, window or WINDOW

    @property
    def each(self) -> list[Key]:
        """The keys."""
        return self._keys

    @property
    def keys(self) -> list[str]:
        """See :class:`evergreen.lake.readings.Readings`, as for the others."""
        return [key.as_of for key in self._keys]

    @property
    def num_rows(self) -> int:
        """See :class:`evergreen.lake.readings.Readings`."""
        return self._staged.num_rows

    @cached_property
    def schema(self) -> pa.Schema:
        """See :class:`evergreen.lake.readings.Readings`."""
        return self._finish(self._staged.schema.empty_table()).schema

    @property
    def span(self) -> Span | None:
        """See :class:`evergreen.lake.readings.Readings`."""
        return joined(list(self.spans.values()))

    @cached_property
    def spans(self) -> dict[str, Span | None]:
        """Event times of each key's rows; ``None`` without rows."""
        if not self.marks:
            return {str(each.as_of): span_of(each.rows) for each in self._all}
        found: dict[str, Span | None] = dict.fromkeys(self.keys)
        for rows in self._staged.tables(self._columns):
            for as_of, span in self._spans_in(rows):
                if as_of in found:
                    found[as_of] = joined([found[as_of], span])
        return found

    def _spans_in(self, rows: pa.Table) -> list[tuple[str, Span]]:
        import pyarrow as pa

        key, at = self._key_column, str(self._event_time)
        if key is None:
            rows, key = rows.append_column("__key", pa.array([self.keys[0]] * rows.num_rows, pa.string())), "__key"
        groups = rows.group_by(key).aggregate([(at, "min"), (at, "max")])
        return [(row[key], (row[f"{at}_min"], row[f"{at}_max"])) for row in groups.to_pylist()]

    @cached_property
    def marks(self) -> list[datetime]:
        """See :class:`evergreen.lake.readings.Readings`."""
        import numpy as np
        import pyarrow as pa

        count = max(-(-self._staged.size_bytes // self._window), -(-self._staged.num_rows // WINDOW_ROWS))
        if self._event_time is None or count <= 1:
            return []
        parts = [rows.column(0).cast(pa.int64()).to_numpy() for rows in self._staged.tables([self._event_time])]
        times = np.sort(np.concatenate(parts))
        cuts = np.unique(times[np.arange(1, count) * len(times) // count])
        stamps = pa.array(cuts[cuts > times[0]]).cast(pa.timestamp("us", tz="UTC"))
        found: list[datetime] = stamps.to_pylist()
        return found

    def between(self, first: datetime | None, end: datetime | None) -> list[Keyed]:
        """See :class:`evergreen.lake.readings.Readings`."""
        import pyarrow as pa

        if not self.marks:
            return self._all
        if self._buckets is not None:
            bucket = self._buckets[0 if first is None else bisect_right(self.marks, first)]
            return self._keyed(pa.concat_tables(bucket.tables()))
        return self._keyed(pa.concat_tables(self._staged.between(str(self._event_time), first, end)))

    @cached_property
    def _all(self) -> list[Keyed]:
        import pyarrow as pa

        return self._keyed(pa.concat_tables(self._staged.tables()))

    @property
    def _columns(self) -> list[str]:
        return [name for name in (self._key_column, self._event_time) if name is not None]

    @cached_property
    def _buckets(self) -> list[Spill] | None:
        """The rows of each window in a file of its own; ``None`` where the staged rows come by time anyway."""
        import numpy as np
        import pyarrow as pa

        event_time = str(self._event_time)
        edges, groups = [None, *self.marks, None], self._staged.spans(event_time)
        reached = sum(
            sum((end is None or least < end) and (first is None or greatest >= first) for first, end in pairwise(edges))
            for _, least, greatest in groups
            if least is not None
        )
        if reached <= _TWICE * (len(edges) + len(groups)):
            return None
        self._folder = tempfile.TemporaryDirectory(prefix="evergreen-publish-")
        buckets = [Spill(Path(self._folder.name, str(number))) for number in range(len(edges) - 1)]
        cuts = pa.array(self.marks).cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
        for rows in self._staged.tables():
            at = np.searchsorted(cuts, rows[event_time].cast(pa.int64()).to_numpy(), side="right")
            for number in np.unique(at).tolist():
                buckets[number].add(rows.filter(pa.array(at == number)))
        return buckets

    def _keyed(self, rows: pa.Table) -> list[Keyed]:
        """Rows by key, with the lake's system columns; of keys that are not asked for nothing."""
        import pyarrow as pa
        import pyarrow.compute as pc

        made = self._finish(rows)
        if self._key_column is None:
            [key] = self._keys
            return [Keyed(made, *key)]
        place = pc.index_in(made["_as_of"].combine_chunks(), value_set=pa.array(self.keys, pa.string()))
        order = pc.array_sort_indices(place)  # stable: a key's rows in the order that it gave them; others come last
        counts = {row["values"]: row["counts"] for row in pc.value_counts(place).to_pylist()}
        made, at, found = made.take(order), 0, []
        for number, key in enumerate(self._keys):
            size = counts.get(number, 0)
            found.append(Keyed(made.slice(at, size), *key))
            at += size
        return found


class Write(NamedTuple):
    """How readings are published.

    Attributes:
        reading: Path of the staged rows, kept for the runs of other keys.
        tag: Of the commit.
        rows_of: Rows of another key's reading with all system columns but ``_commit``; those of some event times, if
            they are given.
        expected: Step key that stood for each as_of when the reading was made.
        details: Kept with the coverage.
        source: The source itself says when rows were known.
        whole: Readings are whole snapshots.
    """

    reading: str
    tag: str
    rows_of: Callable[[Covered, Span | None], pa.Table]
    expected: Mapping[str, str | None]
    details: Mapping[str, Any] = {}
    source: bool = False
    whole: bool = False


class Publication:
    """The publication of readings of one table: planned in the store, appended, noted as done.

    Args:
        ctx: Of the step.
        table: The lake's table.
        readings: Of at least one key.
        write: How.
    """

    def __init__(self, ctx: StepContext, table: str, readings: StagedReadings, write: Write) -> None:
        from evergreen.store.coverage import Coverage

        self._ctx, self._table, self._readings, self._write = ctx, table, readings, write
        self._coverage = Coverage(ctx.store)
        self._step_keys = dict.fromkeys(readings.keys, write.tag)

    def plan(self) -> None:
        """Says in the store what the keys are about to say.

        Raises:
            Superseded: When another reading of one of the keys was planned since ours was made.
            DataError: When the staged rows have expired.
        """
        staging.renew(self._ctx.lake, self._write.reading)
        self._coverage.plan([self._row(each) for each in self._readings.each], expected=self._write.expected)

    def guard(self) -> None:
        """Keeps a process that hung until its source was repaired from bringing the old rows back.

        Raises:
            Superseded: When another reading of one of the keys was planned since.
            TransientError: When rows were erased since the step began to read.
        """
        self._ctx.refuse_overtaken()
        if not self._coverage.holds(self._table, self._step_keys):
            raise Superseded(f"{self._table} as of {self._ctx.as_of} was published from a newer state meanwhile.")

    def append(self) -> Appended:
        """Appends the rows, exactly once."""
        return self._ctx.lake.table(self._table).append_readings(
            self._readings,
            tag=self._write.tag,
            source_known_at=self._write.source,
            full_snapshot=self._write.whole,
            others=self._others,
            guard=self.guard,
        )

    def finish(self) -> None:
        """Notes that the keys are covered."""
        self._coverage.finish(self._table, self._step_keys)
        self._ctx.versions.pop(self._table, None)

    def _others(self, asked: Asked) -> list[Reading]:
        from evergreen.lake.draft import Reading

        asked_span = None if asked.event_from is None or asked.event_to is None else (asked.event_from, asked.event_to)
        return [
            Reading(found.as_of, found.as_of_time, partial(self._write.rows_of, found, asked_span))
            for found in self._coverage.told(self._table, **asked._asdict())
            if found.reading and found.as_of not in self._step_keys
        ]

    def _row(self, key: Key) -> dict[str, Any]:
        event_from, event_to = self._readings.spans[key.as_of] or (None, None)
        return {
            "table": self._table,
            "as_of": key.as_of,
            "as_of_time": key.until,
            "step_key": self._write.tag,
            "reading": self._write.reading,
            "event_from": event_from,
            "event_to": event_to,
            "details": dict(self._write.details),
        }


def staged_rows(ctx: StepContext, path: str, event_time: str | None, span: Span | None) -> pa.Table:
    """Staged rows; those of some event times, if they are given and the rows have them."""
    import pyarrow as pa

    with staging.opened(ctx.lake, path) as staged:
        if event_time is None or span is None:
            return pa.concat_tables(staged.tables())
        return pa.concat_tables(staged.between(event_time, span[0], span[1] + _TICK))
