"""The retraining policy: a pure function from figures to a decision with its reasons. All causes are weighed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from evergreen.monitoring.evidence import Asked, Cause, Kind, Value, Window
from evergreen.spec.amounts import Rows, format_amount
from evergreen.spec.model import GREATER_IS_BETTER, Retraining
from evergreen.spec.timing import format_duration

Verdict = Literal["retrain", "not_needed", "historic", "cooling_down", "too_little_history", "waiting", "nothing_new"]


@dataclass(frozen=True)
class PolicyInputs:
    """All that the policy weighs, as of one instant of the data clock.

    Attributes:
        code: Digest of the model's files now.
        version: The champion; ``None`` before the first.
        champion_as_of: as_of under which it came to serve.
        training_as_of: as_of of the champion's training.
        gate_value: The champion's metric at its own gate.
        values: Figures of the champion since it serves, oldest first.
        windows: Judged windows of the champion since it serves, oldest first.
        asked: Earlier requests for the champion (or, without one, for the first).
        labelled_from, labelled_through: Span of the labelled rows known.
        labelled_rows: How many they are.
        rows_since: Rows since the champion's training, or since the last request for their sake; ``labels_since``
            alike.
        tables: Versions of the tables that the model reads, ``name@version``.
        kept_back: Time before as_of from which a training fits nothing.
        last_request_as_of: as_of of the model's newest request.
        min_rows: What the gate needs to judge.
    """

    spec: Retraining
    metric: str
    as_of_time: datetime
    as_of: str = ""
    code: str = ""
    version: int | None = None
    champion_as_of: datetime | None = None
    training_as_of: datetime | None = None
    gate_value: float | None = None
    values: Sequence[Value] = ()
    windows: Sequence[Window] = ()
    drift_windows: tuple[int, int] = (2, 3)
    asked: Sequence[Asked] = ()
    labelled_from: datetime | None = None
    labelled_through: datetime | None = None
    labelled_rows: int = 0
    kept_back: timedelta = timedelta(0)
    rows_since: int = 0
    labels_since: int = 0
    code_changed: bool | None = None
    upstream_changed: bool | None = None
    tables: tuple[str, ...] = ()
    last_request_as_of: datetime | None = None
    open_requests: int = 0
    min_rows: int = 1

    def spent(self, kind: Kind) -> dict[str, int]:
        """Evidence of a kind that a request was made of, with the request's id."""
        return {each: asked.id for asked in self.asked for each in asked.found.get(kind, ())}

    def last_asked(self, kind: Kind) -> datetime | None:
        """as_of of the newest request that had such a cause."""
        return max((asked.as_of_time for asked in self.asked if kind in asked.found), default=None)


@dataclass(frozen=True)
class PolicyDecision:
    """Whether to ask for a training, why, and every figure that was looked at."""

    verdict: Verdict
    causes: list[Cause]
    reasons: list[str]
    figures: dict[str, Any]

    @property
    def found(self) -> dict[str, list[str]]:
        """The evidence of every cause: what a request of this decision spends."""
        return {cause.kind: list(cause.found) for cause in self.causes}


