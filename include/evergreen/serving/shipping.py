"""The logs' way into the lake, exactly once.

A closed segment is appended under its own name as tag, then removed: a crash in between, or two workers at once, ship
it again, and the lake does nothing the second time.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen import faults
from evergreen.errors import shorten
from evergreen.serving.journal import Journal

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.lake.lake import Lake

log = logging.getLogger(__name__)

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "predictions": {
        "request_id": "string", "at": "string", "version": "int64", "seq": "int64", "row_id": "string",
        "event_time": "instant", "prediction": "string", "row": "string", "fallback": "string",
    },
    "feedback": {"request_id": "string", "label": "string", "received_at": "string", "sequence": "int64"},
}  # fmt: skip
"""Columns of the lake's tables ``predictions/<model>`` and ``feedback/<model>``."""


def ship(journal: Journal, kind: str, lake: Lake) -> int:
    """Appends closed segments to the lake, oldest first; gives the number of rows shipped.

    Raises:
        Exception: The first fault, after every segment was tried.
    """
    shipped, fault = 0, None
    for path in journal.closed():
        try:
            shipped += _ship(path, kind, lake)
        except FileNotFoundError:  # another worker was quicker
            continue
        except Exception as error:
            fault = fault or error
    if fault is not None:
        raise fault
    return shipped


class Shipper(threading.Thread):
    """Closes and ships what is due, until stopped; apart from the follower, so that a slow lake delays no promotion.

    Args:
        journals: By kind: ``predictions``, ``feedback``.
        pause_seconds: Between two looks; after a fault it doubles, up to 30 s.
    """

    def __init__(self, journals: Mapping[str, Journal], lake: Lake, *, pause_seconds: float = 1.0) -> None:
        super().__init__(name="shipper", daemon=True)
        self._journals, self._lake, self._pause_seconds = journals, lake, pause_seconds
        self._stop_asked = threading.Event()
        self.fault: str | None = None

    def run(self) -> None:
        """Goes round until stopped, then once more with everything closed."""
        pause = self._pause_seconds
        while not self._stop_asked.wait(pause):
            self._round(everything=False)
            pause = self._pause_seconds if self.fault is None else min(30.0, pause * 2)
        self._round(everything=True)

    def ask_to_stop(self) -> None:
        """Asks the thread to end; returns at once."""
        self._stop_asked.set()

    def finish(self, timeout_seconds: float) -> None:
        """Waits a while for the thread's end; what is not shipped by then is at the next start."""
        self.join(timeout_seconds)

    def waiting(self) -> int:
        """Closed segments that are not in the lake yet."""
        return sum(1 for journal in self._journals.values() for _ in journal.closed())

    def _round(self, *, everything: bool) -> None:
        fault = None
        for kind, journal in self._journals.items():
            try:
                journal.close_due(everything=everything)
                ship(journal, kind, self._lake)
            except Exception as error:  # whatever is down must not take the gateway with it
                fault = f"{type(error).__name__}: {shorten(str(error), 300)}"
        if fault is not None and self.fault is None:
            log.warning("Cannot ship the logs, which wait on disk: %s", fault)
        if fault is None and self.fault is not None:
            log.info("Shipping the logs again")
        self.fault = fault


def _ship(path: Path, kind: str, lake: Lake) -> int:
    rows = _rows(path)
    if rows:
        faults.point("journal.ship:before")
        table = lake.table(f"{kind}/{path.parent.name}")
        table.append_once(table_of(rows, COLUMNS[kind]), path.stem, point="journal.commit")
        faults.point("journal.ship:after")
    path.unlink(missing_ok=True)
    return len(rows)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Whole lines. One that a crash cut belongs to an answer that was never given: it is written before the answer."""
    rows = []
    for line in path.read_bytes().split(b"\n"):
        try:
            if line:
                rows.append(json.loads(line))
        except ValueError:
            log.warning("Dropped a cut line of %d bytes from %s", len(line), path.name)
    return rows


def table_of(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pa.Table:
    """Lines of a log as the lake's table has them; what a line lacks is null."""
    import pyarrow as pa

    def column(name: str, kind: str) -> pa.Array:
        values = [row.get(name) for row in rows]
        if kind == "instant":
            return pa.array([each and datetime.fromisoformat(each) for each in values], pa.timestamp("us", tz="UTC"))
        return pa.array(values, kind)

    return pa.table({name: column(name, kind) for name, kind in columns.items()})
