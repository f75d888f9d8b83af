"""Numbers that grow with every line, also across restarts and, by the clock, across gateways."""

from __future__ import annotations

import time
from threading import Lock


class Sequence:
    """Gives nanoseconds since 1970 where the clock goes on, one more than the last where it does not."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last = 0

    def next(self) -> int:
        """A number greater than all before."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns())
            return self._last