def decide(inputs: PolicyInputs) -> PolicyDecision:
    """Weighs every cause; historic work, too little history and the cool-down say no first.

    Evidence counts once: what a request was made of asks for no second one, however that request ended. The first
    champion is exempt from the cool-down only as far as no request for one is under way.
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
        return _first(inputs, figures)
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


def _first(inputs: PolicyInputs, figures: dict[str, Any]) -> PolicyDecision:
    """Asks for the first champion, but not twice of the same rows and code."""
    last = inputs.last_request_as_of
    if inputs.open_requests and last is not None and last >= inputs.as_of_time:
        return PolicyDecision("waiting", [], ["a training for the first champion is under way"], figures)
    evidence = f"{inputs.code}:{inputs.labelled_rows}"
    before = inputs.spent("first_champion").get(evidence)
    if before is not None:
        reason = f"there is no champion yet, and neither labels nor files are newer than those of request {before}"
        return PolicyDecision("nothing_new", [], [reason], figures)
    first = Cause("first_champion", "there is no champion yet", (evidence,))
    return PolicyDecision("retrain", [first], [first.reason], figures)


def relative_loss(metric: str, before: float, now: float) -> float:
    """Loss of a metric against an earlier value, as a share of it; negative for a gain."""
    loss = before - now if metric in GREATER_IS_BETTER else now - before
    return loss / abs(before) if before else (0.0 if loss == 0 else float("inf"))


def _weigh(inputs: PolicyInputs) -> tuple[list[Cause], list[str]]:
    """The causes that hold, and what is to be said of the others."""
    spec = inputs.spec
    weighed = [_drift(inputs), _decay(inputs), *_counts(inputs), _calendar(inputs)]
    causes = [each for each in weighed if isinstance(each, Cause)]
    rest = [each for each in weighed if isinstance(each, str)]
    if spec.code and inputs.code_changed:
        code = _code(inputs)
        (causes.append(code) if isinstance(code, Cause) else rest.append(code))
    if spec.upstream and inputs.upstream_changed:
        reason = "rows that the champion was trained on were corrected since"
        causes.append(Cause("upstream", reason, inputs.tables))
    return causes, rest


def _drift(inputs: PolicyInputs) -> Cause | str:
    """So many of the last n windows of this champion, each of which counts once."""
    needed, of = inputs.drift_windows
    last, spent = inputs.windows[-of:], inputs.spent("drift")
    hits = [window.as_of for window in last if window.drifted and window.as_of not in spent]
    text = f"{len(hits)} of the last {len(last)} judged windows drifted, {needed} of {of} ask for it"
    acted = sum(window.drifted and window.as_of in spent for window in last)
    text += f"; {acted} more led to a request before" * bool(acted)
    return Cause("drift", text, tuple(hits)) if inputs.spec.drift and len(hits) >= needed else text


def _decay(inputs: PolicyInputs) -> Cause | str | None:
    """The newest period that has a figure, against the gate's."""
    decay = inputs.spec.decay
    if decay is None or inputs.gate_value is None or not inputs.values:
        return None
    newest = inputs.values[-1]
    loss = relative_loss(inputs.metric, inputs.gate_value, newest.value)
    text = (
        f"{inputs.metric} {newest.value:.4g} on {newest.n_labelled} labelled rows of {newest.as_of} against "
        f"{inputs.gate_value:.4g} at the gate: loss {loss:+.1%}, retraining.decay is {decay:.1%}"
    )
    before = inputs.spent("decay").get(newest.as_of)
    if loss < decay:
        return text
    return Cause("decay", text, (newest.as_of,)) if before is None else f"{text}; request {before} was made of it"


def _counts(inputs: PolicyInputs) -> list[Cause | str]:
    found: list[Cause | str] = []
    kinds: list[tuple[Kind, int | None, int]] = [
        ("new_rows", inputs.spec.new_rows, inputs.rows_since),
        ("new_labels", inputs.spec.new_labels, inputs.labels_since),
    ]
    for kind, bound, count in kinds:
        if bound is not None:
            since = "the last request for them" if inputs.last_asked(kind) else "the champion's training"
            text = f"{count} {kind.replace('_', ' ')} since {since}, retraining.{kind} is {bound}"
            found.append(Cause(kind, text, (inputs.as_of,)) if count >= bound else text)
    return found


def _calendar(inputs: PolicyInputs) -> Cause | str | None:
    every, trained = inputs.spec.every, inputs.training_as_of
    if every is None or trained is None:
        return None
    asked = inputs.last_asked("calendar")
    since = trained if asked is None else max(trained, asked)
    what = "trained" if since == trained else "last asked to be renewed by the calendar"
    age = inputs.as_of_time - since
    text = f"the champion was {what} {_days(age)} ago, retraining.every is {format_duration(every)}"
    return Cause("calendar", text, (inputs.as_of,)) if age >= every else text


def _code(inputs: PolicyInputs) -> Cause | str:
    """Changed files ask once; what could not be judged for want of rows asks again when these have come."""
    text = "the model's files changed since the champion's training"
    same = [asked for asked in inputs.asked if inputs.code in asked.found.get("code", ())]
    if not same:
        return Cause("code", text, (inputs.code,))
    newest = max(same, key=lambda asked: (asked.as_of_time, asked.id))
    if not newest.is_unjudged:
        return f"{text}; request {newest.id} was made of it"
    if newest.labels_since < inputs.min_rows:
        return (
            f"{text}; request {newest.id} could not be judged; {newest.labels_since} labelled rows have come since, "
            f"gate.min_rows is {inputs.min_rows}"
        )
    return Cause("code", text, (inputs.code,))


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
        "recent": [[each.as_of, each.value, each.n_labelled] for each in inputs.values[-3:]],
        "drifted": [[each.as_of, each.drifted] for each in inputs.windows[-inputs.drift_windows[1] :]],
        "rows_since": inputs.rows_since,
        "labels_since": inputs.labels_since,
        "labelled_rows": inputs.labelled_rows,
        "history_days": _history(inputs) / timedelta(days=1),
        "code_changed": inputs.code_changed,
        "upstream_changed": inputs.upstream_changed,
    }
