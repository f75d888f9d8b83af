"""Which row versions are new, which are gone, and which one a reader sees: decisions on Arrow tables, no I/O.

A row is an identity (``_row_id``) with any number of versions, ordered by (``_known_at``, ``_commit``); a deletion is a
version too. All of it runs in DuckDB, on positions, so that values and types never pass through SQL.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from evergreen.lake import duck

if TYPE_CHECKING:
    import pyarrow as pa

KEYS = ("_row_id", "_row_hash", "_known_at", "_commit", "_deleted")

# `cutoff` is what an incoming row may be compared with: all that was known by the end of its run's interval, or, where
# the source itself says when a row was known, by that row's own instant.
_NEW = """
with incoming as (
    select pos, _row_id, _row_hash, _deleted, _known_at,
           case when $source then _known_at else greatest($until::timestamptz, _known_at) end as cutoff
    from given
), prior as (
    select i.pos, arg_max(p._row_hash, (p._known_at, p._commit)) as _row_hash,
           arg_max(p._deleted, (p._known_at, p._commit)) as _deleted, max(p._known_at) as _known_at
    from incoming i join stored p on p._row_id = i._row_id and p._known_at <= i.cutoff
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

_GONE = """
select _row_id, greatest(max(_known_at), $changed::timestamptz) as known_at
from stored
where _known_at <= $until and _row_id not in (select _row_id from given)
group by _row_id
having not arg_max(_deleted, (_known_at, _commit))
order by _row_id
"""

_NEWEST = """
select pos from rows
qualify row_number() over (partition by _row_id order by _known_at desc, _commit desc) = 1 and not _deleted
order by _event_time, _row_id
"""

_ALL = "select pos from rows order by _event_time, _row_id, _known_at, _commit"


class Selected(NamedTuple):
    """Rows that are to be appended, and the known time of each."""

    which: pa.ChunkedArray
    known_at: pa.ChunkedArray


def new(given: pa.Table, stored: pa.Table, *, until: datetime, changed_known_at: datetime, source: bool) -> Selected:
    """Positions in ``given`` of the rows that ``stored`` does not say already.

    Args:
        given: Incoming rows with ``_row_id, _row_hash, _known_at, _deleted``, one per identity.
        stored: Row versions (:data:`KEYS`) of at least the identities in ``given``.
        until: End of the run's interval: a row is compared with the newest version known by then.
        changed_known_at: Known time of a new version of a known identity (never before that of its predecessor).
        source: The source says itself when a row was known: its ``_known_at`` stays, and the row is compared with the
            newest version known by that instant.
    """
    params = {"until": until, "changed": changed_known_at, "source": source}
    slim = _positions(given.select(["_row_id", "_row_hash", "_known_at", "_deleted"]))
    result = duck.query(_NEW, {"given": slim, "stored": stored.select(KEYS)}, params)
    return Selected(result.column("pos"), result.column("known_at"))


def gone(given: pa.Table, stored: pa.Table, *, until: datetime, changed_known_at: datetime) -> Selected:
    """Identities that live in ``stored`` as known by ``until`` and are missing in ``given``."""
    tables = {"given": given.select(["_row_id"]), "stored": stored.select(KEYS)}
    result = duck.query(_GONE, tables, {"until": until, "changed": changed_known_at})
    return Selected(result.column("_row_id"), result.column("known_at"))


def newest(rows: pa.Table) -> pa.ChunkedArray:
    """Positions of the newest version of each row, deleted ones left out, in order of event time and identity."""
    columns = ["_row_id", "_event_time", "_known_at", "_commit", "_deleted"]
    return duck.query(_NEWEST, {"rows": _positions(rows.select(columns))}, {}).column("pos")


def ordered(rows: pa.Table) -> pa.ChunkedArray:
    """Positions of all versions in order of event time, identity, known time and commit."""
    columns = ["_row_id", "_event_time", "_known_at", "_commit"]
    return duck.query(_ALL, {"rows": _positions(rows.select(columns))}, {}).column("pos")


def _positions(rows: pa.Table) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    numbers = pa.py_buffer(np.arange(rows.num_rows, dtype="int64"))
    # Not pa.array: that imports pandas, which costs a short-lived reader more than all else.
    return rows.append_column("pos", pa.Array.from_buffers(pa.int64(), rows.num_rows, [None, numbers]))
