"""The gate: a pure function from figures to a verdict with its reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from evergreen.evaluation.bootstrap import Interval
from evergreen.evaluation.metrics import Scores, better, gain
from evergreen.spec.model import GREATER_IS_BETTER, Gate
from evergreen.spec.timing import format_duration

Verdict = Literal["accept", "refuse", "cannot_judge"]


@dataclass(frozen=True)
class PredictionFacts:
    """What the candidate's predictions look like.

    Attributes:
        n: How many.
        n_not_finite: How many are NaN or infinite.
        n_distinct: How many different finite ones.
        spread: Largest minus smallest finite one.
    """

    n: int
    n_not_finite: int
    n_distinct: int
    spread: float


@dataclass(frozen=True)
class Rival:
    """Somebody the candidate is compared with, on the same rows; version 0 is the naive baseline."""

    version: int
    scores: Scores
    interval: Interval | None = None


@dataclass(frozen=True)
class GateInputs:
    """All that the gate decides by.

    Attributes:
        model: Its name.
        task: Of the spec.
        metric: The one that decides.
        gate: The spec's section.
        n_rows: Judged rows.
        judged_from: First event time of them.
        judged_through: Last event time of them.
        label_classes: Distinct classes among their labels; ``None`` in regression.
        fitted_classes: Distinct classes among the fitted labels; ``None`` in regression.
        candidate: Its metrics.
        facts: About its predictions.
        champions: The champion and the remembered ones.
        baseline: The naive guess.
        importance: ``(feature, share)`` of the candidate, largest first.
        rows_of_parts: Rows of the candidate's fit, validation and test part.
        nulls: Share of nulls of each of its features in the rows that it learnt from.
        gap: Time that lies free between the end of a training and the rows that it is judged on.
        too_close: Rows of the test part that are not judged, since one of the judged was trained too close to them.
    """

    model: str
    task: str
    metric: str
    gate: Gate
    n_rows: int
    judged_from: datetime | None
    judged_through: datetime | None
    label_classes: int | None
    fitted_classes: int | None
    candidate: Scores
    facts: PredictionFacts
    champions: list[Rival] = field(default_factory=list)
    baseline: Rival | None = None
    importance: list[tuple[str, float]] = field(default_factory=list)
    rows_of_parts: dict[str, int] = field(default_factory=dict)
    nulls: dict[str, float] = field(default_factory=dict)
    gap: timedelta = timedelta(0)
    too_close: int = 0


@dataclass(frozen=True)
class GateDecision:
    """The verdict.

    Attributes:
        verdict: ``accept``, ``refuse`` or ``cannot_judge``; only the first may be promoted.
        reasons: Each with its figure, its threshold and what to do next.
        figures: Everything that was weighed, JSON.
    """

    verdict: Verdict
    reasons: list[str]
    figures: dict[str, Any]


def decide(inputs: GateInputs) -> GateDecision:
    """Decides on a candidate.

    In this order, the first that speaks decides: too few rows; predictions that are not numbers; constant predictions;
    labels of one class; too good to be true; then floors, naive baseline and champions together.
    """
    figures = _figures(inputs)
    for rule in (_too_few, _not_numbers, _constant, _one_class, _leak):
        found = rule(inputs)
        if found is not None:
            verdict, reasons = found
            return GateDecision(verdict, reasons, figures)
    value = inputs.candidate.get(inputs.metric)
    if value is None:
        why = inputs.candidate.reasons.get(inputs.metric, "it was not computed")
        return GateDecision(
            "cannot_judge", [f"{inputs.metric} cannot be computed: {why}. Wait for more labelled rows."], figures
        )
    refusals = [*_floors(inputs), *_against_baseline(inputs, value), *_against_champions(inputs, value)]
    if refusals:
        return GateDecision("refuse", refusals, figures)
    return GateDecision("accept", [_praise(inputs, value)], figures)


Found = tuple[Verdict, list[str]] | None


def _too_few(inputs: GateInputs) -> Found:
    if inputs.n_rows >= inputs.gate.min_rows:
        return None
    gap = f" or until less than {format_duration(inputs.gap)} (split.gap) before" if inputs.gap else ""
    close = (
        f"; {inputs.too_close} more of the test part are not judged, since one of the judged was trained on them{gap}"
        if inputs.too_close
        else ""
    )
    return "cannot_judge", [
        f"{inputs.n_rows} labelled rows to judge on are fewer than gate.min_rows {inputs.gate.min_rows}{close}. "
        f"Wait for more labels, lengthen split.test, or lower gate.min_rows in {_file(inputs)}."
    ]


def _not_numbers(inputs: GateInputs) -> Found:
    if inputs.facts.n_not_finite == 0:
        return None
    return "refuse", [
        f"{inputs.facts.n_not_finite} of {inputs.facts.n} predictions are NaN or infinite (0 allowed). "
        f"Check the features and trainer.params in {_file(inputs)}."
    ]


def _constant(inputs: GateInputs) -> Found:
    if inputs.facts.n_distinct > 1:
        return None
    reasons = [
        f"The predictions are constant: {inputs.facts.n_distinct} distinct value in {inputs.facts.n} rows (at least 2 "
        f"needed). Check that the features vary and that trainer.params in {_file(inputs)} let the model learn."
    ]
    if inputs.fitted_classes == 1:
        reasons.append("It was fitted on labels of one class only (2 needed). Wait for labels of another class.")
    if inputs.label_classes == 1:
        reasons.append(_ONE_CLASS.format(n=inputs.n_rows))
    return "refuse", reasons


_ONE_CLASS = (
    "All {n} judged labels are of one class (2 needed). Check the label column, or wait for labels of another class."
)


def _one_class(inputs: GateInputs) -> Found:
    if inputs.label_classes is None or inputs.label_classes > 1:
        return None
    return "cannot_judge", [_ONE_CLASS.format(n=inputs.n_rows)]


def _leak(inputs: GateInputs) -> Found:
    too_good = _declared_bound(inputs) if inputs.gate.suspicious is not None else _default_bound(inputs)
    if too_good is None:
        return None
    named = ", ".join(
        f"{name} ({share:.0%} of the importance)" for name, share in inputs.importance[:3] if share > 0.05
    )
    return "refuse", [
        f"{too_good}: this looks like a leak, a feature that knows the outcome."
        + (f" Most important: {named}." if named else "")
        + f" Remove the feature, or, if it is right, set gate.suspicious in {_file(inputs)}."
    ]


def _declared_bound(inputs: GateInputs) -> str | None:
    bound, value = inputs.gate.suspicious, inputs.candidate.get(inputs.metric)
    if bound is None or value is None:
        return None
    if bound.max is not None and value >= bound.max:
        return f"{inputs.metric} {value:.6g} is at or above gate.suspicious.max {bound.max:g}"
    if bound.min is not None and value <= bound.min:
        return f"{inputs.metric} {value:.6g} is at or below gate.suspicious.min {bound.min:g}"
    return None


DOMINANT = 0.9
"""Share of the importance from which a few top features alone make a good model suspicious sooner."""


def _default_bound(inputs: GateInputs) -> str | None:
    """Bounds of our own where the spec has none: almost perfect, or very good by one feature alone."""
    dominated = bool(inputs.importance) and inputs.importance[0][1] >= DOMINANT
    if inputs.task == "regression":
        return _reaches(inputs, "r2", 0.98 if dominated else 0.995) or _almost_no_error(inputs)
    if inputs.task == "binary":
        return _reaches(inputs, "roc_auc", 0.99 if dominated else 0.999)
    guess = None if inputs.baseline is None else inputs.baseline.scores.get("accuracy")
    return _reaches(inputs, "accuracy", 0.999) if guess is None or guess < 0.99 else None


def _reaches(inputs: GateInputs, metric: str, bound: float) -> str | None:
    value = inputs.candidate.get(metric)
    return f"{metric} {value:.6g} is at or above {bound:g}" if value is not None and value >= bound else None


def _almost_no_error(inputs: GateInputs) -> str | None:
    metric, share = "mean_absolute_error", 0.05
    value = inputs.candidate.get(metric)
    guess = None if inputs.baseline is None else inputs.baseline.scores.get(metric)
    if value is None or not guess or value > share * guess:
        return None
    return f"{metric} {value:.6g} is at or below {share:.0%} of the naive guess's {guess:.6g}"


def _floors(inputs: GateInputs) -> list[str]:
    reasons = []
    for metric, bound in inputs.gate.floors.items():
        value = inputs.candidate.get(metric)
        place = f"gate.floors.{metric}"
        if value is None:
            why = inputs.candidate.reasons.get(metric, "it was not computed")
            reasons.append(f"{metric} cannot be held against {place}: {why}. Remove the floor or wait for more rows.")
            continue
        if bound.min is not None and value < bound.min:
            reasons.append(f"{metric} {value:.6g} is below {place}.min {bound.min:g}. {_IMPROVE}")
        if bound.max is not None and value > bound.max:
            reasons.append(f"{metric} {value:.6g} is above {place}.max {bound.max:g}. {_IMPROVE}")
    return reasons


_IMPROVE = "Improve the features or the trainer, or change the floor."


def _against_baseline(inputs: GateInputs, value: float) -> list[str]:
    guess = None if inputs.baseline is None else inputs.baseline.scores.get(inputs.metric)
    if guess is None or better(inputs.metric, value, guess):
        return []
    return [
        f"{inputs.metric} {value:.6g} is not better than the naive guess's {guess:.6g} on the same {inputs.n_rows} "
        "rows. The features say nothing about these labels: check them, or train on more data."
    ]


def best_champion(inputs: GateInputs) -> tuple[int, float] | None:
    """Version and figure of the best of the remembered champions on these rows."""
    known = [(rival.version, rival.scores.get(inputs.metric)) for rival in inputs.champions[: inputs.gate.memory]]
    judged = [(version, value) for version, value in known if value is not None]
    if not judged:
        return None
    sign = 1.0 if inputs.metric in GREATER_IS_BETTER else -1.0
    return max(judged, key=lambda pair: (sign * pair[1], pair[0]))


def _against_champions(inputs: GateInputs, value: float) -> list[str]:
    best = best_champion(inputs)
    if best is None:
        return []
    version, figure = best
    allowed = inputs.gate.tolerance * abs(figure)
    if -gain(inputs.metric, value, figure) <= allowed:
        return []
    return [
        f"{inputs.metric} {value:.6g} is worse than version {version}'s {figure:.6g}, the best of the last "
        f"{len(inputs.champions[: inputs.gate.memory])} champion(s), on the same {inputs.n_rows} rows; gate.tolerance "
        f"{inputs.gate.tolerance:g} allows {allowed:.6g}.{_sureness(inputs, version)} "
        f"The champion goes on serving; train again on newer data, or raise gate.tolerance in {_file(inputs)}."
    ]


def _praise(inputs: GateInputs, value: float) -> str:
    best = best_champion(inputs)
    rows = f"on {inputs.n_rows} rows"
    if best is not None:
        version, figure = best
        return (
            f"{inputs.metric} {value:.6g} against {figure:.6g} of version {version}, the best of the last "
            f"{len(inputs.champions[: inputs.gate.memory])} champion(s), {rows} (gate.tolerance "
            f"{inputs.gate.tolerance:g}).{_sureness(inputs, version)}"
        )
    guess = None if inputs.baseline is None else inputs.baseline.scores.get(inputs.metric)
    against = "" if guess is None else f", better than the naive guess's {guess:.6g}"
    return f"{inputs.metric} {value:.6g} {rows}{against}; there is no champion to compare with."


def _sureness(inputs: GateInputs, version: int) -> str:
    interval = next((rival.interval for rival in inputs.champions if rival.version == version), None)
    if interval is None:
        return ""
    return f" Gain between {interval.low:+.4g} and {interval.high:+.4g} (95 % interval)."


def _file(inputs: GateInputs) -> str:
    return f"models/{inputs.model}.yaml"


def _figures(inputs: GateInputs) -> dict[str, Any]:
    best = best_champion(inputs)
    return {
        "metric": inputs.metric,
        "n_rows": inputs.n_rows,
        "judged_from": None if inputs.judged_from is None else inputs.judged_from.isoformat(),
        "judged_through": None if inputs.judged_through is None else inputs.judged_through.isoformat(),
        "min_rows": inputs.gate.min_rows,
        "tolerance": inputs.gate.tolerance,
        "label_classes": inputs.label_classes,
        "candidate": inputs.candidate.values,
        "unsaid": inputs.candidate.reasons,
        "n_not_finite": inputs.facts.n_not_finite,
        "n_distinct": inputs.facts.n_distinct,
        "baseline": None if inputs.baseline is None else _rival(inputs.baseline),
        "champions": [_rival(rival) for rival in inputs.champions[: inputs.gate.memory]],
        "best_champion": None if best is None else {"version": best[0], "value": best[1]},
        "importance": [[name, share] for name, share in inputs.importance[:10]],
        "rows": inputs.rows_of_parts,
        "nulls": {name: share for name, share in inputs.nulls.items() if share},
        "gap": format_duration(inputs.gap),
        "too_close": inputs.too_close,
    }


def _rival(rival: Rival) -> dict[str, Any]:
    interval = None if rival.interval is None else rival.interval.to_dict()
    return {"version": rival.version, "values": rival.scores.values, "gain": interval}
