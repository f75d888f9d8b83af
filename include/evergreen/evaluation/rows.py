"""Which rows are fair to judge on: labelled, in the test part, and long enough after what any of the judged learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from evergreen.training.split import by_event_time, labelled, micros

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


@dataclass(frozen=True)
class Judged:
    """The rows that several models are judged on.

    Attributes:
        rows: Indices, in event-time order.
        too_close: Labelled rows of the test part that are left out since one of the judged was trained until less
            than the gap before them, or on them.
    """

    rows: npt.NDArray[np.int64]
    too_close: int


def rows_to_judge(
    frame: pa.Table,
    *,
    as_of_time: datetime,
    test_from: datetime,
    test_through: datetime,
    trained_throughs: Sequence[datetime],
    gap: timedelta = timedelta(0),
) -> Judged:
    """The rows that candidate, champion and remembered champions are judged on.

    Args:
        frame: ``_row_id``, ``_event_time``, ``_label`` and ``_label_known_at``.
        as_of_time: Labels known later do not count.
        test_from: Start of the candidate's test part, inclusive.
        test_through: Its end, inclusive.
        trained_throughs: Of every judged model; rows up to the latest of them are left out.
        gap: Rows less than this after the latest of them are left out too: whoever serves was trained longer ago.
    """
    order, events = by_event_time(frame)
    inside = (events >= micros(test_from)) & (events <= micros(test_through)) & labelled(frame, as_of_time)[order]
    fair = inside.copy()
    for trained_through in trained_throughs:
        fair &= (events > micros(trained_through)) & (events >= micros(trained_through + gap))
    return Judged(order[fair], int(inside.sum() - fair.sum()))
