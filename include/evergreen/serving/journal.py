"""The prediction log on local disk: written before the answer, shipped to the lake later (see ``shipping``).

Each worker appends JSON lines to a segment of its own, which it holds by a lock of the operating system. A segment
that is full or old enough is closed by a rename. The lock dies with its process, however that ends, and so does not
depend on process ids: whoever finds a segment that nobody holds closes it.

A line is handed to the operating system before its answer goes out, so it survives the end of the process by any
signal. It is not forced to the disk (fsync): that would cost every answer milliseconds, so the machine's own crash or
loss of power may take the last seconds of lines (what the kernel has not written yet) with it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

MAX_BYTES = 4 << 20


class Journal:
    """Log of one kind of one worker. Safe to use from several threads.

    Args:
        folder: Where segments lie, a folder per model; shared by all workers of the machine.
        max_age_seconds: A segment with lines in it is closed after so long.
        max_bytes: A segment is closed at this size.
    """

    def __init__(self, folder: Path, *, max_age_seconds: float = 60.0, max_bytes: int = MAX_BYTES) -> None:
        self.folder, self._max_age_seconds, self._max_bytes = folder, max_age_seconds, max_bytes
        self.failed_lines = 0
        self._lock = threading.Lock()
        self._open: dict[str, _Segment] = {}

    def write(self, model: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Appends lines, all or none, and hands them to the operating system before it returns.

        Raises:
            OSError: When the disk takes no more; the lines are counted in ``failed_lines``.
        """
        data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
        with self._lock:
            try:
                segment = self._open.get(model)
                if segment is None:
                    segment = self._open[model] = _Segment(self.folder / model)
                segment.append(data)
            except OSError:
                self.failed_lines += len(lines)
                if segment is not None and segment.is_broken:
                    self._close(model)
                raise

    def close_due(self, *, everything: bool = False) -> None:
        """Closes segments that are full, or old while none of that model waits to be shipped, and orphaned ones.

        So a lake that is away for long leaves few large segments and not many small ones.
        """
        now = time.monotonic()
        with self._lock:
            for model, segment in list(self._open.items()):
                old = now - segment.since >= self._max_age_seconds and not any(segment.path.parent.glob("*.closed"))
                if everything or old or segment.size >= self._max_bytes:
                    self._close(model)
        self._adopt()

    def closed(self) -> Iterator[Path]:
        """Closed segments, oldest first by their names; another worker may remove them at any time."""
        return iter(sorted(self.folder.glob("*/*.closed"), key=lambda path: path.name))

    def _close(self, model: str) -> None:
        segment = self._open.pop(model)
        try:
            segment.close()
        except OSError as error:
            log.error("Could not close %s; it is adopted later: %s", segment.path, error)

    def _adopt(self) -> None:
        for path in self.folder.glob("*/*.open"):
            try:
                handle = os.open(path, os.O_RDWR)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.rename(path.with_suffix(".closed"))
                log.info("Adopted %s, which nobody holds", path.name)
            except (BlockingIOError, FileNotFoundError):
                pass
            finally:
                os.close(handle)


class _Segment:
    """An open file that this process alone holds."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            self.path = folder / f"{time.time_ns():020d}-{uuid.uuid4().hex}.open"
            self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._handle)
                continue
            if self.path.exists():  # else it was adopted before it was locked
                break
            os.close(self._handle)
        self.size, self.since, self.is_broken = 0, time.monotonic(), False

    def append(self, data: bytes) -> None:
        """Appends whole lines or nothing."""
        written = 0
        try:
            while written < len(data):
                written += os.write(self._handle, data[written:])
        except OSError:
            try:
                os.ftruncate(self._handle, self.size)
            except OSError:
                self.is_broken = True  # it ends in a cut line, after which no other may come
            raise
        self.size += len(data)

    def close(self) -> None:
        try:
            self.path.rename(self.path.with_suffix(".closed"))
        finally:
            os.close(self._handle)
