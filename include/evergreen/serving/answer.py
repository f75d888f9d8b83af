"""Answering: the champion, else the previous good version, and saying so."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evergreen.errors import EvergreenError, shorten
from evergreen.serving.routes import Target
from evergreen.serving.served import Served

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """Predictions of a call.

    Attributes:
        version: The one that gave them.
        row_ids: The rows' identities in the label's dataset, where the caller sent them.
        fallback: Why it was not the champion, if it was not.
    """

    predictions: list[Any]
    version: int
    row_ids: list[str | None]
    fallback: str | None = None


class ModelFailedError(EvergreenError):
    """No version could answer."""


def answer(target: Target, rows: Sequence[Mapping[str, Any]], now: datetime) -> Answer:
    """Asks the champion, and the previous good version when that fails.

    Raises:
        RequestErrors: When the rows are not what the model takes; no other version is asked then.
        ModelFailedError: When no version could answer.
    """
    from evergreen.features.request import RequestErrors

    route, why = target.route, target.fault
    if target.champion is not None:
        try:
            return _ask(target.champion, route.version, rows, now)
        except RequestErrors:
            raise
        except Exception as error:
            why = _why(route.version, error)
            target.failed(error)
    if target.fallback is None or route.fallback_version is None:
        raise ModelFailedError(f"{why}; there is no previous good version to answer instead")
    try:
        given = _ask(target.fallback, route.fallback_version, _known(target.fallback, rows), now)
    except RequestErrors as error:
        if target.champion is None:
            raise
        raise ModelFailedError(f"{why}; {_why(route.fallback_version, error)}") from error
    except Exception as error:
        raise ModelFailedError(f"{why}; {_why(route.fallback_version, error)}") from error
    return Answer(given.predictions, given.version, given.row_ids, why)


def _ask(served: Served, version: int, rows: Sequence[Mapping[str, Any]], now: datetime) -> Answer:
    frame = served.frame(rows, now)
    return Answer(served.predict(frame), version, served.row_ids(rows, frame))


def _known(served: Served, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The rows without columns that came only with the champion."""
    from evergreen.features.signature import EVENT_TIME

    columns = {*served.signature.request, *served.signature.looked_up, EVENT_TIME}
    return [{name: value for name, value in row.items() if name in columns} for row in rows]


def _why(version: int, error: Exception) -> str:
    return f"version {version} failed: {type(error).__name__}: {shorten(str(error))}"
