"""Which row versions are new, which are amiss, and which one a reader sees: decisions on Arrow tables, no I/O.

A row is an identity (``_row_id``) with any number of versions, ordered by (``_known_at``, ``_as_of``, ``_commit``): the
key decides between two that became known at one instant, so that the order in which keys are published changes nothing.
A deletion is a version too; a version that says the same as the one before it is none. The rules in words stand in
docs/explanation/tables.md. All of it runs in DuckDB, on positions, so that values and types never pass through SQL.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from evergreen.lake import duck

if TYPE_CHECKING:
    import pyarrow as pa

KEYS = ("_row_id", "_row_hash", "_event_time", "_known_at", "_as_of", "_commit", "_deleted")
"""All that is decided by."""

# `cutoff` is what an incoming row may be compared with: all that was known by the end of its run's interval, or, where
# the source itself says when a row was known, by that row's own instant; and what its own key said, which a rebuilt
# history dates later than the key.
_NEW = """
with incoming as (
    select pos, _row_id, _row_hash, _deleted, _known_at, _as_of,
           case when $source then _known_at else greatest($until::timestamptz, _known_at) end as cutoff
    from given
), prior as (
    select i.pos, arg_max(p._row_hash, (p._known_at, p._as_of, p._commit)) as _row_hash,
           arg_max(p._deleted, (p._known_at, p._as_of, p._commit)) as _deleted, max(p._known_at) as _known_at
    from incoming i join stored p on p._row_id = i._row_id
        and (p._known_at < i.cutoff or (p._known_at = i.cutoff and p._as_of <= i._as_of)
             or (not $source and p._as_of = i._as_of))
    group by i.pos
)
select i.pos,
       case when p.pos is null or $source then i._known_at
            else greatest($changed::timestamptz, i._known_at, p._known_at) end as known_at
from incoming i left join prior p on p.pos = i.pos
where case when p.pos is null then not i._deleted
           when p._deleted and i._deleted then false
           else p._deleted <> i._deleted or p._row_hash <> i._row_hash end
order by i.pos
"""

_STANDING = """
standing as (
    select c._row_id, c.moment, arg_max(v.pos, (v._known_at, v._as_of, v._commit)) as pos,
           arg_max(v._row_hash, (v._known_at, v._as_of, v._commit)) as _row_hash,
           arg_max(v._deleted, (v._known_at, v._as_of, v._commit)) as _deleted
    from checks c join stored v on v._row_id = c._row_id
        and (v._known_at < c.moment or (v._known_at = c.moment and v._as_of <= $as_of))
    group by c._row_id, c.moment
)
"""

# What a key claims must be what is known at its end, or since the row's own instant where that is later: where the
# source says it (then wherever that lies), of a delay that outlasts the key, and of what a rebuild found otherwise.
_CLAIMS = f"""
with checks as (
    select pos, _row_id, _row_hash,
           case when $source then _known_at else greatest($end::timestamptz, _known_at) end as moment
    from claims where _row_id in (select _row_id from affected)
), {_STANDING}
select 'claim' as source, c.pos, c.moment as known_at, false as deleted
from checks c left join standing n on n._row_id = c._row_id and n.moment = c.moment
where n.pos is null or n._deleted or n._row_hash <> c._row_hash
order by c.pos
"""

# A whole snapshot says of all that it does not hold that it is gone.
_GONE = f"""
with checks as (
    select distinct _row_id, $end::timestamptz as moment
    from affected where _row_id not in (select _row_id from claims)
), {_STANDING}
select 'stored' as source, pos, moment as known_at, true as deleted from standing where not _deleted order by _row_id
"""

# Versions that a key left and no longer claims are void: from its end on what the other keys say counts again.
_VOID = f"""
with void as (
    select v._row_id, v.pos, v._known_at, case when $source then null else c._known_at end as claimed_at
    from stored v left join claims c on c._row_id = v._row_id
    where v._as_of = $as_of and v._row_id in (select _row_id from affected)
        and (c._row_id is null or v._deleted or v._row_hash <> c._row_hash)
), checks as (
    select _row_id, greatest($end::timestamptz, max(_known_at), max(claimed_at)) as moment from void group by _row_id
), wanted as (
    select c._row_id, arg_max(v.pos, (v._known_at, v._as_of, v._commit)) as pos,
           arg_max(v._row_hash, (v._known_at, v._as_of, v._commit)) as _row_hash,
           arg_max(v._deleted, (v._known_at, v._as_of, v._commit)) as _deleted
    from checks c join stored v on v._row_id = c._row_id
        and (v._known_at < c.moment or (v._known_at = c.moment and v._as_of <= $as_of))
    where v.pos not in (select pos from void)
    group by c._row_id
), {_STANDING}
select 'stored' as source, case when coalesce(w._deleted, true) then n.pos else w.pos end as pos,
       n.moment as known_at, coalesce(w._deleted, true) as deleted
