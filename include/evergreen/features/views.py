"""Materialized views: runs a team's transform and checks what it gives."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from evergreen.errors import DataError
from evergreen.features import columns, transforms
from evergreen.lake.spill import Spill, picked
from evergreen.spec.feature_view import FeatureView

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

log = logging.getLogger(__name__)

KNOWN_AT = "known_at"


def run(view: FeatureView, root: Path, tables: dict[str, pa.Table], start: datetime, end: datetime) -> pa.Table:
    """Computes a view's rows of an interval.

    Args:
        view: A materialized view.
        root: Folder of the workspace, the one that holds ``features/``.
        tables: Of every dataset in ``reads``: its columns and ``known_at``, rows as known at ``end``, cut by the
            caller to event times in [start - lookback, end).
        start: Start of the interval (inclusive). Rows of earlier timestamps are allowed (a lookback computes them
            anew, and the lake keeps those that changed); a transform over windows filters them out itself, since
            the earliest of them see a cut window.
        end: End of the interval (exclusive), and the instant by which the rows are known.

    Returns:
        Entity, timestamp, outputs and ``known_at``, in the declared types. ``known_at`` is never later than ``end``:
        what was computed from rows known at ``end`` was known then. Where the transform gives none, it is timestamp
        plus ``availability_delay``, and ``end`` for rows before ``start``, which a lookback computed anew from rows
        that came late. The schema's metadata says under ``known_at`` which of both it was: ``transform`` or
        ``declared``.

    Raises:
        DataError: When the transform fails, or gives something else than what the view declares.
    """
    missing = [name for name in view.reads if name not in tables]
    if missing:
        raise DataError(view.name, f"must be given the rows of {', '.join(missing)}")
    made = _transform(view, root, {name: tables[name] for name in view.reads}, start, end)
    return check(view, made, start, end)


def is_streamable(view: FeatureView) -> bool:
    """Whether a view's rows can be computed from files: SQL, not a function that wants frames."""
    return transforms.is_sql(view)


def run_streamed(
    view: FeatureView, root: Path, tables: Mapping[str, ds.Dataset], start: datetime, end: datetime, folder: Path
) -> Iterator[pa.Table]:
    """:func:`run` of more rows than memory holds; all are checked before the first is given.

    Args:
        view: As for :func:`run`, like ``root``, ``start`` and ``end``; it is SQL.
        tables: As for :func:`run`, in files.
        folder: For rows that memory does not hold.

    Raises:
        DataError: As :func:`run`.
    """
    from evergreen.ingest.doubles import Doubles
    from evergreen.lake.duck import stream_sql

    text, place, keys = transforms.sql(view, root), transforms.place(view), [*view.entity, view.timestamp]
    made, doubles = Spill(folder / "made"), Doubles(keys, "reject", None)
    params = {"start": start, "end": end, "as_of": end}
    for rows in stream_sql(text, tables, params, place=place, folder=folder):
        checked = _checked(view, rows, start, end, tell=made.schema is None)
        made.add(checked)
        doubles.add(checked)
    doubled = doubles.find(made.tables)
    if doubled is not None:
        _unique(picked(made.tables(keys), doubled), keys, place)
    return made.tables()


def check(view: FeatureView, made: pa.Table, start: datetime, end: datetime) -> pa.Table:
    """What a transform gave, in the declared columns and types; see :func:`run`."""
    checked = _checked(view, made, start, end, tell=True)
    _unique(checked, [*view.entity, view.timestamp], transforms.place(view))
    return checked


