"""Follows the ledger: every new sequence number is applied and acknowledged; a dead store changes nothing."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from evergreen.serving.journal import Journal
from evergreen.serving.routes import Route, Routes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evergreen.lake.lake import Lake
    from evergreen.store.store import Store

log = logging.getLogger(__name__)


class Follower(threading.Thread):
    """Polls the store, applies routes, acknowledges, and ships the logs.

    Args:
        instance: This gateway's name among the live ones.
        url: Where it answers.
        poll_seconds: Pause between two looks; promotions are followed within this and the loading time.
    """

    def __init__(
        self,
        store: Store,
        lake: Lake,
        routes: Routes,
        journals: Sequence[Journal],
        *,
        instance: str,
        url: str,
        poll_seconds: float = 0.5,
    ) -> None:
        super().__init__(name="follower", daemon=True)
        self._store, self._lake, self._routes, self._journals = store, lake, routes, journals
        self._instance, self._url, self._poll_seconds = instance, url, poll_seconds
        self._stop_asked = threading.Event()
        self.last_seen: float | None = None

    def run(self) -> None:
        """Goes round until stopped; a failing round is told and tried again, ever more slowly, up to 5 s."""
        pause = self._poll_seconds
        while not self._stop_asked.wait(pause):
            try:
                self.follow()
                self.ship()
                pause = self._poll_seconds
            except Exception as error:  # whatever is down must not take the gateway with it
                log.warning("Did not follow: %s: %s", type(error).__name__, str(error)[:300])
                pause = min(5.0, pause * 2)

    def stop(self) -> None:
        """Asks the thread to end, says goodbye to the store and ships what is left."""
        from evergreen.store.gateways import Gateways

        self._stop_asked.set()
        self.join(timeout=10)
        try:
            for journal in self._journals:
                journal.close_due(everything=True)
            self.ship()
            Gateways(self._store).remove(self._instance)
        except Exception as error:
            log.warning("Left without a goodbye: %s: %s", type(error).__name__, str(error)[:300])

    def follow(self) -> None:
        """One look at the ledgers of all models."""
        from evergreen.store.gateways import Gateways
        from evergreen.store.ledger import Ledger

        gateways = Gateways(self._store)
        ledger = Ledger(self._store)
        for model in ledger.models():
            seq = ledger.seq(model)
            applied = self._routes.applied().get(model)
            if applied is None or applied.seq != seq:
                route = self._route(model, seq)
                if route is not None:
                    self._routes.apply(route, self._lake)
            now = self._routes.applied().get(model)
            if now is not None:
                gateways.beat(self._instance, model, now.seq, self._url)
        self.last_seen = time.monotonic()

    def ship(self) -> None:
        """Closes and ships what is due."""
        for journal in self._journals:
            journal.close_due()
            journal.ship(self._lake)

    def _route(self, model: str, seq: int) -> Route | None:
        from evergreen.store.ledger import Ledger
        from evergreen.store.trainings import Trainings

        ledger, trainings = Ledger(self._store), Trainings(self._store)
        champion = ledger.champion(model)
        if champion is None or champion.version is None:
            return None
        training = trainings.by_version(model, champion.version)
        if training is None or training.bundle is None:
            log.error("%s version %s has no bundle; the one before goes on serving", model, champion.version)
            return None
        good = ledger.last_good(model)
        before = None if good is None or good.version is None else trainings.by_version(model, good.version)
        return Route(
            model,
            seq,
            champion.version,
            training.bundle,
            None if before is None else before.adopted_version,
            None if before is None else before.bundle,
        )
