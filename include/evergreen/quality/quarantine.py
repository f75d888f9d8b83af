"""Parts good rows from those that broke an expectation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from evergreen.ingest.load import ROW
from evergreen.ingest.quarantine import Reject, rows_as_json, to_table
from evergreen.ingest.read import LINE, SOURCE

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.quality.verdict import Verdict


class Parting:
    """Parts rows into those that stay and the others.

    Args:
        rows: What was validated; ``__source``, ``__line`` and ``__row`` tell where each row stands, if there.
        verdict: Of these very rows.
    """

    def __init__(self, rows: Iterable[pa.Table], verdict: Verdict) -> None:
        self._rows, self._verdict = rows, verdict
        self._bad: list[pa.Table] = []

    def good(self) -> Iterator[pa.Table]:
        """The rows that stay, without ``__source`` and ``__line`` (``__known_at`` and ``__row`` stay)."""
        import numpy as np
        import pyarrow as pa

        indices, at = np.fromiter(self._verdict.bad_rows, dtype="int64"), 0
        for rows in self._rows:
            first, last = np.searchsorted(indices, (at, at + rows.num_rows))
            keep = np.ones(rows.num_rows, dtype=bool)
            keep[indices[first:last] - at] = False
            at += rows.num_rows
            if first < last:
                self._bad.append(rows.filter(pa.array(~keep)))
                rows = rows.filter(pa.array(keep))
            yield rows.drop_columns([name for name in (SOURCE, LINE) if name in rows.column_names])

    def quarantined(self, as_of: str, originals: Callable[[list[int]], list[str] | None] | None = None) -> pa.Table:
        """The quarantine table of the others, once all good rows were handed out.

        Args:
            as_of: The run's key.
            originals: Gives raw rows, by their numbers, as JSON of what the source says, if it still can. Rows without
                a number, or without this, are kept as they were validated.
        """
        verdict, rejects = self._verdict, []
        places = [place for rows in self._bad for place in _places(rows)]
        numbers = [number for rows in self._bad for number in _numbers(rows)]
        texts: list[str] | None = None
        if originals is not None and numbers and None not in numbers:
            texts = originals([int(number) for number in numbers if number is not None])
        texts = texts or [text for rows in self._bad for text in _texts(rows)]
        for index, text, place in zip(verdict.bad_rows, texts, places, strict=True):
            reason = "; ".join(verdict.bad_rows[index])
            rejects.append(Reject(reason, verdict.rules[index], text, place.get(SOURCE), place.get(LINE)))
        return to_table(rejects, stage="validate", as_of=as_of)


def _places(rows: pa.Table) -> list[dict[str, Any]]:
    names = [name for name in (SOURCE, LINE) if name in rows.column_names]
    found: list[dict[str, Any]] = rows.select(names).to_pylist() if names else [{}] * rows.num_rows
    return found


def _numbers(rows: pa.Table) -> list[int | None]:
    found: list[int | None] = rows[ROW].to_pylist() if ROW in rows.column_names else [None] * rows.num_rows
    return found


def _texts(rows: pa.Table) -> list[str]:
    names = [name for name in rows.column_names if not name.startswith("__")]
    return rows_as_json(rows.select(names), range(rows.num_rows))


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
