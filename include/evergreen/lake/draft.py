"""What a commit of row versions will hold: decided on one snapshot of a table, written by :mod:`evergreen.lake.tables`.

A draft takes the readings of one or more keys. For each it finds what is new, what the key no longer says, and what
other keys said of the same identities and would be drowned by it (docs/explanation/tables.md, rules 2, 3 and 5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.lake import delta, versions
from evergreen.lake.columns import fit
from evergreen.lake.delta import Condition, between, instant, of_rows
from evergreen.lake.readings import joined, span_of

if TYPE_CHECKING:
    import pyarrow as pa


_TOUCHED = ["_row_id", "_event_time"]


class Reading(NamedTuple):
    """What a key published last.

    Attributes:
        as_of: The key.
        end: Its instant.
        rows: Gives the rows, with all system columns but ``_commit``; called only when it is needed.
    """

    as_of: str
    end: datetime
    rows: Callable[[], pa.Table]


class Asked(NamedTuple):
    """Which other keys may have said something of some identities.

    Attributes:
        after: Only keys after this instant; ``None`` for all.
        event_from: Least event time of the identities; ``None`` asks for all keys (of whole snapshots).
        event_to: Greatest event time, inclusive.
        keys: Keys that have left versions of them, whatever they say now.
    """

    after: datetime | None
    event_from: datetime | None
    event_to: datetime | None
    keys: Sequence[str]


Others = Callable[[Asked], Sequence[Reading]]
"""Gives the last readings of a table's other keys."""


class Counts(NamedTuple):
    """What one reading added.

    Attributes:
        appended: Rows that were new or changed.
        unchanged: Rows that the table said already.
        tombstones: Rows that ended.
        restored: Rows that say again what other keys said of them.
    """

    appended: int
    unchanged: int
    tombstones: int
    restored: int


