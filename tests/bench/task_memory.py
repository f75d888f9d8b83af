"""How much memory the tasks of a stack hold: looks at its scheduler's processes a few times a second."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

SECONDS = 0.1
_MB = 2**20


class Peaks(NamedTuple):
    """The most of a while, in megabytes of resident memory; what processes share counts for each of them."""

    one: float
    together: float


class TaskMemory:
    """Looks until the block ends.

    A task's process is one below a worker of the scheduler; scheduler and workers themselves are not counted. The most
    of one process is the kernel's own high-water mark, so that nothing is missed between two looks but the last of
    them; the most of all together is what was seen.

    Args:
        scheduler: Process id of the stack's scheduler.
    """

    def __init__(self, scheduler: int) -> None:
        self._scheduler, self._over, self._lock = scheduler, threading.Event(), threading.Lock()
        self._peaks = Peaks(0.0, 0.0)
        self._thread = threading.Thread(target=self._watch, name="task-memory", daemon=True)

    def __enter__(self) -> TaskMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def take(self) -> Peaks:
        """The peaks since this was asked last."""
        with self._lock:
            taken, self._peaks = self._peaks, Peaks(0.0, 0.0)
        return taken

    def _watch(self) -> None:
        while not self._over.wait(SECONDS):
            held = [sizes for pid in _tasks(self._scheduler) if (sizes := _sizes(pid)) is not None]
            most, now = max((most for most, _ in held), default=0.0), sum(now for _, now in held)
            with self._lock:
                self._peaks = Peaks(max(self._peaks.one, most), max(self._peaks.together, now))


def _tasks(scheduler: int) -> list[int]:
    """Processes two or more levels below the scheduler."""
    children = defaultdict(list)
    for folder in os.listdir("/proc"):
        if folder.isdigit():
            try:
                stat = Path("/proc", folder, "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):  # it has ended
                continue
            children[int(stat.rpartition(")")[2].split()[1])].append(int(folder))
    found, level = [], [task for worker in children[scheduler] for task in children[worker]]
    while level:
        found += level
        level = [child for pid in level for child in children[pid]]
    return found


def _sizes(pid: int) -> tuple[float, float] | None:
    """Most and present megabytes of a process; ``None`` when it has ended."""
    try:
        status = Path("/proc", str(pid), "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    told = dict(line.split(":", 1) for line in status.splitlines())
    if "VmRSS" not in told:  # a zombie
        return None
    return tuple(int(told[name].split()[0]) * 1024 / _MB for name in ("VmHWM", "VmRSS"))  # type: ignore[return-value]
