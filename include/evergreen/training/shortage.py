"""Too few labelled rows to train on: a verdict with its figures, since more data will mend it, and no failure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from evergreen.spec.amounts import format_amount
from evergreen.spec.model import Model
from evergreen.spec.timing import format_duration
from evergreen.training.split import LEAST, Parts


@dataclass(frozen=True)
class Shortage:
    """Why nothing can be trained.

    Attributes:
        reason: Every part that is too small, the newest label that there is, and what to do.
        figures: What it was decided by, JSON.
    """

    reason: str
    figures: dict[str, Any]


def shortage_of(parts: Parts, model: Model) -> Shortage | None:
    """What keeps a model from being trained on a split frame; ``None`` when every part has enough rows."""
    if not parts.short:
        return None
    return Shortage(" ".join((_what(parts), _newest(parts, model), _remedy(parts, model))), _figures(parts, model))


def nothing_published(model: Model, missing: list[str]) -> Shortage:
    """The same for datasets of which no row was ever published."""
    names = ", ".join(missing)
    return Shortage(
        f"nothing of {names} is published yet. Ingest it ({', '.join(f'{name}.ingest' for name in missing)}).",
        {"rows": dict.fromkeys(LEAST, 0), "newest_label": None, "missing": missing, "split": _split(model)},
    )


def _what(parts: Parts) -> str:
    spans = {
        "fit": f"before {_minute(parts.validation_from)}",
        "validation": f"{_minute(parts.validation_from)} to {_minute(parts.validation_through)}",
        "test": f"{_minute(parts.test_from)} to {_minute(parts.test_through)}",
    }
    each = [
        f"{n} labelled rows in the {part} part ({spans[part]} UTC), which needs at least {LEAST[part]}"
        for part, n in parts.short.items()
    ]
    return f"there are {', and '.join(each)}."


def _newest(parts: Parts, model: Model) -> str:
    if parts.newest_label is None:
        return f"No label of its {parts.unlabelled} rows was known by then."
    left_out = [
        f"{n} {why}"
        for n, why in (
            (parts.immature, f"younger than label.delay ({format_duration(model.label.delay)})"),
            (parts.before_window, f"older than window ({format_duration(model.window or timedelta(0))})"),
            (parts.in_gap, f"in the gap ({format_duration(model.gap)}) before the test part"),
        )
        if n
    ]
    more = f"; left out are {', '.join(left_out)}" if left_out else ""
    return f"The newest label known is of {_minute(parts.newest_label)} UTC{more}."


def _remedy(parts: Parts, model: Model) -> str:
    split = model.split
    sizes = f"split.validation ({format_amount(split.validation)}) or split.test ({format_amount(split.test)})"
    if parts.newest_label is None:
        return "Ask again when labels have come."
    if parts.newest_label < parts.validation_from:
        return "Ask for a training as of a key soon after it, or ingest what has come since."
    seldom = _too_seldom(parts, model)
    if seldom:
        return f"{' '.join(seldom)} Waiting will not change that: make it longer, or give it in rows."
    wider = "widen window, " if parts.before_window else ""
    return f"Wait for more labels, load earlier data, {wider}or change {sizes}."


def _too_seldom(parts: Parts, model: Model) -> list[str]:
    """The short parts whose length holds too few rows at the pace at which labelled rows have come so far."""
    if parts.first_label is None or parts.newest_label is None or parts.newest_label <= parts.first_label:
        return []
    pace = (sum(parts.sizes.values()) + parts.in_gap) / (parts.newest_label - parts.first_label).total_seconds()
    lengths = {"validation": model.split.validation, "test": model.split.test}
    return [
        f"Labelled rows come {pace * 86400:.3g} a day, so that split.{part} ({format_amount(length)}) holds about "
        f"{pace * length.total_seconds():.0f}."
        for part, length in lengths.items()
        if part in parts.short and isinstance(length, timedelta) and pace * length.total_seconds() < LEAST[part]
    ]


def _figures(parts: Parts, model: Model) -> dict[str, Any]:
    return {
        "rows": parts.sizes,
        "needed": {part: LEAST[part] for part in parts.short},
        "newest_label": None if parts.newest_label is None else parts.newest_label.isoformat(),
        "validation_from": parts.validation_from.isoformat(),
        "test_from": parts.test_from.isoformat(),
        "test_through": parts.test_through.isoformat(),
        "unlabelled": parts.unlabelled,
        "immature": parts.immature,
        "before_window": parts.before_window,
        "in_gap": parts.in_gap,
        "split": _split(model),
    }


def _split(model: Model) -> dict[str, Any]:
    return {**model.split.model_dump(mode="json"), "gap": format_duration(model.gap)}


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
