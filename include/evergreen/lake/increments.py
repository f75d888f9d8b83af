"""How many rows each commit adds to each interval, with a label or without: decisions on Arrow tables, no I/O.

A count of rows as known at an instant is a sum: every version of a row adds it, from its known time on, to the interval
of its event time, and takes it out of the interval of the version before. What a commit does to the sums is the
difference between the rows that it touched with and without it, wherever in their past it wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evergreen.lake import duck

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_SQL = """
with sides as (
    select *, 1 as sign from rows
    union all select *, -1 from rows where _commit < $commit
), seen as (
    select * from sides
    qualify row_number() over (partition by sign, _row_id, _known_at order by _as_of desc, _commit desc) = 1
), steps as (
    select sign, event, known, (not _deleted)::int as living, (not _deleted and labelled)::int as labels,
           lag(event) over version as event_before, lag((not _deleted)::int) over version as living_before,
           lag((not _deleted and labelled)::int) over version as labels_before
    from seen window version as (partition by sign, _row_id order by _known_at)
), changes as (
    select event, known, sign * living as rows, sign * labels as labels from steps
    union all
    select event_before, known, -sign * living_before, -sign * labels_before from steps where event_before is not null
)
select event, known, sum(rows)::bigint as rows, sum(labels)::bigint as labels from changes
group by event, known having sum(rows) <> 0 or sum(labels) <> 0 order by event, known
"""


def increments(
    rows: pa.Table, label: str, boundaries: np.ndarray[Any, Any], commit: int, *, whole: bool = False
) -> pa.Table:
    """What a commit adds.

    Args:
        rows: All versions, up to that commit, of every row that it touched: ``_row_id``, ``_event_time``,
            ``_known_at``, ``_as_of``, ``_commit``, ``_deleted`` and the label.
        label: Column that has a value where a row is labelled.
        boundaries: Ascending instants in microseconds that begin and end intervals; the last is after all times.
        commit: What is compared with all before it; 1 takes everything as added.
        whole: Rows are of whole snapshots, which happen when they are known: one that is known at a boundary is not
            yet among what happened before it.

    Returns:
        ``event`` (begin of the interval), ``known`` (the first boundary at which it counts), ``rows`` and ``labels``
        (how many more, or less).
    """
    import numpy as np
    import pyarrow as pa

    events, known = (rows[name].cast(pa.int64()).to_numpy() for name in ("_event_time", "_known_at"))
    slim = rows.select(["_row_id", "_known_at", "_as_of", "_commit", "_deleted"])
    slim = slim.append_column("labelled", rows[label].is_valid())
    at = np.searchsorted(boundaries, events, side="right") - 1
    until = np.searchsorted(boundaries, known, side="right" if whole else "left")
    for name, places in (("event", at), ("known", until)):
        slim = slim.append_column(name, pa.array(boundaries[places], pa.timestamp("us", tz="UTC")))
    return duck.query(_SQL, {"rows": slim}, {"commit": commit})
