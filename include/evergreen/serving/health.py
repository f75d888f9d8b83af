"""What a gateway says of itself: what it serves, whether it follows and logs, and what there is to worry about."""

from __future__ import annotations

import time
from typing import Any

from evergreen.serving.follow import Follower
from evergreen.serving.journal import Journal
from evergreen.serving.routes import Routes, Target
from evergreen.serving.shipping import Shipper


class Health:
    """Looks at the parts of one gateway.

    Args:
        predictions: The log of answers.
        follower, shipper: ``None`` in a test of the interface alone.
    """

    def __init__(
        self, routes: Routes, predictions: Journal, follower: Follower | None, shipper: Shipper | None
    ) -> None:
        self._routes, self._predictions, self._follower, self._shipper = routes, predictions, follower, shipper
        self._began = time.monotonic()

    def report(self) -> dict[str, Any]:
        """As ``/health`` shows it."""
        told = {name: _told(target) for name, target in self._routes.targets().items()}
        concerns = self._concerns(told)
        seen = None if self._follower is None else self._follower.last_seen
        return {
            "status": "degraded" if concerns else "ok",
            "concerns": concerns,
            "models": told,
            "versions_in_memory": len(self._routes.shelf),
            "store_seen_seconds_ago": None if seen is None else round(time.monotonic() - seen, 1),
            "uptime_seconds": round(time.monotonic() - self._began, 1),
            "unlogged_predictions": self._predictions.failed_lines,
        }

    def _concerns(self, told: dict[str, dict[str, Any]]) -> list[str]:
        behind = {} if self._follower is None else dict(self._follower.faults)
        concerns = [f"{name}: {text}" for name, text in behind.items()]
        concerns += [
            f"{name}: {each['fault']}" for name, each in told.items() if "fault" in each and name not in behind
        ]
        concerns += [
            f"{name}: the champion failed on {each['champion_failures']} call(s), which the log explains"
            for name, each in told.items()
            if each["champion_failures"]
        ]
        unlogged = self._predictions.failed_lines
        if unlogged:
            concerns.append(f"{unlogged} prediction(s) were answered but not logged: the disk took no more")
        if self._routes.unsaved is not None:
            concerns.append(f"routes.json could not be written: {self._routes.unsaved}")
        if self._shipper is not None and self._shipper.fault is not None:
            waiting = self._shipper.waiting()
            concerns.append(f"the logs wait on disk ({waiting} segments): {self._shipper.fault}")
        return concerns


def _told(target: Target) -> dict[str, Any]:
    told: dict[str, Any] = {
        "version": target.answers,
        "seq": target.route.seq,
        "champion": target.route.version,
        "champion_failures": target.failures,
        "refused_calls": target.refused,
    }
    fault = target.fault
    return told if fault is None else {**told, "fault": fault}
