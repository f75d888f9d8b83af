"""Publishing readings: planned in the store, appended to the lake, noted as done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import Superseded
from evergreen.steps import staging
from evergreen.steps.context import StepContext

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.lake.draft import Asked, Reading
    from evergreen.lake.tables import Appended, Keyed
    from evergreen.store.coverage import Covered


class Write(NamedTuple):
    """How readings are published.

    Attributes:
        reading: Path of the staged rows, kept for the runs of other keys.
        tag: Of the commit.
        rows_of: Rows of another key's reading with all system columns but ``_commit``.
        expected: Step key that stood for each as_of when the reading was made.
        details: Kept with the coverage.
        source: The source itself says when rows were known.
        whole: Readings are whole snapshots.
    """

    reading: str
    tag: str
    rows_of: Callable[[Covered], pa.Table]
    expected: Mapping[str, str | None]
    details: Mapping[str, Any] = {}
    source: bool = False
    whole: bool = False


class Publication:
    """The publication of readings of one table: planned in the store, appended, noted as done.

    Args:
        ctx: Of the step.
        table: The lake's table.
        readings: At least one, in the order of the keys.
        write: How.
    """

    def __init__(self, ctx: StepContext, table: str, readings: Sequence[Keyed], write: Write) -> None:
        from evergreen.store.coverage import Coverage

        self._ctx, self._table, self._readings, self._write = ctx, table, readings, write
        self._coverage = Coverage(ctx.store)
        self._step_keys = {str(each.as_of): write.tag for each in readings}

    def plan(self) -> None:
        """Says in the store what the keys are about to say.

        Raises:
            Superseded: When another reading of one of the keys was planned since ours was made.
            DataError: When the staged rows have expired.
        """
        staging.renew(self._ctx.lake, self._write.reading)
        self._coverage.plan([self._row(each) for each in self._readings], expected=self._write.expected)

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

        return [
            Reading(found.as_of, found.as_of_time, partial(self._write.rows_of, found))
            for found in self._coverage.told(self._table, **asked._asdict())
            if found.reading and found.as_of not in self._step_keys
        ]

    def _row(self, each: Keyed) -> dict[str, Any]:
        import pyarrow.compute as pc

        span = pc.min_max(each.rows["_event_time"]).as_py()
        return {
            "table": self._table,
            "as_of": each.as_of,
            "as_of_time": each.until,
            "step_key": self._write.tag,
            "reading": self._write.reading,
            "event_from": span["min"],
            "event_to": span["max"],
            "details": dict(self._write.details),
        }
