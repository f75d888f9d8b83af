"""When a component that died is started again: a pure decision over its past deaths.

Nothing is given up: what keeps a component down (a full disk, a broken file) may be mended while nobody watches.
"""

from __future__ import annotations

from collections.abc import Sequence

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
WINDOW_SECONDS = 600.0
MOST_DEATHS = 2
"""More of them within the window are a trouble that people are told of."""


def recent(deaths: Sequence[float], now: float) -> int:
    """Deaths within the window.

    Args:
        deaths: Instants of all deaths so far, the one just seen included (seconds of a monotonic clock).
        now: The present on the same clock.
    """
    return sum(1 for death in deaths if now - death < WINDOW_SECONDS)


def delay(deaths: Sequence[float], now: float) -> float:
    """Seconds to wait before the next start, doubling with each recent death."""
    return float(min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** max(0, min(recent(deaths, now), 20) - 1)))
