"""When the rows of a rebuilt history were first known: today's file must not make a repair known in the past."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from evergreen.errors import DataError
from evergreen.spec.timing import interval_of
from evergreen.steps import staging, tables
from evergreen.steps.context import StepContext

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import Dataset
    from evergreen.store.coverage import Covered

_DATED = """
select n.pos,
       case when o._row_id is null then $newest::timestamptz
            when t.known_at is null then $newest::timestamptz
            when t.known_at > o.rule then greatest(n.rule, t.known_at)
            else n.rule end as known_at
from fresh n left join old o on o.number = n.number
    left join told t on t._row_id = o._row_id and t._row_hash = o._row_hash
order by n.pos
"""


def dated(ctx: StepContext, covered: Covered, good: str, *, newest: datetime) -> tuple[str, bool]:
    """Known times of one key's rows, by what the key's table said before.

    The old definition is applied to the same files once more. A row that it gives as the old table has it was read
    before: it keeps its rule's known time, or the later one at which it was really read (a repair, a late row). A row
    that the old table never had was repaired since, and is known from the newest key on.

    Args:
        ctx: Of the key, under its new definition.
        covered: The key in the table of the old definition.
        good: Path of the staged good rows.
        newest: Instant of the key that rebuilds.

    Returns:
        Path of the staged rows, and whether their known times are exact: not where rows cannot be followed through
        both definitions (an aggregating ``select``, files that the old definition cannot read any more).
    """
    if ctx.dataset.known_at is not None or _is_untouched(ctx):
        return good, True
    rows = staging.get(ctx.lake, good)
    old = _read_as_before(ctx, covered)
    if old is None or "__row" not in rows.column_names or rows["__row"].null_count:
        return good, rows.num_rows == 0
    known_at = _known_at(ctx, rows, old, covered, newest)
    return staging.put(
        ctx.lake, rows.set_column(rows.schema.get_field_index("__known_at"), "__known_at", known_at)
    ), True


def _is_untouched(ctx: StepContext) -> bool:
    """Whether every run of the key read the very files that are there now."""
    from evergreen.ingest.earlier import is_keyed
    from evergreen.store.row_counts import RowCounts

    runs = {run.details.get("fingerprint") for run in RowCounts(ctx.store).runs(ctx.name, ctx.as_of)}
    return is_keyed(ctx.dataset) and runs == {ctx.inp.inputs["read"]["fingerprint"]}


def _read_as_before(ctx: StepContext, covered: Covered) -> pa.Table | None:
    """The key's rows of today under the old definition, by the number of the raw row."""
    import pyarrow as pa

    from evergreen.ingest.read import read
    from evergreen.lake.rows import with_system_columns
    from evergreen.store.definitions import Definitions

    definition = Definitions(ctx.store).of_table(covered.table)
    if definition is None:
        return None
    dataset: Dataset = ctx.declared(definition.workspace, ctx.name).datasets[ctx.name]
    try:
        start, end = interval_of(dataset.schedule.cron, dataset.timezone, ctx.as_of)
        got = read(
            dataset,
            as_of=ctx.as_of,
            start=start,
            end=end,
            first_load=bool(ctx.inp.inputs["read"]["first_load"]),
            landing=ctx.settings.landing,
        )
    except (DataError, ValueError):
        return None
    if "__row" not in got.good.column_names or got.good["__row"].null_count:
        return None
    made = with_system_columns(
        got.good.drop_columns([name for name in got.good.column_names if name.startswith("__")]),
        identity=dataset.identity,
        event_time=dataset.event_time,
        known_at=got.good["__known_at"].combine_chunks(),
        as_of=ctx.as_of,
    )
    return pa.table(
        {
            "number": got.good["__row"],
            "_row_id": made["_row_id"],
            "_row_hash": made["_row_hash"],
            "rule": made["_known_at"],
        }
    )


def _known_at(ctx: StepContext, rows: pa.Table, old: pa.Table, covered: Covered, newest: datetime) -> pa.ChunkedArray:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from evergreen.lake.duck import query

    versions = tables.read(ctx, covered.table, [], latest=False)
    versions = versions.filter(pc.is_in(versions["_row_id"], value_set=pc.unique(old["_row_id"])))
    told = versions.filter(pc.invert(versions["_deleted"])).group_by(["_row_id", "_row_hash"])
    first = told.aggregate([("_known_at", "min")]).rename_columns(["_row_id", "_row_hash", "known_at"])
    fresh = pa.table({"number": rows["__row"], "rule": rows["__known_at"], "pos": pa.array(np.arange(rows.num_rows))})
    found = query(_DATED, {"fresh": fresh, "old": old, "told": first}, {"newest": newest})
    return found["known_at"].cast(rows["__known_at"].type)
