"""Finds rows of one identity within a run, and which of them stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa


def find_doubles(
    rows: pa.Table, identity: Sequence[str], dedupe: Literal["latest", "first", "reject"], known_at: str | None
) -> Any:
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
