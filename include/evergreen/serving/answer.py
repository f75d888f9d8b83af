"""Answering: the champion, else the previous good version, and saying so; and whose mistake it is when none can."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.errors import EvergreenError, shorten
from evergreen.serving.routes import Target
from evergreen.serving.served import About, Served

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.features.on_demand import ValuesError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """Predictions of a call.

    Attributes:
        version: The one that gave them.
        about: What the rows are, as far as the caller said it.
        fallback: Why it was not the champion, if it was not.
    """

    predictions: list[Any]
    version: int
    about: list[About]
    fallback: str | None = None


class ModelFailedError(EvergreenError):
    """No version could answer."""


@dataclass(frozen=True)
class _Failed:
    """A version that could not answer; ``read`` are the rows as it took them, if it did."""

    served: Served
    version: int
    error: Exception
    read: pa.Table | None = None

    def __str__(self) -> str:
        return f"version {self.version} failed: {type(self.error).__name__}: {shorten(str(self.error))}"


def answer(target: Target, rows: Sequence[Mapping[str, Any]], now: datetime) -> Answer:
    """Asks the champion, and the previous good version when that fails.

    What the declared types refuse is the caller's mistake, and no version is asked. What a version fails on is its
    own, if another can answer or it never answered before. Is there none, then a row on which all of them fail for its
    values (``ValuesError``) is the caller's again. Whatever else fails here, such as reading the rows, is a fault of
    the gateway, and nobody's failure is counted.

    Raises:
        RequestErrors: When the rows are not what the model takes.
        ModelFailedError: When no version could answer.
    """
    route, champion, failed = target.route, target.champion, []
    why = target.fault
    if champion is not None:
        read = champion.read(rows, now)
        given = _ask(champion, route.version, read, rows)
        if isinstance(given, Answer):
            if not target.has_answered:
                target.has_answered = True
            return given
        failed.append(given)
        why = str(given)
    fallback = target.fallback
    if fallback is not None and route.fallback_version is not None:
        given = _ask_fallback(fallback, route.fallback_version, rows, now, is_first=champion is None)
        if isinstance(given, Answer):
            if failed:
                target.failed(failed[0].error)
            return Answer(given.predictions, given.version, given.about, why)
        failed.append(given)
        why = f"{why}; {given}"
    else:
        why = f"{why}; there is no previous good version to answer instead"
    if target.has_answered or (champion is not None and champion.is_warm):
        _refuse_row(target, failed)
    if champion is not None:
        target.failed(failed[0].error)
    raise ModelFailedError(why)


def _ask(served: Served, version: int, read: pa.Table, rows: Sequence[Mapping[str, Any]]) -> Answer | _Failed:
    try:
        frame = served.compute(read)
        return Answer(served.predict(frame), version, served.about(rows, frame))
    except Exception as error:  # a team's code may raise anything
        return _Failed(served, version, error, read)


def _ask_fallback(
    served: Served, version: int, rows: Sequence[Mapping[str, Any]], now: datetime, *, is_first: bool
) -> Answer | _Failed:
    """The previous version, without columns that came only with the champion."""
    from evergreen.features.request import RequestErrors
    from evergreen.features.signature import EVENT_TIME

    columns = {*served.signature.request, *served.signature.looked_up, EVENT_TIME}
    known = [{name: value for name, value in row.items() if name in columns} for row in rows]
    try:
        read = served.read(known, now)
    except RequestErrors as error:
        if is_first:
            raise
        return _Failed(served, version, error)  # it wants what the champion does not
    return _ask(served, version, read, known)


def _refuse_row(target: Target, failed: Sequence[_Failed]) -> None:
    """Raises for the first row on which the champion fails, if it and whoever was asked after it do so for its values.

    Raises:
        RequestErrors: Naming the row and what the version's code said.
    """
    from evergreen.errors import UserError
    from evergreen.features.on_demand import ValuesError
    from evergreen.features.request import RequestErrors

    if not failed or not all(isinstance(each.error, ValuesError) for each in failed):
        return
    row = _first_failing(failed[0])
    said = [_values_error(each, row, 1) for each in failed]
    first = said[0]
    if first is None or None in said:
        return
    rule = f"must have values from which features can be computed: {first.place} {first.rule}"
    remedy = "Mend this row or leave it out; others of the call may fail alike."
    target.refuse(failed[0].error)
    raise RequestErrors([UserError(f"rows[{row}]", rule, value=first.value, remedy=remedy)])


def _first_failing(failed: _Failed) -> int:
    """The first row that fails, by halving."""
    start, length = 0, 0 if failed.read is None else failed.read.num_rows
    while length > 1:
        half = length // 2
        if _values_error(failed, start, half) is not None:
            length = half
        else:
            start, length = start + half, length - half
    return start


def _values_error(failed: _Failed, start: int, length: int) -> ValuesError | None:
    from evergreen.features.on_demand import ValuesError

    if failed.read is None:
        return None
    try:
        failed.served.compute(failed.read.slice(start, length))
    except ValuesError as error:
        return error
    except Exception as error:
        log.info("Rows %d to %d fail otherwise than all together: %s", start, start + length - 1, error)
    return None