class Draft:
    """Versions to be appended to one snapshot.

    Args:
        snapshot: Of the table.
        number: The commit's number in the table's own sequence.
        source: The source itself says when rows were known.
        whole: Readings are whole snapshots.
        place: For messages.
    """

    def __init__(self, snapshot: delta.Snapshot, number: int, *, source: bool, whole: bool, place: str) -> None:
        self._snapshot, self._number = snapshot, number
        self._source, self._whole, self._place = source, whole, place
        self._stored: list[pa.Table] = []
        self._writers: set[str] = set()
        self.fresh: list[pa.Table] = []

    def look_up(
        self, rows: Sequence[pa.Table], keys: Sequence[str], window: tuple[datetime | None, datetime | None]
    ) -> None:
        """Loads what stands there of the identities of some readings, and of what their keys published before.

        Args:
            rows: Of the readings.
            keys: Theirs.
            window: First and exclusive last event time of both; ``None`` for all.
        """
        first, end = window
        if self._whole:
            self._stored = [self._snapshot.scan(versions.KEYS)]
        elif first is not None and end is not None:
            within = [Condition("_event_time", ">=", first), Condition("_event_time", "<", end)]
            self._stored = [self._snapshot.scan(versions.KEYS, within)]
        else:
            spans = [span_of(each) for each in rows]
            if keys:
                spans.append(span_of(self._snapshot.scan(["_event_time"], [Condition("_as_of", "in", list(keys))])))
            span = joined(spans)
            self._stored = [] if span is None else [self._snapshot.scan(versions.KEYS, between(*span))]
        self._writers = {key for each in self._stored for key in each["_as_of"].unique().to_pylist()}

    def publish(
        self,
        rows: pa.Table,
        *,
        as_of: str | None,
        until: datetime,
        changed: datetime,
        others: Others | None = None,
    ) -> Counts:
        """Adds one key's reading.

        Args:
            rows: One row per identity, all system columns but ``_commit``.
            as_of: The key; ``None`` takes nothing back of what it published before.
            until: Its instant.
            changed: Known time of changed rows, never before their predecessors.
            others: What other keys published last; without it they are taken to have said nothing of these rows.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        if not rows.num_rows and not self._whole and as_of not in self._writers:
            return Counts(0, 0, 0, 0)
        said = self._said(rows, as_of)
        if said.num_rows:
            chosen = versions.new(rows, said, until=until, changed_known_at=changed, source=self._source)
            appended = _set(rows.take(chosen.which), "_known_at", chosen.known_at)
        else:
            appended = rows.filter(pc.invert(rows.column("_deleted")))
        self._write(appended)
        tombstones = restored = 0
        touched = [appended.select(_TOUCHED)]
        if as_of is not None:
            said = self._said(rows, as_of)
            mine = said.filter(pc.equal(said.column("_as_of"), as_of)).select(["_row_id"])
            wrong = []
            if self._whole and said.num_rows:
                living = said.select(["_row_id"])
                wrong.append(versions.gone(rows, said, living, as_of=as_of, end=changed))
            elif mine.num_rows:
                said = self._of(mine)
                wrong.append(versions.void(rows, said, mine, as_of=as_of, end=changed, source=self._source))
            for amiss in wrong:
                ended, again = self._mend(amiss, rows, said, as_of)
                tombstones, restored = tombstones + ended, restored + again
                touched.append(said.select(_TOUCHED).take(amiss.stored))
            affected = pa.concat_tables(touched)
            if affected.num_rows and others is not None:
                self._settle(affected, as_of, until, others)
        deleted = _count_true(appended.column("_deleted"))
        return Counts(appended.num_rows - deleted, rows.num_rows - appended.num_rows, tombstones + deleted, restored)

    def _settle(self, affected: pa.Table, as_of: str, until: datetime, others: Others) -> None:
        """Sees to it that other keys still say of the touched identities what they said."""
        before = self._of(affected) if any(each.num_rows for each in self._stored) else affected.slice(0, 0)
        published = before.column("_as_of").unique().to_pylist() if before.num_rows else [as_of]
        event_from, event_to = (None, None) if self._whole else span_of(affected) or (None, None)
        asked = Asked(None if self._source else until, event_from, event_to, published)
        found = sorted((each for each in others(asked) if each.as_of != as_of), key=lambda each: (each.end, each.as_of))
        said = self._of(affected) if found else affected
        for other in found:
            claims = other.rows()
            key: dict[str, Any] = {"as_of": other.as_of, "end": other.end}
            self._mend(
                versions.unclaimed(claims, said, affected, source=self._source, **key), claims, said, other.as_of
            )
            if self._whole:
                self._mend(versions.gone(claims, said, affected, **key), claims, said, other.as_of)
                if not self._source:
                    return  # from the next snapshot on all is as it was
            said = self._of(affected)
            self._mend(versions.void(claims, said, affected, source=self._source, **key), claims, said, other.as_of)
            said = self._of(affected)

    def _of(self, ids: pa.Table) -> pa.Table:
        """All versions of some identities."""
        import pyarrow as pa

        known = [*self._stored, *(each.select(versions.KEYS) for each in self.fresh)]
        return _only(pa.concat_tables(known), ids)

    def _said(self, rows: pa.Table, as_of: str | None) -> pa.Table:
        """Versions that stand or will stand, of at least the identities of some rows and of a key."""
        import pyarrow as pa
        import pyarrow.compute as pc

        empty = self._snapshot.schema.empty_table().select(versions.KEYS)
        known = [*self._stored, *(each.select(versions.KEYS) for each in self.fresh)]
        if self._whole:
            return pa.concat_tables([empty, *known])
        span = span_of(rows)
        parts = [empty]
        for part in known:
            keep = pc.equal(part.column("_as_of"), as_of or "")
            if span is not None:
                at = part.column("_event_time")
                within = pc.and_(pc.greater_equal(at, instant(span[0])), pc.less_equal(at, instant(span[1])))
                keep = pc.or_(keep, within)
            found = part.filter(keep)
            if found.num_rows:
                parts.append(found)
        return pa.concat_tables(parts)

    def _mend(self, amiss: versions.Amiss, claims: pa.Table, said: pa.Table, as_of: str) -> tuple[int, int]:
        """Writes what is amiss under a key; gives how many rows ended and how many say something again."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if len(amiss.claimed):
            self._write(_set(claims.take(amiss.claimed), "_known_at", amiss.claimed_at))
        if not len(amiss.stored):
            return 0, len(amiss.claimed)
        rows = self._content(said.take(amiss.stored))
        rows = _set(rows, "_known_at", amiss.stored_at)
        rows = _set(rows, "_deleted", amiss.deleted)
        rows = _set(rows, "_as_of", pa.chunked_array([pa.repeat(pa.scalar(as_of), rows.num_rows)]))
        self._write(rows)
        ended = int(pc.sum(amiss.deleted).as_py() or 0)
        return ended, len(amiss.stored) - ended + len(amiss.claimed)

    def _content(self, wanted: pa.Table) -> pa.Table:
        """The whole rows of some versions, in their order."""
        import pyarrow as pa

        from evergreen.lake import duck

        parts = [self._snapshot.scan(self._snapshot.schema.names, of_rows(wanted))]
        parts += [_only(each, wanted) for each in self.fresh]
        schema = parts[0].schema
        for part in parts[1:]:
            schema = pa.unify_schemas([schema, part.schema])
        pool = pa.concat_tables([fit(part, schema, self._place) for part in parts])
        sql = """
            select v.pos from wanted w join pool v using (_row_id, _known_at, _as_of, _commit)
            qualify row_number() over (partition by w.pos order by v.pos) = 1 order by w.pos
        """
        key = ["_row_id", "_known_at", "_as_of", "_commit"]
        tables = {"wanted": versions.positions(wanted.select(key)), "pool": versions.positions(pool.select(key))}
        return pool.take(duck.query(sql, tables, {}).column("pos"))

    def _write(self, rows: pa.Table) -> None:
        import pyarrow as pa

        if rows.num_rows:
            if self._whole:
                rows = _set(rows, "_event_time", rows.column("_known_at"))
            if "_commit" in rows.column_names:
                rows = rows.drop_columns(["_commit"])
            number = pa.chunked_array([pa.repeat(pa.scalar(self._number, pa.int64()), rows.num_rows)])
            self.fresh.append(rows.append_column("_commit", number))
            self._writers |= set(rows["_as_of"].unique().to_pylist())


def _only(rows: pa.Table, ids: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    return rows.filter(pc.is_in(rows.column("_row_id"), value_set=pc.unique(ids.column("_row_id"))))


def _set(rows: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    index = rows.schema.get_field_index(name)
    return rows.set_column(index, rows.schema.field(index), column.cast(rows.schema.field(index).type))


def _count_true(column: pa.ChunkedArray) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(column).as_py() or 0)
