"""The retraining policy: a pure function from figures to a decision with its reasons. All causes are weighed here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from evergreen.spec.amounts import Rows, format_amount
from evergreen.spec.model import GREATER_IS_BETTER, Retraining
from evergreen.spec.timing import format_duration

Verdict = Literal["retrain", "not_needed", "historic", "cooling_down", "too_little_history", "waiting"]


@dataclass(frozen=True)
class Cause:
    """One cause that asks for a training."""

    kind: Literal["first_champion", "drift", "decay", "new_rows", "new_labels", "calendar", "code", "upstream"]
    reason: str


@dataclass(frozen=True)
class PolicyInputs:
    """All that the policy weighs, as of one instant of the data clock.

    Attributes:
        champion_as_of: as_of of what serves; ``None`` before the first champion.
        training_as_of: as_of of the champion's training.
        gate_value: The champion's metric at its own gate.
        recent_values: Of the champion since: (period's as_of, metric, labelled rows), oldest first.
        drifted: One flag a judged window, oldest first.
        labelled_from, labelled_through: Span of the labelled rows known.
        labelled_rows: How many they are.
        kept_back: Time before as_of from which a training fits nothing.
        last_request_as_of: as_of of the model's newest request.
    """

    spec: Retraining
    metric: str
    as_of_time: datetime
    champion_as_of: datetime | None = None
    training_as_of: datetime | None = None
    gate_value: float | None = None
    recent_values: list[tuple[datetime, float, int]] = field(default_factory=list)
    drifted: list[bool] = field(default_factory=list)
    drift_windows: tuple[int, int] = (2, 3)
    labelled_from: datetime | None = None
    labelled_through: datetime | None = None
    labelled_rows: int = 0
    kept_back: timedelta = timedelta(0)
    rows_since: int = 0
    labels_since: int = 0
    code_changed: bool | None = None
    upstream_changed: bool | None = None
    last_request_as_of: datetime | None = None
    open_requests: int = 0


@dataclass(frozen=True)
class PolicyDecision:
    """Whether to ask for a training, why, and every figure that was looked at."""

    verdict: Verdict
    causes: list[Cause]
    reasons: list[str]
    figures: dict[str, Any]


def decide(inputs: PolicyInputs) -> PolicyDecision:
    """Weighs every cause; historic work, too little history and the cool-down say no first.

    The first champion is exempt from the cool-down only as far as no request for one is under way.
    """
    figures = _figures(inputs)
    spec, now = inputs.spec, inputs.as_of_time
    if inputs.champion_as_of is not None and now < inputs.champion_as_of:
        return PolicyDecision(
            "historic", [], [f"as_of lies before the champion's ({inputs.champion_as_of:%Y-%m-%d %H:%M} UTC)"], figures
        )
    short = _too_little_history(inputs)
    if short is not None:
        return PolicyDecision("too_little_history", [], [short], figures)
    if inputs.champion_as_of is None:
        first = Cause("first_champion", "there is no champion yet")
        last = inputs.last_request_as_of
        if inputs.open_requests and last is not None and last >= now:
            return PolicyDecision("waiting", [], ["a training for the first champion is under way"], figures)
        return PolicyDecision("retrain", [first], [first.reason], figures)
    causes, not_causes = _weigh(inputs)
    if not causes:
        return PolicyDecision("not_needed", [], not_causes, figures)
    last = inputs.last_request_as_of
    if last is not None and timedelta(0) <= now - last < spec.cool_down:
        reason = (
            f"the last request was {_days(now - last)} ago, retraining.cool_down is {format_duration(spec.cool_down)}"
        )
        return PolicyDecision("cooling_down", causes, [reason, *(cause.reason for cause in causes)], figures)
    return PolicyDecision("retrain", causes, [cause.reason for cause in causes], figures)


def relative_loss(metric: str, before: float, now: float) -> float:
    """Loss of a metric against an earlier value, as a share of it; negative for a gain."""
    loss = before - now if metric in GREATER_IS_BETTER else now - before
    return loss / abs(before) if before else (0.0 if loss == 0 else float("inf"))


def _weigh(inputs: PolicyInputs) -> tuple[list[Cause], list[str]]:
    spec = inputs.spec
    causes: list[Cause] = []
    rest: list[str] = []
    needed, of = inputs.drift_windows
    hits = sum(inputs.drifted[-of:])
    text = f"{hits} of the last {min(of, len(inputs.drifted))} judged windows drifted, {needed} of {of} ask for it"
    (causes.append(Cause("drift", text)) if spec.drift and hits >= needed else rest.append(text))
    if spec.decay is not None and inputs.gate_value is not None and inputs.recent_values:
        _, value, labelled = inputs.recent_values[-1]
        loss = relative_loss(inputs.metric, inputs.gate_value, value)
        text = (
            f"{inputs.metric} {value:.4g} on {labelled} labelled rows against {inputs.gate_value:.4g} at the gate: "
            f"loss {loss:+.1%}, retraining.decay is {spec.decay:.1%}"
        )
        (causes.append(Cause("decay", text)) if loss >= spec.decay else rest.append(text))
    for kind, bound, count in (
        ("new_rows", spec.new_rows, inputs.rows_since),
        ("new_labels", spec.new_labels, inputs.labels_since),
    ):
        if bound is not None:
            text = f"{count} {kind.replace('_', ' ')} since the champion's training, retraining.{kind} is {bound}"
            cause = Cause(kind, text)  # type: ignore[arg-type]
            (causes.append(cause) if count >= bound else rest.append(text))
    if spec.every is not None and inputs.training_as_of is not None:
        age = inputs.as_of_time - inputs.training_as_of
        text = f"the champion was trained {_days(age)} ago, retraining.every is {format_duration(spec.every)}"
        (causes.append(Cause("calendar", text)) if age >= spec.every else rest.append(text))
    if spec.code and inputs.code_changed:
        causes.append(Cause("code", "the model's files changed since the champion's training"))
    if spec.upstream and inputs.upstream_changed:
        causes.append(Cause("upstream", "rows that the champion was trained on were corrected since"))
    return causes, rest


def _too_little_history(inputs: PolicyInputs) -> str | None:
    history, least = _history(inputs), inputs.spec.min_history
    if isinstance(least, Rows):
        if inputs.labelled_rows < least.count:
            return f"{inputs.labelled_rows} labelled rows are known, retraining.min_history is {format_amount(least)}"
    elif history < least:
        return f"{_days(history)} of labelled rows are known, retraining.min_history is {format_duration(least)}"
    if history <= inputs.kept_back:
        kept = format_duration(inputs.kept_back)
        return (
            f"{_days(history)} of labelled rows are known, and label.delay and split keep {kept} of them from the fit"
        )
    return None


def _history(inputs: PolicyInputs) -> timedelta:
    if inputs.labelled_from is None or inputs.labelled_through is None:
        return timedelta(0)
    return inputs.as_of_time - inputs.labelled_from


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):.1f} days"


def _figures(inputs: PolicyInputs) -> dict[str, Any]:
    return {
        "metric": inputs.metric,
        "gate_value": inputs.gate_value,
        "recent": [[at.isoformat(), value, n] for at, value, n in inputs.recent_values[-3:]],
        "drifted": inputs.drifted[-inputs.drift_windows[1] :],
        "rows_since": inputs.rows_since,
        "labels_since": inputs.labels_since,
        "history_days": _history(inputs) / timedelta(days=1),
        "labelled_rows": inputs.labelled_rows,
        "code_changed": inputs.code_changed,
        "upstream_changed": inputs.upstream_changed,
    }
