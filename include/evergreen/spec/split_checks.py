"""Whether a model's split, history and window can leave anything to fit on, as far as the file alone can tell."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Any

from evergreen.spec.amounts import Portion, Rows, format_amount
from evergreen.spec.model import MIN_VALIDATION_ROWS, Model, Split
from evergreen.spec.source import Problem
from evergreen.spec.timing import format_duration


def check(model: Model) -> Iterator[Problem]:
    """Every problem of ``split``, ``retraining.min_history`` and ``window``."""
    yield from _parts(model)
    yield from _min_history(model)
    yield from _window(model)


def _parts(model: Model) -> Iterator[Problem]:
    split = model.split
    for name in ("test", "validation"):
        part = getattr(split, name)
        if isinstance(part, timedelta) and part <= timedelta(0):
            yield Problem(("split", name), "must be longer than nothing", "0", "Write 7d.")
    for name, least, why in (
        ("test", model.gate.min_rows, "gate.min_rows, or the gate can never judge"),
        ("validation", MIN_VALIDATION_ROWS, "early stopping needs that many"),
    ):
        part = getattr(split, name)
        if isinstance(part, Rows) and part.count < least:
            rule = f"must be at least {least} rows ({why})"
            yield Problem(("split", name), rule, format_amount(part), f"Write {least} rows.")
    if sum(part.share for part in _of(split, Portion).values()) >= 1:
        rule = "must leave, with split.test, a share to fit on"
        yield Problem(("split", "validation"), rule, format_amount(split.validation), "Write 10%.")


def _min_history(model: Model) -> Iterator[Problem]:
    split, least = model.split, model.retraining.min_history
    if isinstance(least, Rows):
        kept = {name: part.count for name, part in _of(split, Rows).items()}
        if kept and least.count <= sum(kept.values()):
            rule = f"must be more than the {sum(kept.values())} rows of {_together(kept)}"
            yield Problem(("retraining", "min_history"), f"{rule}, {_NOTHING_LEFT}", format_amount(least))
        return
    times = _of(split, timedelta)
    if times and least <= sum(times.values(), timedelta(0)):
        rule = f"must be longer than {_together(times)}, {_NOTHING_LEFT}"
        yield Problem(("retraining", "min_history"), rule, _days(least))


def _window(model: Model) -> Iterator[Problem]:
    if model.window is None or model.window > model.kept_back:
        return
    names = ["label.delay"] if model.label.delay else []
    names += [name for name in _of(model.split, timedelta) if name != "split.gap"] + ["split.gap"] * bool(model.gap)
    rule = f"must be longer than {_together(names)}, {_NOTHING_LEFT}" if names else "must be longer than nothing"
    remedy = f"They take {format_duration(model.kept_back)}." if model.label.delay or model.gap else ""
    yield Problem(("window",), rule, _days(model.window), remedy)


_NOTHING_LEFT = "or nothing is left to fit on"


def _of(split: Split, kind: type) -> dict[str, Any]:
    """The parts that are given in one way (time, rows, share), by name."""
    parts = {f"split.{name}": getattr(split, name) for name in ("test", "validation", "gap")}
    return {name: part for name, part in parts.items() if isinstance(part, kind)}


def _together(names: Collection[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last} together" if most else last


def _days(value: timedelta) -> str:
    return f"{value / timedelta(days=1):g}d"
