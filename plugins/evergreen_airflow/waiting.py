"""How long to wait for what is not there yet."""

from __future__ import annotations

from datetime import timedelta

SHORTEST = timedelta(seconds=5)
LONGEST = timedelta(minutes=5)


def next_pause(waited: timedelta, timeout: timedelta) -> timedelta | None:
    """The pause before looking again: a tenth of what was waited, within bounds; ``None`` when the time is up.

    Args:
        waited: Wall-clock time since the task looked first.
        timeout: Wall-clock time after which the wait is given up.
    """
    left = timeout - waited
    if left <= timedelta(0):
        return None
    return min(max(waited / 10, SHORTEST), LONGEST, left)