from standing n left join wanted w on w._row_id = n._row_id
where n._deleted <> coalesce(w._deleted, true) or (not n._deleted and n._row_hash <> w._row_hash)
order by n._row_id
"""

# Of versions that became known at one instant nobody ever saw any but the last.
_MEANING = """
with seen as (
    select * from rows
    qualify row_number() over (partition by _row_id, _known_at order by _as_of desc, _commit desc) = 1
), ordered as (
    select pos, _row_id, _event_time, _known_at, _as_of, _commit, _deleted,
           lag(_row_hash) over versions as hash_before, lag(_deleted) over versions as deleted_before, _row_hash
    from seen window versions as (partition by _row_id order by _known_at)
), meaning as (
    select * from ordered
    where deleted_before is null or _deleted <> deleted_before or (not _deleted and _row_hash <> hash_before)
)
"""

_NEWEST = f"""
{_MEANING}
select pos from meaning
qualify row_number() over (partition by _row_id order by _known_at desc, _as_of desc, _commit desc) = 1
    and not _deleted
order by _event_time, _row_id
"""

_ALL = f"{_MEANING} select pos from meaning order by _event_time, _row_id, _known_at, _as_of, _commit"

_DIGEST = 32
"""Characters of a digest."""
_ODD = 0x9E3779B97F4A7C15
"""What Knuth multiplies by: 2**64 over the golden ratio."""

_LEAST_RUN = 1 << 10
"""Rows that follow each other, on average, so that cutting is worth it: chunks that are shorter cost what they save."""

How = Literal["claim", "stored"]


class Selected(NamedTuple):
    """Rows that are to be appended, and the known time of each."""

    which: pa.ChunkedArray
    known_at: pa.ChunkedArray


class Amiss(NamedTuple):
    """Versions that are to be written so that a table says what a key said.

    Attributes:
        claimed: Positions in the claims of rows to be said again; ``claimed_at`` are their known times.
        stored: Positions in the stored versions whose content is to be said again, or whose row ends.
        stored_at: Known times of these.
        deleted: Whether the row ends.
    """

    claimed: pa.ChunkedArray
    claimed_at: pa.ChunkedArray
    stored: pa.ChunkedArray
    stored_at: pa.ChunkedArray
    deleted: pa.ChunkedArray


def new(given: pa.Table, stored: pa.Table, *, until: datetime, changed_known_at: datetime, source: bool) -> Selected:
    """Positions in ``given`` of the rows that ``stored`` does not say already.

    Args:
        given: Incoming rows with ``_row_id, _row_hash, _known_at, _as_of, _deleted``, one per identity.
        stored: Row versions (:data:`KEYS`) of at least the identities in ``given``.
        until: End of the run's interval: a row is compared with the newest version known by then.
        changed_known_at: Known time of a new version of a known identity (never before that of its predecessor).
        source: The source says itself when a row was known: its ``_known_at`` stays, and the row is compared with the
            newest version known by that instant.
    """
    params = {"until": until, "changed": changed_known_at, "source": source}
    slim = positions(given.select(["_row_id", "_row_hash", "_known_at", "_as_of", "_deleted"]))
    result = duck.query(_NEW, {"given": slim, "stored": stored.select(KEYS)}, params)
    return Selected(result.column("pos"), result.column("known_at"))


def unclaimed(
    claims: pa.Table, stored: pa.Table, affected: pa.Table, *, as_of: str, end: datetime, source: bool
) -> Amiss:
    """What a key claims and the table does not say at its end.

    Args:
        claims: Rows that the key published last, with ``_row_id, _row_hash, _known_at``.
        stored: Row versions (:data:`KEYS`) of the affected identities.
        affected: ``_row_id`` of the identities to look at.
        as_of: The key.
        end: Its instant.
        source: See :func:`new`.
    """
    return _amiss(_CLAIMS, claims, stored, affected, {"as_of": as_of, "end": end, "source": source})


def gone(claims: pa.Table, stored: pa.Table, affected: pa.Table, *, as_of: str, end: datetime) -> Amiss:
    """Affected identities that live at the end of a key whose whole snapshot lacks them."""
    return _amiss(_GONE, claims, stored, affected, {"as_of": as_of, "end": end})


def void(claims: pa.Table, stored: pa.Table, affected: pa.Table, *, as_of: str, end: datetime, source: bool) -> Amiss:
    """Affected identities of which a key once said what it no longer claims, and that still stands.

    What it says otherwise now counts from the known time of that on, and what it said before until then.
    """
    return _amiss(_VOID, claims, stored, affected, {"as_of": as_of, "end": end, "source": source})


def newest(rows: pa.Table) -> pa.ChunkedArray:
    """Positions of the newest version of each row, deleted ones left out, in order of event time and identity.

    Of versions that say the same one after the other the first counts: since then the row says what it says.
    """
    return _read(rows, _NEWEST, every=False)


def ordered(rows: pa.Table) -> pa.ChunkedArray:
    """Positions of all versions that say something new, in order of event time, identity and version."""
    return _read(rows, _ALL, every=True)


class Picked:
    """Rows at some positions. Where these mostly follow each other, as in a table written in the order of time, columns
    are cut and not copied.
    """

    def __init__(self, positions: pa.ChunkedArray) -> None:
        import numpy as np

        self._positions = positions
        at = positions.to_numpy()
        begins = np.flatnonzero(np.append(True, np.diff(at) != 1)) if len(at) else at
        self._runs: list[tuple[int, int]] | None = None
        if len(begins) * _LEAST_RUN <= len(at):
            lengths = np.diff(np.append(begins, len(at)))
            self._runs = list(zip(at[begins].tolist(), lengths.tolist(), strict=True))

    def of(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """A column's values at the positions."""
        import pyarrow as pa

        if self._runs is None:
            return column.take(self._positions)
        chunks = [chunk for start, length in self._runs for chunk in column.slice(start, length).chunks]
        return pa.chunked_array(chunks, column.type)


