"""What a request for a training stands on. Evidence belongs to a version, ends with it, and is spent by a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Kind = Literal["first_champion", "drift", "decay", "new_rows", "new_labels", "calendar", "code", "upstream"]


@dataclass(frozen=True)
class Cause:
    """One cause that asks for a training.

    Attributes:
        found: The evidence that it stands on (windows, periods, a digest of code, …): it is spent by the request.
    """

    kind: Kind
    reason: str
    found: tuple[str, ...] = ()


@dataclass(frozen=True)
class Window:
    """Drift of one judged window against what the champion was trained on."""

    as_of: str
    drifted: bool


@dataclass(frozen=True)
class Value:
    """The champion's figure over one period."""

    as_of: str
    value: float
    n_labelled: int


@dataclass(frozen=True)
class Asked:
    """An earlier request of this policy for the present champion, whatever became of it.

    Attributes:
        found: Evidence by kind of cause, as :attr:`PolicyDecision.found` gave it.
        is_unjudged: Whether it ended without a verdict on its code: it could not be trained or not be judged.
        labels_since: Labelled rows that are newer than its as_of.
    """

    id: int
    as_of_time: datetime
    found: Mapping[str, Sequence[str]]
    is_unjudged: bool = False
    labels_since: int = 0
