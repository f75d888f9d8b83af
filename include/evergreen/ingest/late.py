"""Rows that come too late for every run of a source that all runs share: found once, set aside once.

Such a source (its path has no ``{as_of}``) is read again by every run, and a run takes the rows of its interval and its
late window only. What stands below is known from earlier runs, unless it is new. A count and a digest of each day say
on which days anything is new at all; only of these the rows are compared with the table and the quarantine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from evergreen.ingest.doubles import find_doubles
from evergreen.ingest.load import Landed
from evergreen.ingest.quarantine import Reject, rows_as_json
from evergreen.ingest.selected import Selected
from evergreen.ingest.timeline import NONE, Interval, ticks, ticks_of
from evergreen.ingest.typed import Fault
from evergreen.ingest.zone import to_local
from evergreen.store.seen_rows import DayState, SeenRows, SeenRun

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.lake.tables import Table
    from evergreen.spec.dataset import Dataset
    from evergreen.store.store import Store

_DAY = 86_400 * 1_000_000
_EPOCH = date(1970, 1, 1).toordinal()
_TIMELESS = date.min.toordinal() - _EPOCH
"""The day of rows that no event time can be said of."""


@dataclass(frozen=True)
class Pool:
    """Rows of a shared source, and when they happened.

    Attributes:
        selected: Rows after ``select``.
        times: Their event times in ticks; of a row without one, that of the row read before it; ``NONE`` if there is no
            such row.
        early: Number and reject of each record that never got that far.
        early_times: As ``times``.
        interval: What the run takes.
    """

    selected: Selected
    times: Any
    early: Sequence[tuple[int, Reject]]
    early_times: Any
    interval: Interval


def merged(pools: Sequence[Pool]) -> Pool:
    """At least one pool as one; rows that follow each other."""
    import numpy as np
    import pyarrow as pa

    parts = [pool.selected for pool in pools]
    rows = pa.concat_tables([part.rows for part in parts], promote_options="permissive")
    numbers = None if parts[0].numbers is None else np.concatenate([part.numbers for part in parts])
    faults: dict[int, list[Fault]] = {}
    at = 0
    for part in parts:
        faults |= {at + index: found for index, found in part.faults.items()}
        at += part.rows.num_rows
    return Pool(
        Selected(rows, numbers, faults),
        np.concatenate([pool.times for pool in pools]),
        [each for pool in pools for each in pool.early],
        np.concatenate([pool.early_times for pool in pools]),
        pools[0].interval,
    )


class LateRows:
    """Finds, for one run, the rows that came too late for all of them and that no other run found before.

    A row that a run finds is its own from then on: it finds the row again however often it is tried, and no other run
    does. Of the rows of one identity only the one that ``dedupe`` keeps is looked at.

    Args:
        store: Remembers what runs saw.
        dataset: The dataset.
        as_of: The run's key.
        table: What is published of the dataset.
        quarantine: What was set aside.
        published: Keys that were published. What a run that was not has taken may still change: it answers for that.
    """

    def __init__(
        self, store: Store, dataset: Dataset, as_of: str, *, table: Table, quarantine: Table, published: Collection[str]
    ) -> None:
        self._seen, self._dataset, self._as_of = SeenRows(store), dataset, as_of
        self._table, self._quarantine, self._published = table, quarantine, frozenset(published)
        self._definition = _definition(dataset)
        self.begin()

    def begin(self) -> None:
        """Forgets what was noted: the rows are gone through again."""
        self._states: dict[date, DayState] = {}
        self._unsettled: set[date] = set()
        self._is_asked = False

    @cached_property
    def _mine(self) -> Mapping[date, frozenset[int]]:
        """What this run found before."""
        runs = self._seen.runs(self._dataset.name)
        return next((run.late for run in runs if run.as_of == self._as_of), {})

    @cached_property
    def _runs(self) -> list[SeenRun]:
        return [run for run in self._seen.runs(self._dataset.name) if run.as_of in self._published]

    @cached_property
    def _before(self) -> Mapping[date, DayState]:
        return self._seen.days(self._dataset.name)

    @property
    def _changed(self) -> set[date]:
        """Days on which anything is new, or was when this run looked before."""
        return {day for day, state in self._states.items() if self._before.get(day) != state} | set(self._mine)

    def note(self, pool: Pool) -> None:
        """Counts the rows that come next; all are noted before anything is found."""
        rows, records = self._placed(pool)
        for day, state in self._states_of(pool, rows, records).items():
            known = self._states.get(day, DayState(0, 0, self._definition))
            digest = (known.digest + state.digest) % 2**63
            self._states[day] = DayState(known.n_rows + state.n_rows, digest, self._definition)
        self._unsettled |= rows.unsettled | records.unsettled
        self._is_asked |= rows.is_any_late or records.is_any_late

    def is_asking(self) -> bool:
        """Whether rows may have come too late, so that they must be looked at."""
        return self._is_asked and bool(self._changed)

    def narrowed(self, pool: Pool) -> Pool:
        """Those of some rows that may have come too late."""
        rows, records = self._placed(pool)
        asked = _where(rows.asked(self._changed), len(pool.times))
        early = records.asked(self._changed)
        return Pool(
            pool.selected.take(asked),
            pool.times[asked],
            [pool.early[index] for index in early.tolist()],
            pool.early_times[early],
            pool.interval,
        )

    def find(self, pool: Pool | None, interval: Interval, landed: Landed) -> tuple[Any, Any]:
        """Masks over ``pool.selected`` and ``pool.early`` of the rows that this run sets aside as too late.

        Rows without any event time are among them: each belongs to the first run that sees it.

        Args:
            pool: All rows that :meth:`narrowed` gave; ``None`` when there was nothing to ask.
            interval: What the run takes.
            landed: The files.
        """
        found = [] if pool is None else self._late_rows(pool, landed)
        found_records = [] if pool is None else self._late_records(pool)
        late: dict[date, set[int]] = {}
        for each in (*found, *found_records):
            late.setdefault(each.day, set()).add(each.digest)
        floor = None if interval.first_load else _moment(interval.floor_ticks)
        hashes = {day: frozenset(digests) for day, digests in late.items()}
        run = SeenRun(self._as_of, floor, interval.end, self._definition, hashes)
        last = _day_of(ticks(interval.end), self._dataset.timezone)
        changed = self._changed & set(self._states)
        noted = {day: self._states[day] for day in changed if day < last and day not in self._unsettled}
        own = self._seen.answer(self._dataset.name, run, noted)
        if pool is None:
            return None, None
        return _mask(found, own, len(pool.times)), _mask(found_records, own, len(pool.early))

    def _placed(self, pool: Pool) -> tuple[_Rows, _Rows]:
        zone = self._dataset.timezone
        rows = _Rows(pool.times, zone, pool.interval, self._runs)
        return rows, _Rows(pool.early_times, zone, pool.interval, self._runs)

    def _states_of(self, pool: Pool, rows: _Rows, records: _Rows) -> dict[date, DayState]:
        """Count and digest of the rows of each day before the run's end."""
        import pyarrow as pa

        from evergreen.lake.duck import query

        table = pool.selected.rows
        columns = {f"c{index}": column for index, column in enumerate(table.columns)}
        sql = (
            f"SELECT day, count(*) AS n, sum(hash({', '.join(columns)})::HUGEINT) % {2**63} AS digest "
            "FROM rows WHERE day IS NOT NULL GROUP BY day"
        )
        days = pa.array(rows.days, mask=~rows.before_end, type=pa.int64())
        found = query(sql, {"rows": pa.table({**columns, "day": days})}, {}).to_pylist()
        sums = {row["day"]: (row["n"], int(row["digest"])) for row in found}
        for day, inside, (_, reject) in zip(records.days.tolist(), records.before_end, pool.early, strict=True):
            if inside:
                count, digest = sums.get(day, (0, 0))
                sums[day] = count + 1, (digest + (_hash(reject.row) & (2**63 - 1))) % 2**63
        return {_date(day): DayState(count, digest, self._definition) for day, (count, digest) in sums.items()}

    def _late_rows(self, pool: Pool, landed: Landed) -> list[_Found]:
        """Rows that neither table nor quarantine has, and such as this run found before."""
        import numpy as np

        part, times, count = pool.selected, pool.times, len(pool.times)
        if not count:
            return []
        fine = np.flatnonzero(_where(list(part.faults), count, keep=False))
        rows = part.without_faults().rows
        old = np.zeros(count, dtype=bool)
        old[fine] = self._is_published(rows, times[fine], self._runs)
        if self._dataset.dedupe != "reject":
            old[fine] |= find_doubles(rows, self._dataset.identity, self._dataset.dedupe, self._dataset.known_at)
        days = _days(times, self._dataset.timezone)
        looked_at = np.flatnonzero(~old | np.isin(days, [_number(day) for day in self._mine]))
        texts = rows_as_json(part.rows, looked_at.tolist())
        raw = texts if part.numbers is None else landed.as_json(part.numbers[looked_at])
        aside = self._set_aside() if len(looked_at) else frozenset()
        found = []
        for at, text, own in zip(looked_at.tolist(), raw, texts, strict=True):
            day, digest = _date(int(days[at])), _hash(text)
            if (not old[at] and text not in aside and own not in aside) or digest in self._mine.get(day, ()):
                found.append(_Found(day, digest, at))
        return found

    def _late_records(self, pool: Pool) -> list[_Found]:
        """Broken records that the quarantine does not have, and such as this run found before."""
        if not pool.early:
            return []
        aside = self._set_aside()
        days = _days(pool.early_times, self._dataset.timezone).tolist()
        found = []
        for at, day in enumerate(map(_date, days)):
            text = pool.early[at][1].row
            digest = _hash(text)
            if text not in aside or digest in self._mine.get(day, ()):
                found.append(_Found(day, digest, at))
        return found

    def _is_published(self, rows: pa.Table, times: Any, runs: Sequence[SeenRun]) -> Any:
        """Which rows the table has: with their content, or, where they were read by other rules, by their identity."""
        import numpy as np

        from evergreen.lake.columns import canonical
        from evergreen.lake.rows import digest

        if not rows.num_rows or not self._table.exists():
            return np.zeros(rows.num_rows, dtype=bool)
        table = canonical(rows, f"dataset {self._dataset.name}")
        ids = digest(table, self._dataset.identity).to_pylist()
        contents = digest(table, table.column_names).to_pylist()
        events = ticks_of(rows[self._dataset.event_time])
        span = {"event_from": _moment(int(events.min())), "event_to": _moment(int(events.max()) + 1)}
        stored = self._table.read_versions([], **span)
        pairs = set(zip(stored["_row_id"].to_pylist(), stored["_row_hash"].to_pylist(), strict=True))
        known_ids = {row_id for row_id, _ in pairs}
        alike = _covered(times, [run for run in runs if run.definition == self._definition])
        return np.array(
            [
                (row_id, content) in pairs if same else row_id in known_ids
                for row_id, content, same in zip(ids, contents, alike.tolist(), strict=True)
            ]
        )

    def _set_aside(self) -> frozenset[str]:
        if not self._quarantine.exists():
            return frozenset()
        return frozenset(self._quarantine.read(["row"])["row"].to_pylist())


