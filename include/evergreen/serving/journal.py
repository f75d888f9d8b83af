"""The prediction log on local disk: written before the answer, shipped to the lake later, exactly once.

Each worker appends JSON lines to a segment of its own. A segment that is full or old enough is closed by a rename; a
closed segment is appended to the lake under its own name as tag, then removed: a crash in between ships it again, and
the lake does nothing the second time. Segments of a dead worker are adopted at the next start.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from evergreen import faults

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.lake.lake import Lake

log = logging.getLogger(__name__)

MAX_BYTES = 4 << 20


class Journal:
    """Log of one kind (``predictions`` or ``feedback``) of one worker.

    Args:
        folder: Where segments lie; shared by all workers of the machine.
        kind: First part of the lake's table name.
        max_age_seconds: A segment with lines in it is closed after so long.
    """

    def __init__(self, folder: Path, kind: str, *, max_age_seconds: float = 5.0) -> None:
        self.folder, self.kind, self.max_age_seconds = folder / kind, kind, max_age_seconds
        self.folder.mkdir(parents=True, exist_ok=True)
        self.failed_lines = 0
        self._lock = threading.Lock()
        self._open: dict[str, tuple[TextIO, Path, float]] = {}
        self._adopt()

    def write(self, model: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Appends lines and hands them to the operating system before it returns.

        Raises:
            OSError: When the disk takes no more; the lines are counted in ``failed_lines``.
        """
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        with self._lock:
            try:
                handle, _, _ = self._segment(model)
                handle.write(text)
                handle.flush()
            except OSError:
                self.failed_lines += len(lines)
                raise

    def close_due(self, *, everything: bool = False) -> None:
        """Closes segments that are old or large enough."""
        now = time.monotonic()
        with self._lock:
            for model, (handle, path, since) in list(self._open.items()):
                if everything or now - since >= self.max_age_seconds or handle.tell() >= MAX_BYTES:
                    handle.close()
                    del self._open[model]
                    path.rename(path.with_suffix(".closed"))

    def ship(self, lake: Lake) -> int:
        """Appends closed segments to the lake, oldest first; gives the number of rows shipped."""
        shipped = 0
        for path in sorted(self.folder.glob("*/*.closed"), key=lambda each: each.stat().st_mtime_ns):
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if _whole(line)]
            if rows:
                faults.point("journal.ship:before")
                lake.table(f"{self.kind}/{path.parent.name}").append_once(
                    _table(rows), path.stem, point="journal.commit"
                )
                faults.point("journal.ship:after")
            path.unlink()
            shipped += len(rows)
        return shipped

    def _segment(self, model: str) -> tuple[TextIO, Path, float]:
        found = self._open.get(model)
        if found is None:
            folder = self.folder / model
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{os.getpid()}-{uuid.uuid4().hex}.open"
            found = self._open[model] = (path.open("a", encoding="utf-8"), path, time.monotonic())
        return found

    def _adopt(self) -> None:
        for path in self.folder.glob("*/*.open"):
            owner = int(path.name.split("-")[0])
            if owner == os.getpid() or not _is_alive(owner):
                path.rename(path.with_suffix(".closed"))


def _whole(line: str) -> bool:
    """A line that a crash cut is no answer that was given: it is written before the answer."""
    try:
        json.loads(line)
    except ValueError:
        log.warning("Dropped a cut line of the log: %s", line[:100])
        return False
    return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    kinds = {"version": pa.int64(), "seq": pa.int64()}
    names = list(rows[0])
    return pa.table({name: pa.array([row.get(name) for row in rows], kinds.get(name, pa.string())) for name in names})
