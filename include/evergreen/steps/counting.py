"""How many rows and labels a model's history has, from increments in the store: a period pays for its own rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from evergreen.errors import TransientError
from evergreen.spec.timing import next_instant, previous_instant
from evergreen.steps import tables
from evergreen.steps.context import StepContext

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from evergreen.lake.tables import Table
    from evergreen.store.increments import Counted, Interval

log = logging.getLogger(__name__)

AT_ONCE = 20
"""More commits than this are counted as one, so that no state in between can be told."""
ROWS_AT_ONCE = 1_000_000
"""Row versions that are counted at once when a table is counted first."""
_TRIES = 10


class LabelHistory:
    """The label's dataset as it was known at the end of a run's period.

    Args:
        ctx: Of a step of a model; it reads the table at the step's version of it.

    Attributes:
        begin: Local midnight of the first day with a label; ``None`` where there is none.
        through: Event time of the newest label.
    """

    def __init__(self, ctx: StepContext) -> None:
        self._ctx = ctx
        self._label = ctx.model.label.column
        self._table = tables.table_of(ctx, "dataset", ctx.model.label.dataset)
        self._cron, self._zone = ctx.driver.schedule.cron, ctx.driver.timezone
        self._intervals = self._counted()
        labelled = [each.begin for each in self._intervals if each.labels]
        first = min(self._labelled(labelled[0]), default=None) if labelled else None
        self.through = max(self._labelled(labelled[-1]), default=None) if labelled else None
        self.begin = None if first is None else _midnight(first, self._zone)

    def rows_since(self, moment: datetime | None) -> int:
        """Rows from an instant on; of the whole history without one."""
        return self._since(moment, labelled=False)

    def labels_since(self, moment: datetime | None) -> int:
        """Labelled rows from an instant on; of the whole history without one."""
        return self._since(moment, labelled=True)

    def _since(self, moment: datetime | None, *, labelled: bool) -> int:
        found = self._intervals
        count = 0
        if moment is not None:
            if not self._is_boundary(moment):
                until = min(self._next(moment), self._ctx.as_of_time)
                rows = self._read(moment, until)
                count = len(rows) - (rows[self._label].null_count if labelled else 0)
                moment = until
            found = [each for each in found if each.begin >= moment]
        return count + sum(each.labels if labelled else each.rows for each in found)

    def _counted(self) -> Sequence[Interval]:
        """Sums of every interval, exactly as the table says at the step's version of it."""
        from evergreen.store.increments import Increments

        lake, store = self._ctx.lake.table(self._table), Increments(self._ctx.store)
        counter, end = f"{self._label} {self._cron} {self._zone}", self._ctx.as_of_time
        commit = tables.published(self._ctx, self._table)
        for _ in range(_TRIES):
            known = store.counted(self._table, counter)
            if known is not None and known.first <= commit <= known.last:
                return store.sums(self._table, counter, commit=commit, known_by=end, until=end)
            if known is not None and commit < known.first:  # an older state than was ever counted
                found = self._increments(lake, (0, commit))
                return _sums(found, known_by=end, until=end)
            after, rows = self._go_on(lake, known, commit)
            self._ctx.refuse_overtaken()
            store.add(self._table, counter, known, after, rows)
        raise TransientError(f"{self._table} was counted by others {_TRIES} times at once")

    def _go_on(self, lake: Table, known: Counted | None, commit: int) -> tuple[Counted, list[dict[str, Any]]]:
        """What the commits since the last count add: each by itself, or many as one."""
        from evergreen.store.increments import Counted

        if known is not None and commit - known.last <= AT_ONCE:
            spans = list(pairwise(range(known.last, commit + 1)))
            first = known.first
        else:
            spans, first = [(0 if known is None else known.last, commit)], commit
        rows = []
        for span in spans:
            rows += [{"commit": span[1], **row} for row in self._increments(lake, span)]
        log.info("Counted %d commits of %s", commit - (known.last if known else 0), self._table)
        return Counted(first, commit), rows

    def _increments(self, lake: Table, span: tuple[int, int]) -> list[dict[str, Any]]:
        """What the commits after one number up to another add; of all commits, some intervals after the other."""
        if span[0] or self._ctx.driver.event_time is None:
            return self._added(lake, span, None)
        return [row for window in self._windows(lake) for row in self._added(lake, span, window)]

    def _windows(self, lake: Table) -> Iterator[tuple[datetime, datetime]]:
        """The table's time by whole intervals of the calendar, so many at once as memory takes."""
        extent = lake.extent()
        if extent is None:
            return
        least, greatest, rows = extent
        ends = self._enclosing(least, greatest)
        at_once = max(1, len(ends) * ROWS_AT_ONCE // max(rows, 1))
        marks = [*ends[:-1:at_once], ends[-1]]
        yield from pairwise(marks)

    def _added(
        self, lake: Table, span: tuple[int, int], window: tuple[datetime, datetime] | None
    ) -> list[dict[str, Any]]:
        import pyarrow.compute as pc

        from evergreen.lake.increments import increments

        is_whole = self._ctx.driver.event_time is None
        rows = lake.touched(*span, [self._label], whole=is_whole, between=window)
        if not rows.num_rows:
            return []
        ends = [pc.min_max(rows[name]).as_py() for name in ("_event_time", "_known_at")]
        between = self._boundaries(min(each["min"] for each in ends), max(each["max"] for each in ends))
        return list(increments(rows, self._label, between, span[0] + 1, whole=is_whole).to_pylist())

    def _labelled(self, begin: datetime) -> list[datetime]:
        rows = self._read(begin, min(self._next(begin), self._ctx.as_of_time))
        return list(rows.filter(rows[self._label].is_valid())["_event_time"].to_pylist())

    def _read(self, begin: datetime, until: datetime) -> pa.Table:
        how = {"known_by": self._ctx.as_of_time, "event_from": begin, "event_to": until}
        return tables.read(self._ctx, self._table, [self._label], **how)

    def _boundaries(self, least: datetime, greatest: datetime) -> np.ndarray[Any, Any]:
        """Instants of the calendar that enclose two, in microseconds."""
        import numpy as np

        found = self._enclosing(least, greatest)
        return np.array([each.replace(tzinfo=None) for each in found], "datetime64[us]").astype(np.int64)

    def _enclosing(self, least: datetime, greatest: datetime) -> list[datetime]:
        found = [previous_instant(self._cron, self._zone, self._next(least))]
        while found[-1] <= greatest:
            found.append(self._next(found[-1]))
        return found

    def _next(self, moment: datetime) -> datetime:
        return next_instant(self._cron, self._zone, moment)

    def _is_boundary(self, moment: datetime) -> bool:
        return previous_instant(self._cron, self._zone, self._next(moment)) == moment


def _sums(found: Sequence[Mapping[str, Any]], *, known_by: datetime, until: datetime) -> list[Interval]:
    from evergreen.store.increments import Interval

    sums: dict[datetime, Interval] = {}
    for row in found:
        if row["known"] <= known_by and row["event"] < until:
            begin = row["event"].astimezone(UTC)
            before = sums.get(begin, Interval(begin, 0, 0))
            sums[begin] = Interval(begin, before.rows + row["rows"], before.labels + row["labels"])
    return [sums[begin] for begin in sorted(sums)]


def _midnight(moment: datetime, timezone: str) -> datetime:
    local = moment.astimezone(ZoneInfo(timezone))
    return local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
