"""When a component that died is started again: a pure decision over its past deaths."""

from __future__ import annotations

from collections.abc import Sequence

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
WINDOW_SECONDS = 600.0
MOST_DEATHS = 6


def delay(deaths: Sequence[float], now: float) -> float | None:
    """Seconds to wait before the next start, doubling with each recent death; ``None`` to give it up.

    Args:
        deaths: Instants of all deaths so far, the one just seen included (seconds of a monotonic clock).
        now: The present on the same clock.
    """
    recent = sum(1 for death in deaths if now - death < WINDOW_SECONDS)
    if recent > MOST_DEATHS:
        return None
    return float(min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** max(0, recent - 1)))
