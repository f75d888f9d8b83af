"""Judging periods as their labels ripen: each again and again until nothing can change, then for good.

Which periods are open stands in the store. What a period's figures are is a function of the tables and of the newest
as_of that the model was watched at, capped at the instant when its last label was due: so neither the order of keys
nor a backfill matters, and whoever knows fewer labels never replaces what stands.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from evergreen.errors import shorten
from evergreen.spec.dataset import Dataset
from evergreen.spec.model import Model
from evergreen.steps import bundles, tables
from evergreen.steps.context import StepContext

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.monitoring.labels import Feedback
    from evergreen.monitoring.performance import Judged
    from evergreen.store.periods import Watched

log = logging.getLogger(__name__)

NAMED = 5
"""At most so many labels that were set aside are named in the step's output."""


def ripe_at(period_end: datetime, model: Model, dataset: Dataset) -> datetime:
    """The instant of the data clock at which a period's last label is due.

    A label counts ``label.delay`` after its event, a row is known ``availability_delay`` after it, and both may come
    as late as the dataset's late window allows.
    """
    delay = max(model.label.delay, dataset.availability_delay or timedelta(0))
    return period_end + delay + dataset.late_window


def judge(ctx: StepContext) -> dict[str, Any]:
    """Judges this period, and every open one that has ripe labels; gives what the step says of it.

    A period stays open until a later one is watched, too: what the gateway answered in its last seconds is shipped
    after it was judged.
    """
    from evergreen.store.periods import Periods
    from evergreen.store.resources import Seen

    model, periods = ctx.model, Periods(ctx.store)
    newest = Seen(ctx.store).newest(ctx.name)
    now = ctx.as_of_time if newest is None else max(ctx.as_of_time, newest[1])
    due = [
        period
        for period in periods.in_state(ctx.name, "open")
        if period.as_of == ctx.as_of or period.start_time < now - model.label.delay
    ]
    read_at = periods.now()
    figures: dict[str, float | None] = {}
    aside: dict[str, None] = {}
    stood = 0
    for period, known_by, judged in _judged(ctx, due, now):
        stood += periods.judge(
            ctx.name,
            period.as_of,
            [row.as_dict() for row in judged.figures],
            judged_time=known_by,
            read_at=read_at,
            settled=period.as_of_time < now and ripe_at(period.as_of_time, model, ctx.driver) <= now,
        )
        aside.update(dict.fromkeys(judged.set_aside))
        if period.as_of == ctx.as_of:
            figures = {f"{row.role}_{row.version}": row.value for row in judged.figures}
    for text in aside:
        log.warning("Set aside a label: %s", text)
    log.info("Judged %d of %d open periods of %s as of %s: %s", stood, len(due), ctx.name, now, figures)
    return {"figures": figures, "judged": stood, **_told(aside)}


def _told(aside: Mapping[str, None]) -> dict[str, Any]:
    if not aside:
        return {}
    return {"labels_set_aside": len(aside), "such_as": [shorten(text, 200) for text in list(aside)[:NAMED]]}


def _judged(ctx: StepContext, due: Sequence[Watched], now: datetime) -> Iterable[tuple[Watched, datetime, Judged]]:
    """The due periods with the instant by which their labels were known; those of one instant are read at once."""
    from evergreen.monitoring.performance import measure

    model = ctx.model

    def known_by(period: Watched) -> datetime:
        return min(now, ripe_at(period.as_of_time, model, ctx.driver))

    scores = ctx.lake.table(f"scores/{ctx.name}").read(match={"as_of": [period.as_of for period in due]})
    known = {}
    for instant, together in groupby(sorted(due, key=known_by), key=known_by):
        group = list(together)
        start, end = min(period.start_time for period in group), max(period.as_of_time for period in group)
        labels = tables.label_rows(
            ctx, model, known_by=instant, event_from=start, event_to=end, columns=[model.label.column]
        )
        known[instant] = group, labels
    logged, feedback = _logs(ctx, due, [labels["_row_id"] for _, labels in known.values()])
    classes = _classes(ctx, scores, logged)
    for instant, (group, labels) in known.items():
        for period in group:
            yield (
                period,
                instant,
                measure(
                    task=model.task,
                    metric=model.monitoring_metric,
                    scores=_of(scores, period.as_of),
                    labels=_between(labels, period.start_time, period.as_of_time),
                    label=model.label.column,
                    mature_by=instant - model.label.delay,
                    min_labels=model.monitoring.min_labels,
                    classes=classes,
                    logged=logged,
                    feedback=feedback,
                ),
            )


def _classes(ctx: StepContext, scores: pa.Table, logged: pa.Table | None) -> dict[int, Sequence[Any]]:
    """The classes of every version that is judged, of a multiclass model; also of those that only answered callers."""
    if ctx.model.task != "multiclass":
        return {}
    judged = [scores] if logged is None else [scores, logged]
    versions = {version for table in judged for version in table["version"].unique().to_pylist()}
    return {version: bundles.load(ctx, bundles.training_of(ctx, version).bundle).classes for version in versions}


def _logs(
    ctx: StepContext, due: Sequence[Watched], row_ids: Sequence[pa.ChunkedArray]
) -> tuple[pa.Table | None, Feedback | None]:
    """The answers about some rows of some periods, and what callers said of these answers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from evergreen.monitoring.labels import Feedback

    predictions, feedback = (ctx.lake.table(f"{kind}/{ctx.name}") for kind in ("predictions", "feedback"))
    if not predictions.exists() or not row_ids:
        return None, None
    wanted = pc.unique(pa.chunked_array([chunk for each in row_ids for chunk in each.chunks], pa.string()))
    between = None
    if ctx.driver.event_time is not None and predictions.finds_by("event_time"):  # else some were logged without
        between = {"event_time": (min(each.start_time for each in due), max(each.as_of_time for each in due))}
    asked = ["request_id", "version", "row_id", "prediction"]
    logged = predictions.read(asked, match={"row_id": wanted}, between=between)
    if not feedback.exists():
        return logged, None
    return logged, Feedback.of(feedback.read(match={"request_id": pc.unique(logged["request_id"])}))


def _of(scores: pa.Table, as_of: str) -> pa.Table:
    import pyarrow.compute as pc

    return scores.filter(pc.equal(scores["as_of"], as_of))


def _between(rows: pa.Table, start: datetime, end: datetime) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    events = rows["_event_time"]
    low, high = (pa.scalar(moment, events.type) for moment in (start, end))
    return rows.filter(pc.and_(pc.greater_equal(events, low), pc.less(events, high)))
