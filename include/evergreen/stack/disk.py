"""Room on the disk, and what a component's log says about why it died."""

from __future__ import annotations

import shutil
from pathlib import Path

from evergreen.errors import UserError

LEAST_FREE_MB = 500
"""What a start wants."""

LAST_FREE_MB = 50
"""Below it all but the gateway stops by itself, while it still can."""


def free_mb(folder: Path) -> int:
    """Megabytes that are free on the disk that holds ``folder``, which need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return int(shutil.disk_usage(folder).free // 2**20)


def require_room(folder: Path, least_free_mb: int = LEAST_FREE_MB) -> None:
    """Raises a UserError when the disk that holds ``folder`` (which need not exist yet) is about to be full."""
    free = free_mb(folder)
    if free < least_free_mb:
        raise UserError(
            f"the disk of {folder}",
            f"must have {least_free_mb} MB free",
            value=f"{free} MB",
            remedy="Free some space; nothing was lost.",
        )


def explain(log: str) -> str:
    """A cause that people know, found in the end of a log; empty if there is none."""
    if "No space left on device" in log or "ENOSPC" in log:
        return "The disk is full: free some space and start again."
    if "Address already in use" in log or "address already in use" in log:
        return "Its port was taken by another program: start again, or set EVERGREEN_…_PORT to another."
    if "Cannot allocate memory" in log or "MemoryError" in log:
        return "The machine is out of memory."
    return ""


def tail(path: Path, limit: int = 1500) -> str:
    """The last ``limit`` bytes of a log."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - limit))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