def as_known(
    versions: pa.Table, known_by: datetime, event_from: datetime | None = None, event_to: datetime | None = None
) -> pa.Table:
    """Rows as they were known at an instant, out of all versions in the order that :func:`ordered` gives.

    The same as reading the table anew with these bounds, without opening it: for many instants one after the other.

    Args:
        versions: All columns that :data:`KEYS` names, and others.
        known_by: Inclusive.
        event_from: Inclusive.
        event_to: Exclusive.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    stamp = pa.timestamp("us", tz="UTC")
    if event_from is not None or event_to is not None:
        events = versions.column("_event_time").cast(pa.int64()).to_numpy()
        first, last = (
            None if moment is None else np.searchsorted(events, pa.scalar(moment, stamp).value)
            for moment in (event_from, event_to)
        )
        first, last = first or 0, len(events) if last is None else last
        versions = versions.slice(int(first), int(max(last - first, 0)))
    known = versions.filter(pc.less_equal(versions.column("_known_at"), pa.scalar(known_by, stamp)))
    return known.take(newest(known))


def _read(rows: pa.Table, sql: str, *, every: bool) -> pa.ChunkedArray:
    if not all_differ(rows.column("_row_id")):
        return duck.query(sql, {"rows": positions(rows.select(KEYS))}, {}).column("pos")
    return _in_order(rows, every=every)


def _in_order(rows: pa.Table, *, every: bool) -> pa.ChunkedArray:
    """Positions of rows that have one version each, the deleted ones only if every one is wanted."""
    import pyarrow as pa
    import pyarrow.compute as pc

    by = [("_event_time", "ascending"), ("_row_id", "ascending")]
    found = pc.sort_indices(rows.select(["_event_time", "_row_id"]), sort_keys=by)
    deleted = rows.column("_deleted")
    if not every and pc.any(deleted).as_py():
        found = found.filter(pc.invert(deleted.take(found)).combine_chunks())
    return pa.chunked_array([found])


def all_differ(ids: pa.ChunkedArray) -> bool:
    """Whether all digests differ for certain: told from 64 bits of each, in a tenth of the time that texts take."""
    import numpy as np

    parts = []
    for chunk in ids.chunks:
        if not len(chunk):
            continue
        _, offsets, data = chunk.buffers()
        starts = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        if chunk.null_count or not (np.diff(starts) == _DIGEST).all():
            return len(ids) < 2
        words = np.frombuffer(data, np.uint8)[starts[0] : starts[-1]].view(np.uint64).reshape(len(chunk), -1)
        mixed = words[:, 0].copy()
        for number in range(1, words.shape[1]):
            mixed = mixed * np.uint64(_ODD) + words[:, number]
        parts.append(mixed)
    known = np.sort(np.concatenate(parts)) if parts else np.empty(0, np.uint64)
    return bool((known[1:] != known[:-1]).all())


def _amiss(sql: str, claims: pa.Table, stored: pa.Table, affected: pa.Table, params: dict[str, object]) -> Amiss:
    import pyarrow.compute as pc

    tables = {
        "claims": positions(claims.select(["_row_id", "_row_hash", "_known_at"])),
        "stored": positions(stored.select(KEYS)),
        "affected": affected.select(["_row_id"]),
    }
    found = duck.query(sql, tables, params)
    claimed = found.filter(pc.equal(found.column("source"), "claim"))
    kept = found.filter(pc.equal(found.column("source"), "stored"))
    return Amiss(
        claimed.column("pos"),
        claimed.column("known_at"),
        kept.column("pos"),
        kept.column("known_at"),
        kept.column("deleted"),
    )


def positions(rows: pa.Table) -> pa.Table:
    """Rows with their position as a column ``pos``."""
    import numpy as np
    import pyarrow as pa

    numbers = pa.py_buffer(np.arange(rows.num_rows, dtype="int64"))
    # Not pa.array: that imports pandas, which costs a short-lived reader more than all else.
    return rows.append_column("pos", pa.Array.from_buffers(pa.int64(), rows.num_rows, [None, numbers]))