def _checked(view: FeatureView, made: pa.Table, start: datetime, end: datetime, *, tell: bool) -> pa.Table:
    """Rows that a transform gave, checked one by one; ``tell`` logs what it gave beside."""
    import pyarrow as pa
    import pyarrow.compute as pc

    place = transforms.place(view)
    keys = [*view.entity, view.timestamp]
    if KNOWN_AT in keys:
        raise DataError(place, f"must give key and timestamp other names than {KNOWN_AT}", remedy="Rename it.")
    wanted = [*keys, *view.outputs]
    transforms.require(view, made, wanted)
    surplus = sorted(set(made.column_names) - {*wanted, KNOWN_AT})
    if surplus and tell:
        log.warning("%s gave columns that %s does not declare, left out: %s", place, view.name, ", ".join(surplus))
    fields = {name: made[name] for name in wanted}
    for name, feature in view.outputs.items():
        fields[name] = columns.cast(fields[name], feature.type, f"{place} column {name}")
    for name in view.entity:
        fields[name] = _key(fields[name], f"{place} column {name}")
    fields[view.timestamp] = columns.instants(fields[view.timestamp], f"{place} column {view.timestamp}")
    result = pa.table(fields)
    _not_null(result, keys, place)
    _within(result, view.timestamp, end, place)
    given = KNOWN_AT in made.column_names
    if given:
        known = columns.instants(made[KNOWN_AT], f"{place} column {KNOWN_AT}")
        _not_null(pa.table({KNOWN_AT: known}), [KNOWN_AT], place)
    else:
        known = _declared(view, result[view.timestamp], start, end)
    known = pc.if_else(pc.greater(known, _scalar(end)), _scalar(end), known)
    result = result.append_column(KNOWN_AT, known)
    return result.replace_schema_metadata({KNOWN_AT: "transform" if given else "declared"})


def _transform(view: FeatureView, root: Path, tables: dict[str, pa.Table], start: datetime, end: datetime) -> pa.Table:
    if transforms.is_sql(view):
        from evergreen.lake.duck import run_sql

        text = transforms.sql(view, root)
        return run_sql(text, tables, {"start": start, "end": end, "as_of": end}, place=transforms.place(view))
    frames = {name: transforms.to_frame(table, transforms.place(view)) for name, table in tables.items()}
    frame = transforms.call(view, transforms.function(view, root), frames, start, end)
    return transforms.from_frame(view, frame)


def _key(column: pa.ChunkedArray, place: str) -> pa.ChunkedArray:
    dtype = columns.dtype_of(column.type)
    if dtype is None and column.null_count < len(column):
        raise DataError(place, "must be a plain value, since it is a key", value=str(column.type))
    return columns.cast(column, dtype or "string", place)


def _not_null(table: pa.Table, names: list[str], place: str) -> None:
    import pyarrow.compute as pc

    for name in names:
        count = table[name].null_count
        if count:
            first = pc.index(pc.is_null(table[name]), True).as_py()
            raise DataError(
                f"{place} column {name}",
                f"must not be null, but is in {count} of {table.num_rows} rows",
                value=table.slice(first, 1).to_pylist()[0],
                remedy="Filter these rows in the transform, or give the value.",
            )


def _within(table: pa.Table, timestamp: str, end: datetime, place: str) -> None:
    import pyarrow.compute as pc

    late = table.filter(pc.greater(table[timestamp], _scalar(end)))
    if late.num_rows:
        raise DataError(
            f"{place} column {timestamp}",
            f"must not be after the interval's end {end.isoformat()}, but is in {late.num_rows} of "
            f"{table.num_rows} rows",
            value=late.slice(0, 1).to_pylist()[0],
            remedy="A row's timestamp is the instant from which its values hold; of a forecast, when it was made.",
        )


def _unique(table: pa.Table, keys: list[str], place: str) -> None:
    import pyarrow.compute as pc

    groups = table.select(keys).group_by(keys).aggregate([([], "count_all")])
    if groups.num_rows == table.num_rows:
        return
    doubled = groups.filter(pc.greater(groups["count_all"], 1))
    raise DataError(
        place,
        f"must give one row for each {', '.join(keys)}, but gives several for {doubled.num_rows}",
        value=doubled.slice(0, 1).to_pylist()[0],
        remedy="Aggregate or deduplicate in the transform, or name the missing key in entity.",
    )


def _declared(view: FeatureView, timestamps: pa.ChunkedArray, start: datetime, end: datetime) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pc.add(timestamps, pa.scalar(view.availability_delay, pa.duration("us")))
    return pc.if_else(pc.less(timestamps, _scalar(start)), _scalar(end), known)


def _scalar(moment: datetime) -> pa.Scalar:
    import pyarrow as pa

    return pa.scalar(moment, pa.timestamp("us", tz="UTC"))
