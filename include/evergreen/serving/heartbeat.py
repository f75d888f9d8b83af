"""Says that a gateway lives: once for all its models, from a thread that no loading of a model keeps from it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from evergreen.errors import shorten

if TYPE_CHECKING:
    from evergreen.store.store import Store

log = logging.getLogger(__name__)

BEAT_SECONDS = 3.0
"""How often a gateway says that it lives; a deployment counts it as gone after 15 s."""


class Heartbeat(threading.Thread):
    """Beats until stopped.

    Args:
        instance: This gateway's name among the live ones.
        url: Where it answers.
        pause_seconds: Between two beats.
    """

    def __init__(self, store: Store, *, instance: str, url: str, pause_seconds: float = BEAT_SECONDS) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._store, self._instance, self._url, self._pause_seconds = store, instance, url, pause_seconds
        self._stop_asked = threading.Event()
        self._fault: str | None = None
        self.was_unknown = threading.Event()
        """Set when the store had to be told of the instance anew, and knows nothing of what it serves."""

    def run(self) -> None:
        """Goes round until stopped; a store that does not answer is tried again."""
        from evergreen.store.gateways import Gateways

        while True:
            try:
                if Gateways(self._store).beat(self._instance, self._url):
                    self.was_unknown.set()
                fault = None
            except Exception as error:  # whatever is down must not take the gateway with it
                fault = f"{type(error).__name__}: {shorten(str(error), 300)}"
            if fault is not None and self._fault is None:
                log.warning("Cannot say that this gateway lives: %s", fault)
            self._fault = fault
            if self._stop_asked.wait(self._pause_seconds):
                return

    def ask_to_stop(self) -> None:
        """Asks the thread to end; returns at once."""
        self._stop_asked.set()
