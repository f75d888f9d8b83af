"""The time-ordered parts of a training frame: fit, then validation, then test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from evergreen.errors import UserError
from evergreen.spec.model import Split
from evergreen.spec.timing import format_duration

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

MIN_FIT, MIN_VALIDATION, MIN_TEST = 30, 10, 1


@dataclass(frozen=True)
class Parts:
    """Row indices of a frame by part, each ordered by event time (ties by row id).

    Attributes:
        fit: What the estimator learns from.
        validation: What early stopping looks at.
        test: What only the gate sees.
        fit_from: Start of the fit part, inclusive; ``None`` if there is no window.
        validation_from: Start of the validation part, inclusive, and end of the fit part.
        test_from: Start of the test part, inclusive, and end of the validation part.
        test_through: The last mature instant, inclusive: ``as_of`` minus the label's delay.
        trained_through: Last event time that fit or validation used.
        unlabelled: Rows left out because they had no label that was known at ``as_of``.
        immature: Labelled rows left out because their label's delay had not passed.
        before_window: Labelled rows left out because they were older than the window.
    """

    fit: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    fit_from: datetime | None
    validation_from: datetime
    test_from: datetime
    test_through: datetime
    trained_through: datetime
    unlabelled: int
    immature: int
    before_window: int


def time_split(
    frame: pa.Table,
    *,
    as_of_time: datetime,
    split: Split,
    delay: timedelta = timedelta(0),
    window: timedelta | None = None,
    place: str = "split",
) -> Parts:
    """Cuts a frame by event time.

    A row is used when it has a label, that label was known at ``as_of_time`` and ``delay`` has passed since its event.
    Rows whose label came early are left out too until their delay has passed: they are not a fair sample (flights that
    landed early, customers who paid at once).

    Args:
        frame: Columns ``_row_id``, ``_event_time``, ``_label`` and ``_label_known_at``.
        as_of_time: The instant of the data clock at which the training happens.
        split: Lengths of test and validation.
        delay: The label's delay.
        window: Rows older than this before ``as_of_time`` are not fitted on.
        place: Where a message sends its reader, such as ``models/flights_late.yaml split``.

    Raises:
        UserError: When a part holds too few rows, saying which and what to do.
    """
    import numpy as np

    order, events = by_event_time(frame)
    usable = labelled(frame, as_of_time)[order]
    test_through = as_of_time - delay
    test_from = test_through - split.test
    validation_from = test_from - split.validation
    fit_from = None if window is None else as_of_time - window

    mature = events <= micros(test_through)
    recent = np.ones(len(events), bool) if fit_from is None else events >= micros(fit_from)
    use = usable & mature & recent
    in_test = use & (events >= micros(test_from))
    in_validation = use & (events >= micros(validation_from)) & ~in_test
    in_fit = use & ~in_validation & ~in_test
    _check(int(in_fit.sum()), MIN_FIT, "fit", f"before {validation_from:%Y-%m-%d %H:%M}", place, split, window)
    _check(int(in_validation.sum()), MIN_VALIDATION, "validation", _span(validation_from, test_from), place, split)
    _check(int(in_test.sum()), MIN_TEST, "test", _span(test_from, test_through), place, split)
    last = int(events[in_fit | in_validation].max())
    return Parts(
        fit=order[in_fit],
        validation=order[in_validation],
        test=order[in_test],
        fit_from=fit_from,
        validation_from=validation_from,
        test_from=test_from,
        test_through=test_through,
        trained_through=_instant(last),
        unlabelled=int((~usable).sum()),
        immature=int((usable & ~mature).sum()),
        before_window=int((usable & mature & ~recent).sum()),
    )


def by_event_time(frame: pa.Table) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row indices in the order of event time (ties by row id), and the times in it, in microseconds since 1970."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    order = pc.sort_indices(frame, sort_keys=[("_event_time", "ascending"), ("_row_id", "ascending")])
    events = frame.column("_event_time").cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    index = order.to_numpy(zero_copy_only=False).astype(np.int64)
    return index, events.to_numpy().astype(np.int64)[index]


def labelled(frame: pa.Table, as_of_time: datetime) -> npt.NDArray[np.bool_]:
    """Which rows of a frame have a label that was known at ``as_of_time``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    label = frame.column("_label")
    has = pc.is_valid(label)
    if pa.types.is_floating(label.type):
        has = pc.and_(has, pc.fill_null(pc.invert(pc.is_nan(label)), False))
    instant = pa.scalar(as_of_time, pa.timestamp("us", tz="UTC"))
    known = frame.column("_label_known_at").cast(pa.timestamp("us", tz="UTC"))
    known = pc.fill_null(pc.less_equal(known, instant), False)
    return pc.and_(has, known).to_numpy().astype(bool)  # type: ignore[no-any-return]


def _check(
    n: int, least: int, part: str, where: str, place: str, split: Split, window: timedelta | None = None
) -> None:
    if n >= least:
        return
    lengths = f"split.validation ({format_duration(split.validation)}) or split.test ({format_duration(split.test)})"
    wider = f", widen window ({format_duration(window)})" if window is not None else ""
    raise UserError(
        place,
        f"leaves {n} labelled rows in the {part} part ({where}), which needs at least {least}",
        remedy=f"Wait for more labels (raise retraining.min_history), load earlier data{wider}, or change {lengths}.",
    )


def _span(start: datetime, end: datetime) -> str:
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"


def micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exactly."""
    delta = moment - datetime.fromtimestamp(0, tz=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _instant(since: int) -> datetime:
    return datetime.fromtimestamp(0, tz=UTC) + timedelta(microseconds=since)
