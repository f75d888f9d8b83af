"""The point-in-time join: for each query, the newest row that had happened and was known by then.

A row version can be used from the later of its event time and its known time on. Of the versions usable at a query's
time the newest per identity counts, deleted identities are left out, and the row with the greatest event time wins.
Without deletions that is one pass: per entity in the order of usability, the running maximum of event time is the
winner at each moment, and a binary search finds the moment of a query. Entities with deletions take
:mod:`evergreen.features.sweep` instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import DataError
from evergreen.features import columns as cols
from evergreen.features.sweep import sweep

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Ints = np.ndarray[Any, np.dtype[np.int64]]

_LARGEST = 2**62
"""Entity and time are packed into one integer below this; where they don't fit, times are replaced by their ranks."""


_BLOCK = 2**16
"""As many codes fit into the integers that numpy sorts by counting."""


class Versions(NamedTuple):
    """Row versions as integers: code of the entity, event and known time in microseconds, order of equally known."""

    entity: Ints
    event: Ints
    known: Ints
    commit: Ints

    def take(self, picked: Ints) -> Versions:
        """The versions at these ascending positions."""
        if len(picked) == len(self.entity):
            return self
        return Versions(*(part[picked] for part in self))


def point_in_time(
    queries: pa.Table, query_time: str, rows: pa.Table, entity: list[str], columns: list[str], ttl: timedelta | None
) -> pa.Table:
    """Looks up ``columns`` for each query as they were known at its own time.

    Args:
        queries: Table of n rows with the entity columns and ``query_time``.
        query_time: Column with the instant of each query; a time without a zone is UTC.
        rows: Row versions with the entity columns, ``columns``, ``_event_time``, ``_known_at``, ``_deleted``,
            ``_commit`` and, where keys decide between equally known versions, ``_as_of``; versions of one row share
            ``_row_id`` or, where there is none, entity and event time.
        entity: Key columns, under the same names on both sides; may be empty.
        columns: What to look up.
        ttl: A row older than this at the query's time counts as missing (one exactly that old does not).

    Returns:
        The n queries in their order with ``columns`` appended, null where nothing was known. A null in a key or in
        the query's time finds nothing; nulls in ``columns`` are values like others.

    Raises:
        DataError: When a column is missing or doubled, or keys of both sides are of different types.
    """
    import pyarrow as pa

    _check(queries, query_time, rows, entity, columns)
    index = _find(queries, query_time, rows, entity, ttl)
    taken = pa.array(index, mask=index < 0)
    for name in columns:
        queries = queries.append_column(name, _flat(rows[name]).take(taken))
    return queries


def newest_by(rows: pa.Table, entity: list[str], at: datetime) -> pa.Table:
    """The row of each entity that a look-up at an instant finds, whole; an entity without one is left out.

    Args:
        rows: As :func:`point_in_time` takes them.
        entity: Key columns.
        at: The instant.
    """
    import pyarrow as pa

    keys = rows.select(entity).group_by(entity).aggregate([]) if entity else pa.table({"_any": [True]})
    asked = pa.array([at] * keys.num_rows, pa.timestamp("us", tz="UTC"))
    found = _find(keys.append_column("_at", asked), "_at", rows, entity, None)
    return rows.take(pa.array(found[found >= 0]))


def _check(queries: pa.Table, query_time: str, rows: pa.Table, entity: list[str], columns: list[str]) -> None:
    sides = (
        ("queries", queries, [*entity, query_time]),
        ("rows", rows, [*entity, *columns, "_event_time", "_known_at", "_deleted", "_commit"]),
    )
    for side, table, wanted in sides:
        missing = [name for name in wanted if name not in table.column_names]
        if missing:
            raise DataError(f"point-in-time join: {side}", f"must have the columns {', '.join(missing)}")
    doubled = [name for name in columns if name in queries.column_names]
    if doubled:
        raise DataError("point-in-time join: queries", f"must not already have the columns {', '.join(doubled)}")


