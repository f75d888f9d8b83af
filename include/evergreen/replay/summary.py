"""The story as figures: every cell is queried from the store; the caller brings only its stopwatch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evergreen.store.store import Store

KINDS_OF_ACTIONS = {"promote": "promoted", "roll_back": "rolled_back", "release": "released"}


def periods(
    store: Store, model: str, *, datasets: Sequence[str], metric: str, keys: Sequence[str]
) -> list[dict[str, Any]]:
    """One entry a period, in the order of ``keys``, as ``summary.json`` holds it.

    Rows are summed over all runs of all datasets that closed since the period before.
    """
    from evergreen.store.decisions import Decisions
    from evergreen.store.periods import Periods
    from evergreen.store.row_counts import RowCounts

    counts = [row for name in datasets for row in RowCounts(store).of(name)]
    ends = {row.as_of: row.as_of_time for row in counts if row.as_of in keys}
    figures = Periods(store).of(model)
    drift = {d.as_of: d for d in Decisions(store).of(model, kind="drift")}
    events = _events(store, model)
    told = []
    before = datetime.min.replace(tzinfo=UTC)
    for key in keys:
        if key not in ends:
            continue
        mine = [row for row in counts if before < row.as_of_time <= ends[key]]
        before = ends[key]
        by_role = {row.role: row for row in figures if row.as_of == key and row.metric == metric}
        champion, first = by_role.get("champion"), by_role.get("first")
        verdict = drift[key].verdict if key in drift else None
        told.append(
            {
                "as_of": key,
                "rows_source": sum(row.rows_read for row in mine),
                "rows_good": sum(row.good for row in mine),
                "rows_quarantined": sum(row.quarantined for row in mine),
                "rows_superseded": sum(row.superseded for row in mine),
                "champion_version": None if champion is None else champion.version,
                "metric_frozen": None if first is None else first.value,
                "metric_served": None if champion is None else champion.value,
                "metric_logged": _logged(figures, key, metric),
                "drift": {"drift": True, "no drift": False}.get(verdict or ""),
                "events": events.get(key, []),
            }
        )
    return told


def _logged(figures: Sequence[Any], key: str, metric: str) -> float | None:
    rows = [
        row
        for row in figures
        if row.as_of == key and row.role == "logged" and row.metric == metric and row.value is not None
    ]
    return max(rows, key=lambda row: row.n_labelled).value if rows else None


def _events(store: Store, model: str) -> dict[str, list[dict[str, Any]]]:
    """Events by as_of, in the order in which things are done: asked, trained, judged, promoted, acted."""
    from evergreen.store.decisions import Decisions
    from evergreen.store.ledger import Ledger
    from evergreen.store.requests import Requests
    from evergreen.store.trainings import Trainings

    found: dict[str, list[dict[str, Any]]] = {}

    def tell(as_of: str, kind: str, version: int | None, cause: str, reason: str) -> None:
        event = {"kind": kind, "version": version, "cause": cause, "reason": reason}
        found.setdefault(as_of, []).append(event)

    decisions = Decisions(store)
    for decision in decisions.of(model, kind="retraining"):
        if decision.verdict != "retrain":
            tell(decision.as_of, "retrain_not_needed", None, decision.verdict, "; ".join(decision.reasons))
    for request in Requests(store).of(model):
        tell(request.as_of, "retrain_requested", None, request.cause, request.reason)
    for training in Trainings(store).of(model):
        tell(training.as_of, "trained", training.adopted_version, ",".join(training.causes), training.training_id[:12])
    for kind, fine in (("training", "trained"), ("gate", "accept"), ("deployment", "promote")):
        for decision in decisions.of(model, kind=kind):
            if decision.verdict != fine:
                tell(decision.as_of, "refused", decision.version, decision.verdict, "; ".join(decision.reasons))
    for entry in Ledger(store).entries(model):
        tell(entry.as_of, KINDS_OF_ACTIONS[entry.action], entry.version, entry.actor, entry.reason)
        if entry.holds:
            tell(entry.as_of, "held", entry.version, entry.actor, "candidates asked for before never promote")
    return found
