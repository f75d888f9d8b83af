"""The rules of docs/explanation/tables.md as a slow program: no library, one short function per rule.

It keeps all that was ever read and computes each answer from it anew: what a table says of a row at an instant follows
from **statements**. A key's reading states something of a row from some instant on, maybe until another; of those that
count at an instant the strongest speaks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from declared import GAINED, SELECTS, TRANSFORMS, Dataset, Row, View

Identity = tuple[Any, ...]
Content = tuple[tuple[str, Any], ...]
"""The columns of a row that have a value, by name: a column without one says as little as no column."""
File = Sequence[Mapping[str, str]]
"""The lines of a source's file as they stand there."""

GONE: None = None


# Keys


class Interval(NamedTuple):
    """What a key covers: ``[start, end)`` in UTC."""

    start: datetime
    end: datetime


def interval_of(key: str, zone: str) -> Interval:
    """A daily key names the midnight, in its zone, that ends its day."""
    day = datetime.fromisoformat(key)
    return Interval(_midnight(day - timedelta(days=1), zone), _midnight(day, zone))


def _midnight(day: datetime, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def key_after(key: str, days: int = 1) -> str:
    return (datetime.fromisoformat(key) + timedelta(days=days)).date().isoformat()


# Readings: rule 1, and what is set aside


class Good(NamedTuple):
    """A good row: what it says, since when that is known by itself (None: from its key's end on), and its line."""

    content: Content
    known: datetime | None
    raw: Mapping[str, str] = {}


class Reading(NamedTuple):
    """What an ingestion of a key made of its file: ``lines == len(good) + len(refused) + superseded``."""

    good: Mapping[Identity, Good]
    refused: tuple[tuple[str, Mapping[str, str]], ...]
    superseded: int
    lines: int


class _Line(NamedTuple):
    raw: Mapping[str, str]
    row: Row


def read(dataset: Dataset, file: File, key: str, *, first_load: bool) -> Reading:
    """Rule 1: an ingestion publishes the good rows of its key, one per identity."""
    refused: list[tuple[str, Mapping[str, str]]] = []
    lines: list[_Line] = []
    for raw in file:
        row, fault = typed(dataset, raw)
        fault = fault or out_of_time(dataset, row, key, first_load=first_load)
        if fault:
            refused.append((fault, raw))
        else:
            lines.append(_Line(raw, row))
    single = one_per_identity(dataset, lines)
    superseded = len(lines) - len(single)
    good = {}
    for identity, line in single.items():
        if breaks_expectation(dataset, line.row):
            refused.append(("expect_column_values_to_be_between", line.raw))
        else:
            known = known_by_itself(dataset, line.row, key, first_load=first_load)
            good[identity] = Good(content_of(line.row), known, line.raw)
    return Reading(good, tuple(refused), superseded, len(file))


def typed(dataset: Dataset, raw: Mapping[str, str]) -> tuple[Row, str | None]:
    """The row of a line after ``select``, or which column does not hold what its type says."""
    values = {}
    for column, kind in dataset.columns:
        try:
            values[column] = None if raw[column] == "" else _value(raw[column], kind, dataset.zone)
        except ValueError:
            return {}, f"columns.{column}"
    return SELECTS[dataset.select].twin(values), None


def _value(text: str, kind: str, zone: str) -> Any:
    if kind == "int":
        return int(text)
    if kind == "timestamp":
        return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return text


def out_of_time(dataset: Dataset, row: Row, key: str, *, first_load: bool) -> str | None:
    """Rows after the interval, and rows before its late window (rule 7: except in a first load), are set aside."""
    if dataset.event_time is None or not row:
        return None
    start, end = interval_of(key, dataset.zone)
    if row[dataset.event_time] >= end:
        return "event_time.after_interval"
    if row[dataset.event_time] < start - dataset.late_window and not first_load:
        return "event_time.too_late"
    return None


def one_per_identity(dataset: Dataset, lines: Sequence[_Line]) -> dict[Identity, _Line]:
    """Of several rows of one identity that stays which the source knew last, or else that which stands last."""
    kept: dict[Identity, _Line] = {}
    for line in lines:
        identity = tuple(line.row[name] for name in dataset.identity)
        before = kept.get(identity)
        if before is None or dataset.known_at is None or line.row[dataset.known_at] >= before.row[dataset.known_at]:
            kept[identity] = line
    return kept


def breaks_expectation(dataset: Dataset, row: Row) -> bool:
    """Rows that break an expectation are set aside; one without a value breaks none."""
    return dataset.most is not None and row["sold"] is not None and row["sold"] > dataset.most


def content_of(row: Row) -> Content:
    return tuple(sorted((name, value) for name, value in row.items() if value is not None))


def known_by_itself(dataset: Dataset, row: Row, key: str, *, first_load: bool) -> datetime | None:
    """Rules 4 and 6: the source's own instant; else event time plus delay, where the row is not late."""
    if dataset.known_at is not None:
        return row[dataset.known_at]
    if dataset.event_time is None or dataset.delay is None:
        return None
    return own_time(row[dataset.event_time], dataset.delay, interval_of(key, dataset.zone), first_load=first_load)


def own_time(event: datetime, delay: timedelta, interval: Interval, *, first_load: bool) -> datetime | None:
    """Rule 4: event time plus delay, at the latest ``end``, if the event lies in the interval or a first load."""
    in_time = first_load or interval.start <= event < interval.end
    return min(event + delay, interval.end) if in_time else None


# Tables: rules 2 to 8


class Statement(NamedTuple):
    """What a reading says of one row: counts in ``[since, until)``; the greatest ``strength`` speaks."""

    content: Content | None
    since: datetime
    until: datetime | None
    strength: tuple[datetime, datetime, int]


class Published(NamedTuple):
    """A reading of a key as it was published.

    Attributes:
        number: Publications of a table are numbered as they come.
        first_load: Whether the source had nothing before the key.
        new: Identities of which nothing was known by ``end`` until then.
        known_late: Rule 10: identities that a rebuild makes known at a later instant than ``end``.
    """

    number: int
    key: str
    end: datetime
    rows: Mapping[Identity, Good]
    first_load: bool
    new: frozenset[Identity]
    known_late: Mapping[Identity, datetime]


class Known(NamedTuple):
    """What a table says of a living row, and since when."""

    content: Content
    since: datetime


@dataclass
class Table:
    """The table of one definition.

    Attributes:
        kind: ``events``, ``snapshot``, or ``dated``: the source (or the transform) says itself when a row was known.
        published: All publications in their order.
    """

    kind: Literal["events", "snapshot", "dated"]
    published: list[Published] = field(default_factory=list)

    def covered(self) -> list[str]:
        """The keys that it covers."""
        return sorted({each.key for each in self.published})

    def of(self, key: str) -> list[Published]:
        """The publications of a key; the last one counts."""
        return [each for each in self.published if each.key == key]

    def publish(
        self,
        key: str,
        end: datetime,
        rows: Mapping[Identity, Good],
        *,
        first_load: bool = False,
        known_late: Mapping[Identity, datetime] | None = None,
    ) -> None:
        """Takes a reading; one that says what the key's last one said is none."""
        before = self.of(key)
        if before and self._says(before[-1].rows) == self._says(rows):
            return
        new = frozenset(each for each in rows if not was_known(self, each, end))
        number = len(self.published)
        self.published.append(Published(number, key, end, dict(rows), first_load, new, dict(known_late or {})))

    def _says(self, rows: Mapping[Identity, Good]) -> object:
        dated = self.kind == "dated"
        return {identity: (good.content, good.known if dated else None) for identity, good in rows.items()}


def as_known(table: Table, at: datetime) -> dict[Identity, Known]:
    """The living rows of a table as known at an instant."""
    found = {identity: row_as_known(table, identity, at) for identity in identities(table)}
    return {identity: known for identity, known in found.items() if known is not None}


def identities(table: Table) -> set[Identity]:
    return {identity for each in table.published for identity in each.rows}


def row_as_known(table: Table, identity: Identity, at: datetime) -> Known | None:
    """Rule 8: readers see since when a row says, without a break, what it says."""
    said = statements(table, identity)
    now = spoken(said, at)
    if now is GONE:
        return None
    since = at
    for instant in sorted((moment for moment in turns(said) if moment <= at), reverse=True):
        if spoken(said, instant) != now:
            break
        since = instant
    return Known(now, since)


def spoken(said: Sequence[Statement], at: datetime) -> Content | None:
    """What the strongest of the statements says that count at an instant."""
    counting = [each for each in said if each.since <= at and (each.until is None or at < each.until)]
    return max(counting, key=lambda each: each.strength).content if counting else GONE


def turns(said: Sequence[Statement]) -> set[datetime]:
    """Instants at which something begins or ceases to count."""
    return {each.since for each in said} | {each.until for each in said if each.until is not None}


def was_known(table: Table, identity: Identity, by: datetime) -> bool:
    """Whether there is any version of a row, be it a deletion, that was known by an instant."""
    return any(each.since <= by for each in statements(table, identity))


def statements(table: Table, identity: Identity) -> list[Statement]:
    """All that the keys' readings say of a row."""
    found: list[Statement] = []
    for key in table.covered():
        runs = table.of(key)
        if table.kind == "dated":
            found += told_by_the_source(runs, identity)
        else:
            found += said_early(runs, identity)
            found += said_at_the_end(runs[-1], identity, snapshot=table.kind == "snapshot")
    return found


def said_early(runs: Sequence[Published], identity: Identity) -> Iterator[Statement]:
    """Rule 4: a new row is known at its own time. It was said, so it stands, but only until ``end``."""
    for run in runs:
        good = run.rows.get(identity)
        if good is not None and good.known is not None and identity in run.new and identity not in run.known_late:
            yield Statement(good.content, good.known, run.end, (good.known, run.end, run.number))


def said_at_the_end(last: Published, identity: Identity, *, snapshot: bool) -> Iterator[Statement]:
    """Rules 2, 3 and 5: from ``end`` on counts the last reading, and above it those of later keys.

    What only an earlier reading of the key said counts no longer, so that the keys before it speak again. A whole
    snapshot says of all others that they are gone.
    """
    good = last.rows.get(identity)
    since = last.known_late.get(identity, last.end)
    if good is not None or snapshot:
        yield Statement(good.content if good else GONE, since, None, (last.end, last.end, last.number))


def told_by_the_source(runs: Sequence[Published], identity: Identity) -> Iterator[Statement]:
    """Rule 6: the source's own instant stands, and the later one is the stronger, of equal ones that of the later key.

    What an earlier reading had and the last one lacks counts until ``end``, or not at all if it was known later.
    """
    for run in runs:
        good = run.rows.get(identity)
        if good is not None:
            known = good.known or run.end
            until = None if run is runs[-1] else max(run.end, known)
            yield Statement(good.content, known, until, (known, run.end, run.number))


# Sources: rules 7, 10 and 11


@dataclass
class Source:
    """The files of a dataset.

    Attributes:
        files: By key, as they lie there now.
        first_read: By key, as they were when the key was first ingested.
    """

    files: dict[str, File] = field(default_factory=dict)
    first_read: dict[str, File] = field(default_factory=dict)

    def ingested(self) -> list[str]:
        """The keys that were ever ingested."""
        return sorted(self.first_read)


class Former(NamedTuple):
    """A dataset as another definition has it, and its table."""

    dataset: Dataset
    table: Table


def is_first_load(source: Source, key: str) -> bool:
    """Rule 7: no earlier key was ingested, and no file of an earlier key lies there."""
    return not any(other < key for other in (*source.first_read, *source.files))


def ingest(table: Table, dataset: Dataset, source: Source, key: str) -> Reading:
    """Rule 1: reads a key's file as it lies there now, and publishes what is good of it."""
    first_load = is_first_load(source, key)
    reading = read(dataset, source.files[key], key, first_load=first_load)
    table.publish(key, interval_of(key, dataset.zone).end, reading.good, first_load=first_load)
    return reading


def read_history(
    table: Table, dataset: Dataset, source: Source, newest: str, others: Sequence[Former]
) -> dict[str, Reading]:
    """Rule 10: the keys of the past that a definition's table lacks, one by one, from the files of today.

    Args:
        newest: The newest key there is.
        others: The resource's other definitions, oldest first.
    """
    made = {}
    for key in lacking(table, source):
        if key in source.files:
            first_load = is_first_load(source, key)
            made[key] = read(dataset, source.files[key], key, first_load=first_load)
            before = next((each for each in reversed(others) if key in each.table.covered()), None)
            late = {
                identity: known
                for identity, row in made[key].good.items()
                if (known := known_late(row, dataset, source, key, newest, before)) is not None
            }
            end = interval_of(key, dataset.zone).end
            table.publish(key, end, made[key].good, first_load=first_load, known_late=late)
    return made


def lacking(table: Table, source: Source) -> list[str]:
    """The keys of the past that a table does not cover."""
    return [key for key in source.ingested() if key not in table.covered()]


def known_late(
    row: Good, dataset: Dataset, source: Source, key: str, newest: str, before: Former | None
) -> datetime | None:
    """Rule 10: today's file makes no repair known in the past.

    A line that stood there when the key was first read is known as ever (None). One that came by a repair is known
    since the table of the definition before knew it, and where that never did, from the newest key on.
    """
    if row.raw in source.first_read[key]:
        return None
    by_rule = row.known or interval_of(key, dataset.zone).end
    since = None if before is None else first_said(before, row.raw)
    since = since or interval_of(newest, dataset.zone).end
    return since if since > by_rule else None


def first_said(former: Former, raw: Mapping[str, str]) -> datetime | None:
    """Since when the table of a definition says what that definition makes of a line."""
    row, fault = typed(former.dataset, raw)
    if fault:
        return None
    said = statements(former.table, tuple(row[name] for name in former.dataset.identity))
    return min((each.since for each in said if each.content == content_of(row)), default=None)


# Definitions: rule 9


class Definition(NamedTuple):
    """What a table belongs to; ``reads`` are those of the tables that a view reads."""

    resource: Dataset | View
    reads: tuple[Definition, ...] = ()


def definition_of(resource: Dataset | View, *reads: Definition) -> Definition:
    """Rule 9: a resource without all that changes no definition; of a view with the tables that it reads."""
    if isinstance(resource, Dataset):
        columns = tuple(each for each in resource.columns if each != GAINED)
        return Definition(replace(resource, columns=columns, most=None, late_window=timedelta(0), on_change=None))
    return Definition(replace(resource, transform=TRANSFORMS[resource.transform].meaning), reads)


def table_of(resource: Dataset | View) -> Table:
    """An empty table of a resource."""
    if isinstance(resource, View):
        return Table("dated" if TRANSFORMS[resource.transform].says_known else "events")
    if resource.event_time is None:
        return Table("snapshot")
    return Table("events" if resource.known_at is None else "dated")


# Builds: rules 13 and 14


def build(table: Table, view: View, inputs: Mapping[str, tuple[Dataset, Table]]) -> None:
    """Rule 13: a build leaves no key that is missing or stale. Here: all keys are built, whatever stands there."""
    driver, driven_by = inputs[view.reads[0]]
    for key in keys_to_build(driver, driven_by):
        interval = interval_of(key, driver.zone)
        table.publish(key, interval.end, built(view, inputs, interval))


def keys_to_build(driver: Dataset, table: Table) -> list[str]:
    """Rule 13: the dataset's keys; a first load that brought days of rows counts as all the keys of these days."""
    found = set(table.covered())
    for run in table.published:
        if run.first_load and driver.event_time and run.rows:
            earliest = min(identity[-1] for identity in run.rows)
            found |= set(keys_back_to(earliest, run.key, driver.zone))
    return sorted(found)


def keys_back_to(event: datetime, key: str, zone: str) -> Iterator[str]:
    """The keys before a key down to that of the day of an event."""
    while event < interval_of(key, zone).start:
        key = key_after(key, -1)
        yield key


def built(view: View, inputs: Mapping[str, tuple[Dataset, Table]], interval: Interval) -> dict[Identity, Good]:
    """Rules 1 and 14: what the transform makes of each input as it was known at ``end``."""
    transform = TRANSFORMS[view.transform]
    rows = {
        name: seen_by_transform(dataset, table, interval, view.lookback) for name, (dataset, table) in inputs.items()
    }
    good = {}
    for row in transform.twin(rows, interval.start, interval.end):
        identity = tuple(row[name] for name in (*view.entity, view.timestamp))
        told = row.get("known_at")
        known = told or own_time(row[view.timestamp], view.delay, interval, first_load=False)
        good[identity] = Good(content_of({name: value for name, value in row.items() if name != "known_at"}), known)
    return good


def seen_by_transform(dataset: Dataset, table: Table, interval: Interval, lookback: timedelta) -> list[Row]:
    """Rule 14: the rows as known at ``end``, of events those in ``[start - lookback, end)``, each with its known time.

    A row has every declared column, and those that the dataset gained.
    """
    found = []
    for known in as_known(table, interval.end).values():
        row: dict[str, Any] = dict.fromkeys(name for name, _ in dataset.columns) | dict(known.content)
        event = row[dataset.event_time] if dataset.event_time else interval.start
        if interval.start - lookback <= event < interval.end:
            found.append({**row, "known_at": known.since})
    return found
