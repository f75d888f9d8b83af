"""The state of a stack as a table for people."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from evergreen.stack.instance import State

_HEADER = ("component", "state", "pid", "restarts", "MB", "note")


def table(state: State, memory: Mapping[str, float]) -> str:
    """One line per component.

    Args:
        state: What the supervisor wrote.
        memory: Megabytes per component.
    """
    rows = [_HEADER]
    for name, part in state.parts.items():
        size = f"{memory[name]:.0f}" if name in memory else ""
        rows.append((name, part.state, str(part.pid or ""), str(part.restarts or ""), size, part.note))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def memory_mb(state: State) -> dict[str, float]:
    """Megabytes per running component with all its children; memory they share is counted once (PSS) where possible."""
    import psutil

    sizes: dict[str, float] = {}
    for name, part in state.parts.items():
        if part.pid is None:
            continue
        with contextlib.suppress(psutil.Error):
            leader = psutil.Process(part.pid)
            sizes[name] = sum(_size(process) for process in [leader, *leader.children(recursive=True)]) / 2**20
    return sizes


def _size(process: object) -> float:
    import psutil

    try:
        full = process.memory_full_info()  # type: ignore[attr-defined]
        return float(getattr(full, "pss", full.uss))
    except psutil.Error:
        return 0.0
