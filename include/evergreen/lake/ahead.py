"""Makes the next of a series while the one before is worked on: what Arrow, DuckDB and the disk do needs no lock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Full, Queue
from threading import Event, Thread
from typing import NamedTuple, TypeVar

T = TypeVar("T")

_PAUSE_SECONDS = 0.1
"""After so long a maker that nobody listens to any more ends."""


class _Over(NamedTuple):
    """The end of a series, and what broke it off."""

    fault: BaseException | None


@contextmanager
def ahead(series: Iterable[T]) -> Iterator[Iterator[T]]:
    """A series whose next item is made by another thread; what making one raises is raised where it is asked for.

    At most two items are there that nobody has asked for: a made one, and one in the making.
    """
    made: Queue[T | _Over] = Queue(maxsize=1)
    stopped = Event()

    def put(item: T | _Over) -> bool:
        while not stopped.is_set():
            with suppress(Full):
                made.put(item, timeout=_PAUSE_SECONDS)
                return True
        return False

    def make() -> None:
        fault: BaseException | None = None
        try:
            for item in series:
                if not put(item):
                    return
        except BaseException as error:
            fault = error
        put(_Over(fault))

    def items() -> Iterator[T]:
        while True:
            item = made.get()
            if isinstance(item, _Over):
                if item.fault is not None:
                    raise item.fault
                return
            yield item

    thread = Thread(target=make, name="evergreen-ahead", daemon=True)
    thread.start()
    try:
        yield items()
    finally:
        stopped.set()
        thread.join()