def _find(queries: pa.Table, query_time: str, rows: pa.Table, entity: list[str], ttl: timedelta | None) -> Ints:
    """Row number in ``rows`` for each query; -1 for none."""
    import numpy as np

    found: Ints = np.full(queries.num_rows, -1, dtype=np.int64)
    if not queries.num_rows or not rows.num_rows:
        return found
    query_entity, row_entity = _entities(queries, rows, entity)
    time, timed = _times(queries, query_time)
    event, happened = _times(rows, "_event_time")
    known, published = _times(rows, "_known_at")
    commit = _turns(rows)
    deleted = _flat(rows["_deleted"]).to_numpy(zero_copy_only=False)

    versions = Versions(row_entity, event, known, commit)
    usable = (row_entity >= 0) & (happened | deleted) & published
    answerable = (query_entity >= 0) & timed
    if not deleted.any():
        parts = [(False, np.flatnonzero(answerable), np.flatnonzero(usable))]
    else:
        torn = np.zeros(int(row_entity.max()) + 2, dtype=bool)  # by entity; the last stands for none
        torn[row_entity[deleted & usable]] = True
        parts = [
            (
                side,
                np.flatnonzero(answerable & (torn[query_entity] == side)),
                np.flatnonzero(usable & (torn[row_entity] == side)),
            )
            for side in (False, True)
        ]
    for is_torn, ask, picked in parts:
        if not len(ask) or not len(picked):
            continue
        part = versions.take(picked)
        if is_torn:
            identity = _identities(rows, picked, part)
            hit = sweep(query_entity[ask], time[ask], *part, deleted[picked], identity)
        else:
            hit = newest(query_entity[ask], time[ask], part)
        found[ask] = np.where(hit < 0, -1, picked[hit])
    if ttl is not None:
        old = (found >= 0) & (time - event[found] > ttl // timedelta(microseconds=1))
        found[old] = -1
    return found


def newest(query_entity: Ints, time: Ints, rows: Versions) -> Ints:
    """The winner of each query where nothing was deleted; entities are taken in blocks, which memory and cache like.

    Args:
        query_entity: Code of each query's entity, at least 0.
        time: Time of each query.
        rows: The versions, at least one, in any order.

    Returns:
        Position in ``rows`` for each query; -1 for none.
    """
    import numpy as np

    if max(query_entity.max(), rows.entity.max()) < _BLOCK:
        return _newest(query_entity, time, rows)
    found: Ints = np.full(len(query_entity), -1, dtype=np.int64)
    for number, (asked, part) in enumerate(zip(_blocks(query_entity), _blocks(rows.entity), strict=False)):
        if len(asked) and len(part):
            first, few = number * _BLOCK, rows.take(part)
            hit = _newest(query_entity[asked] - first, time[asked], few._replace(entity=few.entity - first))
            found[asked] = np.where(hit < 0, -1, part[hit])
    return found


def _blocks(entity: Ints) -> Iterator[Ints]:
    """Positions of the entities of each block, in their order."""
    import numpy as np

    block = (entity // _BLOCK).astype(np.uint16 if entity.max() < _BLOCK**2 else np.int64)
    order = np.argsort(block, kind="stable")
    ends = np.cumsum(np.bincount(block))
    return (order[first:last] for first, last in pairwise([0, *ends.tolist()]))


def _newest(query_entity: Ints, time: Ints, rows: Versions) -> Ints:
    """:func:`newest` of entities whose codes are below the size of a block."""
    import numpy as np

    since = np.maximum(rows.event, rows.known)
    begin = int(since.min()) - 1  # so that 0 is "before all rows"
    asked = np.clip(time, begin, since.max()) - begin
    since, event = since - begin, rows.event - rows.event.min()
    span = int(max(since.max(), event.max())) + 1
    entities = int(max(query_entity.max(), rows.entity.max())) + 1
    if entities * span >= _LARGEST:
        instants, rank = np.unique(since, return_inverse=True)
        since, asked = rank + 1, np.searchsorted(instants, asked, side="right")
        event = np.unique(event, return_inverse=True)[1]
        span = len(since) + 1
    base = rows.entity * span
    keys = base + since
    order = _grouped(rows.entity)
    order = order[np.argsort(keys[order], kind="stable")]
    keys = keys[order]
    _settle_ties(order, keys, rows)
    reached = (base + event)[order]
    leads = np.flatnonzero(reached == np.maximum.accumulate(reached))
    keys, order = keys[leads], order[leads]

    base = query_entity * span
    wanted = base + asked
    in_order = _grouped(query_entity)  # neighbours then search the same keys, which is far faster
    position = np.empty(len(wanted), dtype=np.int64)
    position[in_order] = np.searchsorted(keys, wanted[in_order], side="right") - 1
    none = (position < 0) | (keys[position] < base)
    found: Ints = np.where(none, -1, order[position])
    return found


def _grouped(entity: Ints) -> Ints:
    """The order that puts each entity's rows of a block together and leaves them as they stand.

    numpy sorts short integers by counting, in a quarter of the time that it takes for long ones without vector
    instructions; rows mostly come in the order of time, which its stable sort then makes use of.
    """
    import numpy as np

    return np.argsort(entity.astype(np.uint16), kind="stable")


def _settle_ties(order: Ints, keys: Ints, rows: Versions) -> None:
    """Orders versions that one entity can use from the same moment on: by event, known time, commit."""
    import numpy as np

    same = keys[1:] == keys[:-1]
    if not same.any():
        return
    tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    at = order[tied]
    order[tied] = at[np.lexsort((rows.commit[at], rows.known[at], rows.event[at], keys[tied]))]


def _turns(rows: pa.Table) -> Ints:
    """What decides between equally known versions of a row: the later key, then the later commit."""
    import numpy as np
    import pyarrow.compute as pc

    commit: Ints = _flat(rows["_commit"]).to_numpy().astype(np.int64, copy=False)
    if "_as_of" not in rows.column_names or not rows.num_rows:
        return commit
    coded = _flat(rows["_as_of"]).dictionary_encode()
    turn = np.argsort(pc.array_sort_indices(coded.dictionary).to_numpy())
    of: Ints = turn[coded.indices.to_numpy()].astype(np.int64)
    return of * (int(commit.max()) + 1) + commit


def _times(table: pa.Table, name: str) -> tuple[Ints, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Microseconds of a column, and which of them are not null."""
    import numpy as np

    column = _flat(cols.instants(table[name], f"point-in-time join: column {name}")).cast("int64")
    if not column.null_count:
        return column.to_numpy(), np.ones(len(column), dtype=bool)
    return column.fill_null(0).to_numpy(), column.is_valid().to_numpy(zero_copy_only=False)


def _entities(queries: pa.Table, rows: pa.Table, entity: list[str]) -> tuple[Ints, Ints]:
    """Codes from 0 of the entities of both sides; -1 where a key is null or, of a query, in no row."""
    import numpy as np

    query_code: Ints = np.zeros(queries.num_rows, dtype=np.int64)
    row_code: Ints = np.zeros(rows.num_rows, dtype=np.int64)
    for number, name in enumerate(entity):
        query_part, row_part, size = _codes(*_alike(queries[name], rows[name], name))
        if number:
            query_part = np.where((query_code < 0) | (query_part < 0), -1, query_code * size + query_part)
            row_part = np.where((row_code < 0) | (row_part < 0), -1, row_code * size + row_part)
            query_part, row_part = _dense(query_part, row_part)
        query_code, row_code = query_part, row_part
    return query_code, row_code


def _dense(queries: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """The same codes without gaps, so that they can be combined with more keys."""
    import numpy as np

    codes, row_code = np.unique(np.append(rows, -1), return_inverse=True)
    at = np.searchsorted(codes, queries)
    known = codes[np.minimum(at, len(codes) - 1)] == queries
    return np.where(known, at - 1, -1), row_code[:-1] - 1


def _flat(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _codes(queries: pa.ChunkedArray, rows: pa.ChunkedArray) -> tuple[Ints, Ints, int]:
    import numpy as np
    import pyarrow.compute as pc

    coded = _flat(rows).dictionary_encode()
    row_code = coded.indices.fill_null(-1).to_numpy().astype(np.int64)
    asked = pc.index_in(_flat(queries), value_set=coded.dictionary, skip_nulls=True)
    return asked.fill_null(-1).to_numpy().astype(np.int64), row_code, len(coded.dictionary)


def _alike(queries: pa.ChunkedArray, rows: pa.ChunkedArray, name: str) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Both sides of a key in one type; an integer equals a float of the same value, a string nothing but a string."""
    import pyarrow as pa

    place = f"point-in-time join: entity column {name}"
    kinds = {cols.dtype_of(side.type) for side in (queries, rows) if not pa.types.is_null(side.type)}
    if kinds == {"int", "float"}:
        kinds = {"float"}
    if None in kinds or len(kinds) > 1:
        raise DataError(
            place,
            "must have the same type in the request and in the feature view",
            value=f"{queries.type} and {rows.type}",
            remedy="Cast it in the dataset's select or in the view's transform.",
        )
    kind = kinds.pop() if kinds else None
    kind = kind or "string"
    return cols.cast(queries, kind, place), cols.cast(rows, kind, place)


def _identities(rows: pa.Table, picked: Ints, part: Versions) -> Ints:
    """A code per row, the same for all versions of it."""
    import numpy as np

    if "_row_id" in rows.column_names:
        ids = rows["_row_id"].take(picked)
        return _codes(ids, ids)[1]
    order = np.lexsort((part.event, part.entity))
    entity, event = part.entity[order], part.event[order]
    new = np.append(True, (np.diff(entity) != 0) | (np.diff(event) != 0))
    codes = np.empty(len(order), dtype=np.int64)
    codes[order] = np.cumsum(new)
    return codes
