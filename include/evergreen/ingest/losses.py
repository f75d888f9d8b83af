"""A whole snapshot that loses much of what lived is refused: an export that broke off looks just like it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.errors import DataError
from evergreen.spec.dataset import Dataset

if TYPE_CHECKING:
    import pyarrow as pa


def refuse_losses(dataset: Dataset, given: pa.Table, living: pa.Table, *, as_of: str) -> None:
    """Compares a snapshot with the rows that live.

    Args:
        dataset: Of whole snapshots.
        given: The snapshot's rows, with ``_row_id``.
        living: Rows that live at the key's end, with ``_row_id``.
        as_of: The key.

    Raises:
        DataError: When more than ``max_lost`` of the living rows are not among the given.
    """
    import pyarrow.compute as pc

    if not living.num_rows:
        return
    stay = pc.is_in(living["_row_id"], value_set=pc.unique(given["_row_id"]))
    lost = living.num_rows - int(pc.sum(stay).as_py() or 0)
    if lost / living.num_rows <= dataset.max_lost:
        return
    raise DataError(
        f"{dataset.name} as of {as_of}",
        f"must not lose more than {dataset.max_lost:.0%} of the rows that live (max_lost), but {lost} of "
        f"{living.num_rows} are not in a snapshot of {given.num_rows} rows",
        remedy="Nothing was published. Deliver the whole snapshot and clear the task `read`; if the rows are really "
        "gone, raise max_lost and start a new run with the same key.",
    )
