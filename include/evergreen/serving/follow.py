"""Follows the ledger: every new server is applied and acknowledged; a dead store changes nothing."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from evergreen.errors import DataError, shorten
from evergreen.serving.heartbeat import Heartbeat
from evergreen.serving.routes import Route, Routes

if TYPE_CHECKING:
    from evergreen.lake.lake import Lake
    from evergreen.store.gateways import Applied
    from evergreen.store.history import Promotion
    from evergreen.store.ledger import Pulse
    from evergreen.store.store import Store
    from evergreen.store.trainings import Training

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""Pause before a route that could not be applied is tried again."""

ROUND_SECONDS = 1.0
"""So long versions are loaded between two looks at the ledger: the newest promotion waits for no backlog."""

READ_AT_ONCE = 100
"""Models of which ledger and trainings are read in one round."""


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
        self._heartbeat = Heartbeat(store, instance=instance, url=url)
        self._reported: dict[str, Applied] = {}
        self._servers: dict[str, int] = {}
        self._failed: dict[str, tuple[int, float]] = {}
        self._rest: Pulse | None = None
        self._store_fault: str | None = None
        self.last_seen: float | None = None
        self.faults: dict[str, str] = {}

    def run(self) -> None:
        """Goes round until stopped; while the store does not answer, more slowly, every 2 s."""
        self._heartbeat.start()
        while True:
            is_behind = False
            try:
                is_behind = self.follow(ROUND_SECONDS)
                fault = None
            except Exception as error:  # whatever is down must not take the gateway with it
                fault = f"{type(error).__name__}: {shorten(str(error), 300)}"
            if fault is not None and self._store_fault is None:
                log.warning("Cannot follow promotions; serving on from local copies: %s", fault)
            if fault is None and self._store_fault is not None:
                log.info("Following promotions again")
            self._store_fault = fault
            pause = 2.0 if fault is not None else 0.0 if is_behind else self._poll_seconds
            if self._stop_asked.wait(pause):
                return

    def ask_to_stop(self) -> None:
        """Asks the threads to end; returns at once."""
        self._heartbeat.ask_to_stop()
        self._stop_asked.set()

    def finish(self, timeout_seconds: float) -> None:
        """Waits a while for the threads' end and says goodbye to the store, if that answers."""
        from evergreen.store.gateways import Gateways

        deadline = time.monotonic() + timeout_seconds
        self.join(timeout_seconds)
        if self._heartbeat.is_alive():
            self._heartbeat.join(max(0.0, deadline - time.monotonic()))
        try:
            if self._store_fault is None and not self.is_alive() and not self._heartbeat.is_alive():
                Gateways(self._store).remove(self._instance)
                self._store.close()
        except Exception as error:
            log.warning("Left without a goodbye: %s", shorten(str(error), 300))

    def follow(self, budget_seconds: float = math.inf) -> bool:
        """One look at the ledgers of all models. A model that cannot be followed keeps no other from it.

        A round after one that left nothing to do, in which nothing has changed, looks at no model. In any other local
        copies are proven and mended first, which needs no store; then what the ledgers say is applied, the newest
        promotion first, and acknowledged.

        Args:
            budget_seconds: After so long no further model is begun, of either kind.

        Returns:
            Whether something is left to do at once.

        Raises:
            EvergreenError: When the store does not answer.
        """
        from evergreen.store.ledger import Ledger, Pulse

        if self._is_at_rest():
            self._routes.save()
            return False
        self._routes.shelf.has_lost.clear()  # before the look: what is lost from here on is looked at next time
        is_behind = self._mend(budget_seconds)
        self._routes.save()
        servers = self._servers = Ledger(self._store).servers()
        self.last_seen = time.monotonic()
        moved = [model for model, seq in servers.items() if self._is_due(model, seq)]
        until = time.monotonic() + budget_seconds
        done = 0
        for model, route in self._asked(moved[:READ_AT_ONCE]).items():
            self._guarded(model, servers[model], route)
            done += 1
            if time.monotonic() > until:
                break
        self._routes.save()
        self._report(servers)
        is_behind = is_behind or done < len(moved)
        if not is_behind:
            self._rest = Pulse.of(servers)
        return is_behind

    def _is_at_rest(self) -> bool:
        """Whether the last round left nothing to do and nothing has changed since.

        Besides the ledgers that is a version that was lost from memory or disk, a pause after a failed try that is
        over, and a store that has forgotten this gateway. After any fault the next round looks at every model.
        """
        from evergreen.store.ledger import Ledger

        rest, self._rest = self._rest, None
        if rest is None or self._routes.shelf.has_lost.is_set() or self._heartbeat.was_unknown.is_set():
            return False
        if any(time.monotonic() >= until for _, until in self._failed.values()):
            return False
        if Ledger(self._store).pulse() != rest:
            return False
        self.last_seen = time.monotonic()
        self._rest = rest
        return True

    def _is_due(self, model: str, seq: int) -> bool:
        """Whether a model is served by another entry, and not in the pause after a failed try."""
        target = self._routes.target(model)
        return (target is None or target.route.seq != seq) and not self._is_pausing(model, seq)

    def _is_pausing(self, model: str, seq: int) -> bool:
        failed = self._failed.get(model)
        return failed is not None and failed[0] == seq and time.monotonic() < failed[1]

    def _mend(self, budget_seconds: float) -> bool:
        """Loads, once in this process, what was taken up from local disk, and fetches anew what is broken.

        What was promoted last comes first, as far as the ledger is known.
        """
        until = time.monotonic() + budget_seconds
        targets = self._routes.targets()
        for model in dict.fromkeys((*self._servers, *targets)):
            target = targets.get(model)
            if target is None:
                continue
            seq = target.route.seq
            is_newest = self._servers.get(model, seq) == seq  # else what comes after it is tried instead
            if not is_newest or target.is_complete or self._is_pausing(model, seq):
                continue
            if time.monotonic() > until:
                return True
            self._guarded(model, seq, target.route)
        return False

    def _guarded(self, model: str, seq: int, route: Route | DataError) -> None:
        """Applies a route; a fault is kept for ``/health`` and the store, and tried again after a pause."""
        try:
            if isinstance(route, DataError):
                raise route
            self._routes.apply(route, self._lake, save=False)
        except Exception as error:
            text = f"seq {seq}: {shorten(str(error), 500)}"
            if self.faults.get(model) != text:
                log.error("Cannot serve %s as the ledger says, %s", model, text)
            self.faults[model] = text
            self._failed[model] = (seq, time.monotonic() + RETRY_SECONDS)
        else:
            self.faults.pop(model, None)
            self._failed.pop(model, None)

    def _asked(self, models: list[str]) -> dict[str, Route | DataError]:
        """The routes that ledgers ask for: two looks for all models."""
        from evergreen.store import history
        from evergreen.store.ledger import Ledger
        from evergreen.store.trainings import Trainings

        if not models:
            return {}
        ledgers = Ledger(self._store).entries_of(models)
        named = {
            (model, entry.version)
            for model, entries in ledgers.items()
            for entry in (history.champion(entries), history.last_good(entries))
            if entry is not None and entry.version is not None
        }
        trainings = Trainings(self._store).by_versions(named)
        return {model: _route(model, ledgers[model], trainings) for model in models}

    def _report(self, servers: Mapping[str, int]) -> None:
        """Tells the store what has changed of what is served, all of it at once."""
        from evergreen.store.gateways import Applied, Gateways

        if self._heartbeat.was_unknown.is_set():
            self._heartbeat.was_unknown.clear()
            self._reported = {}
        changed = {}
        for model, seq in servers.items():
            target = self._routes.target(model)
            applied = target.route.seq if target is not None and target.is_applied else 0
            fault = self.faults.get(model, "")
            now = Applied(applied, seq if fault else 0, fault)
            if self._reported.get(model, Applied(0)) != now:
                changed[model] = now
        if changed:
            is_new = Gateways(self._store).report(self._instance, self._url, changed)
            if is_new and self._reported:  # the store had forgotten this gateway, and all that it was told before
                self._heartbeat.was_unknown.set()
            self._reported |= changed


def _route(model: str, entries: list[Promotion], trainings: Mapping[tuple[str, int], Training]) -> Route | DataError:
    """The route that a model's ledger asks for, or what is wrong with that."""
    from evergreen.store import history

    champion, good = history.champion(entries), history.last_good(entries)
    if champion is None or champion.version is None:
        return DataError(f"the ledger of {model}", "must name a version that serves")
    training = trainings.get((model, champion.version))
    if training is None or training.bundle is None:
        return DataError(f"{model} version {champion.version}", "must be adopted by a training that left a bundle")
    before = None if good is None or good.version is None else trainings.get((model, good.version))
    if before is None or before.bundle is None:
        return Route(model, champion.seq, champion.version, training.bundle)
    return Route(model, champion.seq, champion.version, training.bundle, before.adopted_version, before.bundle)