@dataclass(frozen=True)
class _Found:
    """A late row: its day, the digest of its text, its index."""

    day: date
    digest: int
    index: int


class _Rows:
    """Where rows stand by their event times: on which day, before which bounds, and whether earlier runs took them."""

    def __init__(self, times: Any, timezone: str, interval: Interval, runs: Sequence[SeenRun]) -> None:
        import numpy as np

        self.days = _days(times, timezone)
        timeless = times == NONE
        self.before_end = timeless | (times < interval.end_ticks)
        below = timeless | (times < interval.floor_ticks)
        answered = timeless | _covered(times, runs)
        self._late = below & answered
        self.unsettled = {_date(day) for day in np.unique(self.days[below & ~answered]).tolist()}

    @property
    def is_any_late(self) -> bool:
        """Whether any is too late for this run and was there for an earlier one."""
        return bool(self._late.any())

    def asked(self, days: Collection[date]) -> Any:
        """Indices of the rows of some days that are too late for this run and were there for an earlier one."""
        import numpy as np

        return np.flatnonzero(self._late & np.isin(self.days, [_number(day) for day in days]))


def _definition(dataset: Dataset) -> str:
    """Digest of what the content of a row depends on beside the source."""
    fields = {"timezone", "columns", "select", "event_time", "entity", "known_at", "dedupe"}
    document = dataset.model_dump(mode="json", include=fields)
    document["source"] = dataset.source.model_dump(
        mode="json", include={"format", "delimiter", "encoding", "null_values"}
    )
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def _covered(times: Any, runs: Sequence[SeenRun]) -> Any:
    """Whether each time lies within what some run took."""
    import numpy as np

    spans: list[tuple[int, int]] = []
    for start, end in sorted((_least(run), ticks(run.covers_to)) for run in runs):
        if spans and start <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((start, end))
    covered = np.zeros(len(times), dtype=bool)
    for start, end in spans:
        covered |= (times >= start) & (times < end)
    return covered


def _least(run: SeenRun) -> int:
    return NONE + 1 if run.covers_from is None else ticks(run.covers_from)


def _days(times: Any, timezone: str) -> Any:
    """Days since 1970 in a time zone; :data:`_TIMELESS` where there is no time."""
    import numpy as np

    local = to_local(np.where(times == NONE, 0, times), timezone)
    return np.where(times == NONE, _TIMELESS, local // _DAY)


def _day_of(moment: int, timezone: str) -> date:
    import numpy as np

    return _date(int(_days(np.array([moment]), timezone)[0]))


def _date(day: int) -> date:
    return date.fromordinal(day + _EPOCH)


def _number(day: date) -> int:
    return day.toordinal() - _EPOCH


def _moment(at: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], signed=True)


def _where(indices: Any, count: int, *, keep: bool = True) -> Any:
    import numpy as np

    mask = np.full(count, not keep)
    mask[indices] = keep
    return mask


def _mask(found: Sequence[_Found], own: Mapping[date, frozenset[int]], count: int) -> Any:
    return _where([each.index for each in found if each.digest in own.get(each.day, ())], count)
