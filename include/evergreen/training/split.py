"""The time-ordered parts of a training frame: fit, then validation, then a gap, then test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from evergreen.spec.amounts import Portion, Rows
from evergreen.spec.model import MIN_FIT_ROWS, MIN_VALIDATION_ROWS, Split

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

LEAST: Mapping[str, int] = {"fit": MIN_FIT_ROWS, "validation": MIN_VALIDATION_ROWS, "test": 1}
"""With fewer labelled rows in a part nothing is trained; how many the test part needs to judge on, the gate says."""


@dataclass(frozen=True)
class Parts:
    """Row indices of a frame by part, each ordered by event time (ties by row id).

    No instant is in two parts: of rows with the same event time all are in the later one.

    Attributes:
        fit: What the estimator learns from.
        validation: What early stopping looks at.
        test: What only the gate sees.
        fit_from: Start of the fit part, inclusive; ``None`` if there is no window.
        validation_from: Start of the validation part, inclusive, and end of the fit part.
        validation_through: End of the validation part, inclusive where there is a gap: ``test_from`` minus the gap.
        test_from: Start of the test part, inclusive.
        test_through: The last mature instant, inclusive: ``as_of`` minus the label's delay.
        trained_through: Last event time that fit or validation used; where both are empty, ``validation_from``.
        first_label: First event time of the rows that could be used.
        newest_label: Last event time with a label that was known at ``as_of``, mature or not.
        unlabelled: Rows left out because they had no label that was known at ``as_of``.
        immature: Labelled rows left out because their label's delay had not passed.
        before_window: Labelled rows left out because they were older than the window.
        in_gap: Labelled rows left out because they lie between validation and test.
    """

    fit: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    fit_from: datetime | None
    validation_from: datetime
    validation_through: datetime
    test_from: datetime
    test_through: datetime
    trained_through: datetime
    first_label: datetime | None
    newest_label: datetime | None
    unlabelled: int
    immature: int
    before_window: int
    in_gap: int

    @property
    def sizes(self) -> dict[str, int]:
        """Rows of each part."""
        return {"fit": len(self.fit), "validation": len(self.validation), "test": len(self.test)}

    @property
    def short(self) -> dict[str, int]:
        """The parts that hold fewer rows than :data:`LEAST`, with the rows that they hold."""
        return {part: n for part, n in self.sizes.items() if n < LEAST[part]}


def time_split(
    frame: pa.Table,
    *,
    as_of_time: datetime,
    split: Split,
    delay: timedelta = timedelta(0),
    gap: timedelta | None = None,
    window: timedelta | None = None,
) -> Parts:
    """Parts the rows whose label was known at ``as_of`` and had matured by then.

    ``test`` is the last part, up to ``as_of`` minus ``delay``; then, back in time, come a gap that nothing uses,
    ``validation``, and ``fit``, which is everything older, as far as ``window`` reaches. A part is as long as the
    split says, or holds at least as many rows, or that share of all labelled mature rows in the window.

    ``delay`` cuts by event time although a row whose label is known has one already: near ``as_of`` only labels that
    came early are known, and those are not like the others (flights that landed early, customers who paid at once).

    Args:
        frame: Columns ``_row_id``, ``_event_time``, ``_label`` and ``_label_known_at``.
        as_of_time: The instant of the data clock at which the training happens.
        split: Sizes of test and validation.
        delay: The label's delay.
        gap: Time between validation and test; the delay by default.
        window: Rows older than this before ``as_of_time`` are not fitted on.
    """
    import numpy as np

    order, events = by_event_time(frame)
    usable = labelled(frame, as_of_time)[order]
    test_through = as_of_time - delay
    fit_from = None if window is None else as_of_time - window
    mature = events <= micros(test_through)
    recent = np.ones(len(events), bool) if fit_from is None else events >= micros(fit_from)
    use = usable & mature & recent
    times = events[use]

    test_from = _start(split.test, times, test_through, of=len(times))
    validation_through = test_from - (delay if gap is None else gap)
    may_learn = (events <= micros(validation_through)) & (events < micros(test_from))
    validation_from = _start(split.validation, events[use & may_learn], validation_through, of=len(times))
    in_fit = use & may_learn & (events < micros(validation_from))
    in_validation = use & may_learn & ~in_fit
    in_test = use & (events >= micros(test_from))
    learnt, known = events[in_fit | in_validation], events[usable]
    return Parts(
        fit=order[in_fit],
        validation=order[in_validation],
        test=order[in_test],
        fit_from=fit_from,
        validation_from=validation_from,
        validation_through=validation_through,
        test_from=test_from,
        test_through=test_through,
        trained_through=_instant(int(learnt[-1])) if len(learnt) else validation_from,
        first_label=_instant(int(times[0])) if len(times) else None,
        newest_label=_instant(int(known[-1])) if len(known) else None,
        unlabelled=int((~usable).sum()),
        immature=int((usable & ~mature).sum()),
        before_window=int((usable & mature & ~recent).sum()),
        in_gap=int((use & ~may_learn & ~in_test).sum()),
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


def _start(part: timedelta | Rows | Portion, times: npt.NDArray[Any], through: datetime, *, of: int) -> datetime:
    """First instant of a part that ends at an instant.

    Args:
        times: Event times, ascending, of the rows that the part may hold.
        of: How many rows a share is a share of.
    """
    if isinstance(part, timedelta):
        return through - part
    wanted = part.count if isinstance(part, Rows) else max(1, round(part.share * of))
    return _instant(int(times[-min(wanted, len(times))])) if len(times) else through


def micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exactly."""
    delta = moment - datetime.fromtimestamp(0, tz=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _instant(since: int) -> datetime:
    return datetime.fromtimestamp(0, tz=UTC) + timedelta(microseconds=since)
