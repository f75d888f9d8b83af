"""Labels as they come, from the dataset and from callers: coerced where their meaning is plain, else set aside."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evergreen.errors import shorten

if TYPE_CHECKING:
    import pyarrow as pa

WORDS = {"true": 1.0, "yes": 1.0, "1": 1.0, "false": 0.0, "no": 0.0, "0": 0.0}
"""Texts that mean a bool, whatever their case."""
_UNKNOWN_CLASS = -1.0
_EARLIEST = datetime.min.replace(tzinfo=UTC)


def as_target(task: str, label: Any, classes: Sequence[Any] = ()) -> float | None:
    """A label as the metrics take it: the number, 0 or 1, a class's position, -1 for a class the model does not know.

    Returns:
        ``None`` when the label does not fit the task.
    """
    if task == "multiclass":
        return _position(label, classes)
    if task == "binary":
        if isinstance(label, str):
            return WORDS.get(label.strip().lower())
        number = _number(label, bools=True)
        return number if number in (0.0, 1.0) else None
    return _number(label, bools=False)


@dataclass(frozen=True)
class Feedback:
    """What callers said about earlier answers.

    Attributes:
        labels: By request, every label as JSON text: the newest first, of one instant the last by its text, so that
            the order of reading never matters.
    """

    labels: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, table: pa.Table) -> Feedback:
        """From the lake's table.

        Args:
            table: ``request_id``, ``label``, and what tells the newest: ``received_at`` (the gateway's clock, ISO text;
                ``at`` in tables of before) and ``sequence`` (its counter, of labels received at one instant).
        """
        found: dict[str, set[tuple[datetime, int, str]]] = {}
        for row in table.to_pylist():
            if row["request_id"] is not None and row["label"] is not None:
                at = _instant(row.get("received_at") or row.get("at"))
                found.setdefault(row["request_id"], set()).add((at, row.get("sequence") or 0, row["label"]))
        return cls({request: [each[2] for each in sorted(said, reverse=True)] for request, said in found.items()})

    def target(self, request: str, task: str, classes: Sequence[Any]) -> tuple[float | None, list[str]]:
        """The newest label that fits, and what is to be said of those that do not; a null takes back what was said."""
        wrong: list[str] = []
        for text in self.labels.get(request, ()):
            label = _loaded(text)
            if label is None:
                break
            target = as_target(task, label, classes)
            if target is not None:
                return target, wrong
            wrong.append(f"request {request}: {shorten(text, 60)} is no label of a {task} model")
        return None, wrong


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _number(label: Any, *, bools: bool) -> float | None:
    if isinstance(label, bool) and not bools:
        return None
    if not isinstance(label, int | float | str):
        return None
    try:
        number = float(label)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _position(label: Any, classes: Sequence[Any]) -> float | None:
    if isinstance(label, float) and not math.isfinite(label):
        return None
    if not isinstance(label, str | int | float):
        return None
    alike = {_plain(known): number for number, known in enumerate(classes)}
    if _plain(label) in alike:
        return float(alike[_plain(label)])
    of_kind = not classes or any(_kind(label) == _kind(known) for known in classes)
    return _UNKNOWN_CLASS if of_kind else None


def _plain(label: Any) -> str:
    """One text for what means the same class: 1, 1.0 and "1"; true and "true"."""
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label).strip()


def _kind(label: Any) -> type:
    if isinstance(label, float) and label.is_integer():
        return int
    return type(label)


def _instant(at: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(at)
    except (TypeError, ValueError):
        return _EARLIEST
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
