"""What a validation found: our own small types, as JSON small enough for any message."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from evergreen.errors import shorten

_BUDGET = 3200  # bytes of JSON for single failures, within the 4 KB of the whole


@dataclass(frozen=True)
class Outcome:
    """What became of one expectation.

    Attributes:
        expect: Its full name.
        column: Its column, if it has one.
        severity: As declared.
        success: Whether every row (or the aggregate) holds; where ``mostly`` is given, whether that share of rows does.
        stops: Whether the run must publish nothing because of it.
        observed: What was measured: the aggregate's value, or for rows what the first bad ones hold.
        unexpected: How many rows break it (0 of aggregates).
        share: Share of the rows with a value that hold (1 without rows; 0 or 1 of aggregates).
        rule: The rule in words, such as ``temp must be between -40 and 120``.
    """

    expect: str
    column: str | None
    severity: Literal["error", "warn"]
    success: bool
    stops: bool
    observed: Any
    unexpected: int
    share: float
    rule: str


@dataclass(frozen=True)
class Verdict:
    """What became of all of them.

    Attributes:
        success: False when an aggregate of severity ``error`` fails or too few rows hold: the run publishes nothing.
        rows: How many rows were looked at.
        results: One outcome per expectation, in the declared order.
        bad_rows: Index of each row that breaks an expectation of severity ``error``, with its reasons.
        rules: Index of each such row, with the name of the first expectation that it breaks.
    """

    success: bool
    rows: int
    results: tuple[Outcome, ...]
    bad_rows: dict[int, list[str]] = field(default_factory=dict)
    rules: dict[int, str] = field(default_factory=dict)

    @property
    def failures(self) -> list[Outcome]:
        """Outcomes without success, those that stop the run first."""
        return sorted((each for each in self.results if not each.success), key=lambda each: not each.stops)

    def to_dict(self) -> dict[str, Any]:
        """Small JSON (below 4 KB): figures, and as many failures as fit."""
        shown: list[dict[str, Any]] = []
        size = 0
        failures = self.failures
        for each in failures:
            entry = {
                "rule": shorten(each.rule, 160),
                "severity": each.severity,
                "stops": each.stops,
                "unexpected": each.unexpected,
                "share": round(each.share, 6),
                "observed": shorten(str(each.observed), 80),
            }
            size += len(json.dumps(entry)) + 2
            if size > _BUDGET:
                break
            shown.append(entry)
        return {
            "success": self.success,
            "rows": self.rows,
            "bad_rows": len(self.bad_rows),
            "expectations": len(self.results),
            "failed": len(failures),
            "failures": shown,
            "omitted": len(failures) - len(shown),
        }


def stop_reason(verdict: Verdict, *, rows_read: int, quarantined: int, max_quarantined: float) -> str | None:
    """Whether a run must publish nothing, and why.

    Args:
        verdict: Of the good rows.
        rows_read: All rows that the run covers.
        quarantined: Rows set aside by reading and by validation together.
        max_quarantined: Largest share of ``rows_read`` that may be set aside, 0 to 1.

    Returns:
        The reasons in one sentence with figures and what to do, or ``None`` when the run may publish.
    """
    reasons = [f"{each.rule}: {_figures(each)}" for each in verdict.results if each.stops]
    if rows_read and quarantined / rows_read > max_quarantined:
        reasons.append(
            f"{quarantined} of {rows_read} rows ({quarantined / rows_read:.2%}) were set aside, "
            f"and max_quarantined is {max_quarantined:.2%}"
        )
    if not reasons:
        return None
    return "; ".join(reasons) + ". Nothing was published: repair the source, or correct the dataset's rules."


def _figures(outcome: Outcome) -> str:
    if outcome.unexpected:
        return f"only {outcome.share:.2%} of the rows hold ({outcome.unexpected} do not)"
    return f"got {shorten(str(outcome.observed), 80)}"
