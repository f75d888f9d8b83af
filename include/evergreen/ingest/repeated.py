"""The hour that the clocks show twice: which of two rows was first is told by the order of the file, or by nothing.

Where a source writes local wall-clock times, the hour after the clocks went back cannot be told from the one before. A
file in the order of time shows where the second one begins: the time goes back, or stands still.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evergreen.ingest import timeline
from evergreen.ingest.load import ROW, Places
from evergreen.ingest.selected import Selected
from evergreen.ingest.timeline import NONE
from evergreen.ingest.typed import Fault, Typed
from evergreen.ingest.zone import to_local, to_utc

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import Dataset

_HALF_DAY = 43_200 * 1_000_000


def tell_apart(local: Any, later: Any, groups: pa.Table) -> tuple[Any, Any]:
    """Which rows are the second occurrence of their time, and of which that remains open.

    The rows of one entity in one file, of the day around the change (noon to noon), must stand in the order of time,
    ascending or descending, and only one order may fit them. Else nothing is told.

    Args:
        local: Wall-clock times in microseconds since 1970, in reading order.
        later: Not 0 where a time occurs twice (``zone.Instants.later``); elsewhere, and where there is no time, 0.
        groups: Columns, in the order of the rows, that tell files and entities apart.

    Returns:
        Two boolean numpy masks over the rows.
    """
    import numpy as np

    repeats = later != 0
    second = np.zeros(len(later), dtype=bool)
    if not repeats.any():
        return second, repeats
    told = second.copy()
    days = (local + _HALF_DAY) // (2 * _HALF_DAY)
    near = np.flatnonzero(np.isin(days, np.unique(days[repeats])))
    codes = _codes(groups.take(near), days[near])
    order = np.argsort(codes, kind="stable")
    for rows in np.split(near[order], np.flatnonzero(np.diff(codes[order])) + 1):
        flags = repeats[rows]
        start = _second_start(local[rows].tolist(), flags.tolist()) if flags.sum() > 1 else None
        if start is not None:
            told[rows[flags]] = True
            second[rows[start][flags[start]]] = True
    return second, repeats & ~told


def _codes(groups: pa.Table, days: Any) -> Any:
    """A number for each row, the same for rows of one group and day."""
    import numpy as np
    import pyarrow as pa

    from evergreen.lake.duck import query

    columns = {f"k{index}": column for index, column in enumerate(groups.columns)}
    rows = pa.table(columns | {"day": pa.array(days), "pos": pa.array(np.arange(len(days)))})
    keys = ", ".join([*columns, "day"])
    found = query(f"SELECT pos, dense_rank() OVER (ORDER BY {keys}) AS code FROM rows ORDER BY pos", {"rows": rows}, {})
    return found["code"].to_numpy()


def _second_start(local: Sequence[int], repeats: Sequence[bool]) -> slice | None:
    """Where, in the rows of one entity and day, the second occurrences stand; ``None`` where no order tells."""
    up = _turn(local, repeats)
    down = _turn(local[::-1], repeats[::-1])
    if up is not None and down is None and up < len(local):
        return slice(up, None)
    if down is not None and up is None and down < len(local):
        return slice(None, len(local) - down)
    return None


def _turn(local: Sequence[int], repeats: Sequence[bool]) -> int | None:
    """Index at which ascending times begin anew within the repeated hour; their number where they do not.

    ``None`` where they do not ascend, or begin anew more than once.
    """
    turn = None
    for index in range(1, len(local)):
        goes_back = local[index] < local[index - 1]
        if repeats[index] and repeats[index - 1]:
            if local[index] <= local[index - 1]:
                if turn is not None:
                    return None
                turn = index
        elif goes_back:
            return None
    return len(local) if turn is None else turn


def settle_typed(rows: Typed, places: Places, dataset: Dataset) -> dict[int, list[Fault]]:
    """Tells the repeated hours of raw rows apart, in each column of times, as far as the files' order does.

    Returns:
        By index the rows that stand at one untold time together with others of their entity: an aggregate would mix
        them up. Empty where the raw rows do not have the dataset's entity.
    """
    mixed: dict[int, list[Fault]] = {}
    if not rows.later or not set(dataset.entity) <= set(rows.rows.column_names):
        return mixed
    parts = places.files_of(rows.rows[ROW].to_numpy())
    for name, later in list(rows.later.items()):
        times = timeline.ticks_of(rows.rows[name])
        entity = {key: rows.rows[key] for key in dataset.entity}
        shifted, still = _told(times, later, entity, parts, dataset.timezone)
        rows.rows = _with_times(rows.rows, name, shifted)
        rows.later[name] = still
        if name != dataset.event_time and dataset.event_time in rows.rows.column_names:
            continue
        for index in _doubled(rows.rows.select([*dataset.entity, name]), still).tolist():
            mixed.setdefault(index, []).append(_untold(rows.rows, name, index, dataset.timezone))
    return mixed


def settle_selected(selected: Selected, rows: Typed, places: Places, dataset: Dataset) -> None:
    """Tells the repeated hours of event times apart, and blames rows of one identity where nothing tells them."""
    import numpy as np

    if dataset.event_time is None:
        return
    name, times = dataset.event_time, timeline.ticks_of(selected.rows[dataset.event_time])
    later = selected.later if selected.later is not None else _traced(selected, rows, times, dataset.timezone)
    if not later.any():
        return
    numbers = np.arange(len(times)) if selected.numbers is None else selected.numbers
    order = np.argsort(numbers, kind="stable")  # select may order rows anew
    parts = np.zeros(len(times), dtype="int64") if selected.numbers is None else places.files_of(numbers[order])
    entity = {key: selected.rows[key].take(order) for key in dataset.entity}
    shifted, still = np.empty_like(times), np.empty_like(later)
    shifted[order], still[order] = _told(times[order], later[order], entity, parts, dataset.timezone)
    selected.rows = _with_times(selected.rows, name, shifted)
    for index in _doubled(selected.rows.select(list(dataset.identity)), still).tolist():
        rule, reason = _untold(selected.rows, name, index, dataset.timezone)
        selected.blame([index], rule, [reason])


def _told(times: Any, later: Any, entity: Mapping[str, Any], parts: Any, timezone: str) -> tuple[Any, Any]:
    """Instants, with second occurrences where the order tells them, and ``later`` of those that remain open."""
    import numpy as np
    import pyarrow as pa

    local = np.where(times == NONE, NONE, to_local(np.where(times == NONE, 0, times), timezone))
    second, still = tell_apart(local, later, pa.table({**entity, "__part": pa.array(parts)}))
    return np.where(second, times + later, times), np.where(still, later, 0)


def _traced(selected: Selected, rows: Typed, times: Any, timezone: str) -> Any:
    """``later`` of event times that come, through ``select``, from raw times that occur twice."""
    import numpy as np
    import pyarrow as pa

    nothing = np.zeros(len(times), dtype="int64")
    if selected.numbers is None or not any(each.any() for each in rows.later.values()):
        return nothing
    repeat = np.logical_or.reduce([each != 0 for each in rows.later.values()])
    asked = repeat[np.searchsorted(rows.rows[ROW].to_numpy(), selected.numbers)] & (times != NONE)
    local = pa.array(to_local(np.where(asked, times, 0), timezone), pa.int64()).cast(pa.timestamp("us"))
    first = to_utc(local, timezone)
    is_first = timeline.ticks_of(pa.chunked_array([first.utc])) == times
    return np.where(asked & is_first, first.later, 0)


def _doubled(identities: pa.Table, later: Any) -> Any:
    """Indices of the rows that remain open and share their identity with another row."""
    import numpy as np
    import pyarrow as pa

    from evergreen.lake.duck import query

    if not later.any():
        return np.array([], dtype="int64")
    columns = {f"k{index}": column for index, column in enumerate(identities.columns)}
    rows = pa.table(columns | {"pos": pa.array(np.arange(len(later))), "open": pa.array(later != 0)})
    sql = (
        f"SELECT pos FROM (SELECT pos, open, count(*) OVER (PARTITION BY {', '.join(columns)}) AS n FROM rows) "
        "WHERE open AND n > 1 ORDER BY pos"
    )
    return query(sql, {"rows": rows}, {})["pos"].to_numpy()


def _untold(rows: pa.Table, name: str, index: int, timezone: str) -> Fault:
    from zoneinfo import ZoneInfo

    wall = rows[name][index].as_py().astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
    reason = f"{name} {wall} occurs twice in {timezone}, and the order of the rows does not tell which is meant"
    return "time.twice", reason


def _with_times(rows: pa.Table, name: str, times: Any) -> pa.Table:
    import pyarrow as pa

    values = pa.array(times, mask=times == NONE, type=pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return rows.set_column(rows.column_names.index(name), name, values)
