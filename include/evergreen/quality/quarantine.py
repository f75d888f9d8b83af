"""Parts good rows from those that broke an expectation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from evergreen.ingest.load import ROW
from evergreen.ingest.quarantine import Reject, rows_as_json, to_table
from evergreen.ingest.read import LINE, SOURCE

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.quality.verdict import Verdict


def split(
    rows: pa.Table, verdict: Verdict, *, as_of: str, originals: Callable[[list[int]], list[str] | None] | None = None
) -> tuple[pa.Table, pa.Table]:
    """The rows that stay, and the quarantine table of the others.

    Args:
        rows: What was validated; ``__source``, ``__line`` and ``__row`` tell where each row stands, if there.
        verdict: Of these very rows.
        as_of: The run's key.
        originals: Gives raw rows, by their numbers, as JSON of what the source says, if it still can. Rows without a
            number, or without this, are kept as they were validated.

    Returns:
        The good rows without ``__source`` and ``__line`` (``__known_at`` and ``__row`` stay), and the quarantined ones.
    """
    import numpy as np
    import pyarrow as pa

    places = [name for name in (SOURCE, LINE) if name in rows.column_names]
    indices = list(verdict.bad_rows)
    texts = rows_as_json(rows.select([name for name in rows.column_names if not name.startswith("__")]), indices)
    found = rows.select(places).take(pa.array(indices, type=pa.int64())).to_pylist() if places else [{}] * len(indices)
    if originals is not None and indices and ROW in rows.column_names:
        numbers = rows[ROW].take(pa.array(indices, type=pa.int64())).to_pylist()
        texts = texts if None in numbers else originals(numbers) or texts
    rejects = [
        Reject("; ".join(verdict.bad_rows[index]), verdict.rules[index], text, place.get(SOURCE), place.get(LINE))
        for index, text, place in zip(indices, texts, found, strict=True)
    ]
    keep = np.ones(rows.num_rows, dtype=bool)
    keep[indices] = False
    good = rows.filter(pa.array(keep)) if indices else rows
    return good.drop_columns(places), to_table(rejects, stage="validate", as_of=as_of)


def not_there(broken: pa.Table, kept: pa.Table) -> pa.Table:
    """The quarantined rows that were not kept before, when a repaired source is read again.

    A row is the same by all but its line: a repair above it moves it. Equal rows count as often as they stand.

    Args:
        broken: Of this run.
        kept: Of earlier runs of the same interval.
    """
    from collections import Counter

    import pyarrow as pa

    names = [name for name in broken.column_names if name != "line" and name in kept.column_names]
    before = Counter(tuple(row.values()) for row in kept.select(names).to_pylist())
    fresh = []
    for index, row in enumerate(broken.select(names).to_pylist()):
        same = tuple(row.values())
        if before[same] > 0:
            before[same] -= 1
        else:
            fresh.append(index)
    return broken.take(pa.array(fresh, type=pa.int64()))
