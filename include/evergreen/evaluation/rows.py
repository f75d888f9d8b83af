"""Which rows are fair to judge on: labelled, in the test stretch, and after what any of the judged was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from evergreen.training.split import by_event_time, labelled, micros

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


def rows_to_judge(
    frame: pa.Table,
    *,
    as_of_time: datetime,
    test_from: datetime,
    test_through: datetime,
    trained_throughs: Sequence[datetime],
) -> npt.NDArray[np.int64]:
    """Indices, in event-time order, of the rows that candidate, champion and remembered champions are judged on.

    Args:
        frame: ``_row_id``, ``_event_time``, ``_label`` and ``_label_known_at``.
        as_of_time: Labels known later do not count.
        test_from: Start of the candidate's test stretch, inclusive.
        test_through: Its end, inclusive.
        trained_throughs: Of every judged model; rows up to the latest of them are left out.
    """
    order, events = by_event_time(frame)
    inside = (events >= micros(test_from)) & (events <= micros(test_through))
    for trained_through in trained_throughs:
        inside &= events > micros(trained_through)
    return order[inside & labelled(frame, as_of_time)[order]]
