"""Follows the ledger: every new sequence number is applied and acknowledged; a dead store changes nothing."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from evergreen.errors import DataError, shorten
from evergreen.serving.routes import Route, Routes

if TYPE_CHECKING:
    from evergreen.lake.lake import Lake
    from evergreen.store.store import Store

log = logging.getLogger(__name__)

BEAT_SECONDS = 3.0
"""How often a gateway says that it lives; a deployment counts it as gone after 15 s."""

RETRY_SECONDS = 5.0
"""Pause before a route that could not be applied is tried again."""


class Follower(threading.Thread):
    """Polls the store, applies routes and acknowledges those that are served.

    Args:
        instance: This gateway's name among the live ones.
        url: Where it answers.
        poll_seconds: Pause between two looks; promotions are followed within this and the loading time.
    """

    def __init__(
        self, store: Store, lake: Lake, routes: Routes, *, instance: str, url: str, poll_seconds: float = 0.5
    ) -> None:
        super().__init__(name="follower", daemon=True)
        self._store, self._lake, self._routes = store, lake, routes
        self._instance, self._url, self._poll_seconds = instance, url, poll_seconds
        self._stop_asked = threading.Event()
        self._beaten: dict[str, tuple[int, float]] = {}
        self._failed: dict[str, tuple[int, float]] = {}
        self._store_fault: str | None = None
        self.last_seen: float | None = None
        self.faults: dict[str, str] = {}

    def run(self) -> None:
        """Goes round until stopped; while the store does not answer, more slowly, every 2 s."""
        while True:
            try:
                self.follow()
                fault = None
            except Exception as error:  # whatever is down must not take the gateway with it
                fault = f"{type(error).__name__}: {shorten(str(error), 300)}"
            if fault is not None and self._store_fault is None:
                log.warning("Cannot follow promotions; serving on from local copies: %s", fault)
            if fault is None and self._store_fault is not None:
                log.info("Following promotions again")
            self._store_fault = fault
            if self._stop_asked.wait(self._poll_seconds if fault is None else 2.0):
                return

    def ask_to_stop(self) -> None:
        """Asks the thread to end; returns at once."""
        self._stop_asked.set()

    def finish(self, timeout_seconds: float) -> None:
        """Waits a while for the thread's end and says goodbye to the store, if that answers."""
        from evergreen.store.gateways import Gateways

        self.join(timeout_seconds)
        try:
            if self._store_fault is None and not self.is_alive():
                Gateways(self._store).remove(self._instance)
        except Exception as error:
            log.warning("Left without a goodbye: %s", shorten(str(error), 300))

    def follow(self) -> None:
        """One look at the ledgers of all models. A model that cannot be followed keeps no other from it.

        Raises:
            EvergreenError: When the store does not answer; broken local copies are mended all the same.
        """
        from evergreen.store.ledger import Ledger

        heads: dict[str, int] = {}
        try:
            heads = Ledger(self._store).heads()
            self.last_seen = time.monotonic()
            for model, seq in heads.items():
                target = self._routes.target(model)
                if target is None or target.route.seq != seq:
                    self._guarded(model, seq)
            self._beat(heads)
        finally:
            for model, target in self._routes.targets().items():
                is_newest = heads.get(model, target.route.seq) == target.route.seq
                if is_newest and not target.is_complete:
                    self._guarded(model, target.route.seq, target.route)
            self._routes.save()

    def _guarded(self, model: str, seq: int, route: Route | None = None) -> None:
        """Applies a route; a fault is kept for ``/health`` and tried again after a pause."""
        failed = self._failed.get(model)
        if failed is not None and failed[0] == seq and time.monotonic() < failed[1]:
            return
        try:
            route = route or self._route(model)
            if route is not None:
                self._routes.apply(route, self._lake)
        except Exception as error:
            text = f"seq {seq}: {shorten(str(error), 500)}"
            if self.faults.get(model) != text:
                log.error("Cannot serve %s as the ledger says, %s", model, text)
            self.faults[model] = text
            self._failed[model] = (seq, time.monotonic() + RETRY_SECONDS)
        else:
            self.faults.pop(model, None)
            self._failed.pop(model, None)

    def _beat(self, heads: dict[str, int]) -> None:
        """Acknowledges what is served: at once when it is new, else now and then."""
        from evergreen.store.gateways import Gateways

        for model, target in self._routes.targets().items():
            if target.champion is None or model not in heads:
                continue
            seq, now = target.route.seq, time.monotonic()
            last_seq, last_at = self._beaten.get(model, (-1, 0.0))
            if seq != last_seq or now - last_at >= BEAT_SECONDS:
                Gateways(self._store).beat(self._instance, model, seq, self._url)
                self._beaten[model] = (seq, now)

    def _route(self, model: str) -> Route | None:
        """The route that a model's ledger asks for, of one look at it."""
        from evergreen.store import history
        from evergreen.store.ledger import Ledger
        from evergreen.store.trainings import Trainings

        entries = Ledger(self._store).entries(model)
        champion, good = history.champion(entries), history.last_good(entries)
        if champion is None or champion.version is None:
            return None
        trainings = Trainings(self._store)
        training = trainings.by_version(model, champion.version)
        if training is None or training.bundle is None:
            raise DataError(f"{model} version {champion.version}", "must be adopted by a training that left a bundle")
        before = None if good is None or good.version is None else trainings.by_version(model, good.version)
        return Route(
            model,
            entries[-1].seq,
            champion.version,
            training.bundle,
            None if before is None or before.bundle is None else before.adopted_version,
            None if before is None else before.bundle,
        )
