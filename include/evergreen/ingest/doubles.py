"""Finds rows of one identity within a run, and which of them stays.

Of all rows no more is kept in mind than 64 bits each; only those that share them with another are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from evergreen.lake.spill import picked

if TYPE_CHECKING:
    import pyarrow as pa


Dedupe = Literal["latest", "first", "reject"]


class Doubles:
    """Finds doubles among rows that come bit by bit.

    Args:
        identity: As :func:`find_doubles` takes it, like the others.
    """

    def __init__(self, identity: Sequence[str], dedupe: Dedupe, known_at: str | None) -> None:
        self._identity, self._dedupe, self._known_at = list(identity), dedupe, known_at
        self._digests: list[Any] = []

    def add(self, rows: pa.Table) -> None:
        """The rows that come next; none of them has a null in its identity."""
        import pyarrow as pa

        from evergreen.lake.duck import query

        keys = {f"k{number}": rows[column] for number, column in enumerate(self._identity)}
        found = query(f"SELECT hash({', '.join(keys)}) AS digest FROM rows", {"rows": pa.table(keys)}, {})
        self._digests.append(found["digest"].to_numpy())

    def find(self, tables: Callable[[list[str]], Iterable[pa.Table]]) -> Any:
        """Which of the rows do not stay, as a boolean numpy mask; ``None`` for none of them.

        Args:
            tables: Gives the same rows in the same order, some columns of them.
        """
        import numpy as np

        digests = np.concatenate(self._digests) if self._digests else np.empty(0, dtype="uint64")
        known = np.sort(digests)
        shared = np.unique(known[1:][known[1:] == known[:-1]])
        if not len(shared):
            return None
        suspects = np.isin(digests, shared)
        columns = list(dict.fromkeys([*self._identity, *([self._known_at] if self._known_at else [])]))
        few = picked(tables(columns), suspects)
        leaves = find_doubles(few, self._identity, self._dedupe, self._known_at)
        suspects[suspects] = leaves
        return suspects if leaves.any() else None


def find_doubles(rows: pa.Table, identity: Sequence[str], dedupe: Dedupe, known_at: str | None) -> Any:
    """Which rows do not stay.

    Args:
        rows: In reading order.
        identity: Columns that make a row the same row; none of them null.
        dedupe: ``latest`` keeps the one known last, among these the one read last; ``first`` the opposite; ``reject``
            keeps none of a doubled identity.
        known_at: Column that says when a row became known; without it the reading order alone decides.

    Returns:
        Boolean numpy mask over the rows.
    """
    import numpy as np
    import pyarrow as pa

    from evergreen.lake.duck import query

    index = "__index"
    keys = [f"k{number}" for number in range(len(identity))]
    columns = {key: rows[column] for key, column in zip(keys, identity, strict=True)}
    columns[index] = pa.array(np.arange(rows.num_rows))
    order = index
    if known_at is not None:
        columns["known"] = rows[known_at]
        order = f"struct_pack(k := coalesce(known, '0001-01-01'::TIMESTAMPTZ), i := {index})"
    pick = "arg_min" if dedupe == "first" else "arg_max"
    found = query(
        f"SELECT {pick}({index}, {order}) AS stays, count(*) AS n FROM rows GROUP BY {', '.join(keys)}",
        {"rows": pa.table(columns)}, {},
    )  # fmt: skip
    stays = found["stays"].to_numpy()
    if dedupe == "reject":
        stays = stays[found["n"].to_numpy() == 1]
    leaves = np.ones(rows.num_rows, dtype=bool)
    leaves[stays] = False
    return leaves
