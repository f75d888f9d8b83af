"""How a stack is, all in all: a pure decision over its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evergreen.stack.instance import Part

WELL = ("healthy", "done")


def phase_of(parts: Mapping[str, Part], troubles: Sequence[str], before: str) -> str:
    """The phase of a stack that runs.

    Args:
        parts: Components by name.
        troubles: What people must be told, such as a part that died again and again.
        before: The phase so far; a healthy stack stays so while one part is started again.
    """
    if troubles:
        return "degraded"
    if all(part.state in WELL for part in parts.values()):
        return "healthy"
    return before if before == "healthy" else "starting"


def is_over(part: Part, now: float, *, settled_seconds: float) -> bool:
    """Whether the trouble of a part is over: it is done, or has been well for a while (seconds since the epoch)."""
    if part.state == "done":
        return True
    return part.state == "healthy" and part.started is not None and now - part.started >= settled_seconds
