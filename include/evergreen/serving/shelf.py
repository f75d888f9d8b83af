"""Loaded versions within a bound: the ones asked last stay in memory, any other is loaded when it is asked."""

from __future__ import annotations

import logging
from collections import OrderedDict
from functools import cached_property
from threading import Event, Lock
from typing import TYPE_CHECKING

from evergreen.errors import DataError
from evergreen.serving.copies import Copies
from evergreen.serving.served import Served

if TYPE_CHECKING:
    from evergreen.lake.duck import Sessions
    from evergreen.lake.lake import Lake

log = logging.getLogger(__name__)

ROOM = 256
SESSIONS = 3
"""SQL connections for the on-demand views of all versions: of the threads that answer and the one that follows."""


class Shelf:
    """Versions in memory by their bundle's digest. Safe to use from several threads.

    Args:
        copies: Where bundles lie.
        room: So many versions are held; the one that was asked longest ago goes first.

    Attributes:
        has_lost: Set when a version could not be loaded for a call, so that the follower looks at what it broke.
    """

    def __init__(self, copies: Copies, room: int = ROOM) -> None:
        self.copies, self._room = copies, room
        self.has_lost = Event()
        self._lock = Lock()
        self._held: OrderedDict[str, Served] = OrderedDict()
        self._gates: dict[str, Lock] = {}
        self._proven: set[str] = set()

    def __len__(self) -> int:
        return len(self._held)

    def is_proven(self, digest: str) -> bool:
        """Whether this process has loaded it, with its hashes and golden rows checked, and it has not failed since."""
        return digest in self._proven

    def take(self, digest: str) -> Served:
        """A version to ask; who asks first after a while waits for its loading from local disk.

        Raises:
            Exception: When it cannot be loaded; it is not proven any more then.
        """
        with self._lock:
            found = self._held.get(digest)
            if found is not None:
                self._held.move_to_end(digest)
                return found
            gate = self._gates.setdefault(digest, Lock())
        with gate:  # one loads, others wait for it
            found = self._held.get(digest)
            try:
                return found or self._put(digest, self._load(digest))
            except Exception:
                self._proven.discard(digest)
                raise
            finally:
                self._gates.pop(digest, None)

    def prove(self, digest: str, lake: Lake | None, *, keep: bool) -> None:
        """Loads a version once in this process, fetching it if the local copy is missing or broken.

        Args:
            lake: Where it is fetched from; ``None`` for local disk alone.
            keep: Whether it stays in memory though another must go for it; else it stays while there is room.

        Raises:
            Exception: When it cannot be fetched or loaded.
        """
        is_at_hand = digest in self._proven and self.copies.path(digest).is_dir()
        if is_at_hand and (digest in self._held or not keep):
            return
        try:
            made = self._load(digest)
        except DataError as error:
            if lake is None:
                raise
            if self.copies.path(digest).is_dir():
                log.warning("Fetching bundle %s anew: %s", digest[:12], error)
            self.copies.fetch(digest, lake)
            made = self._load(digest)
        self._proven.add(digest)
        if keep or len(self._held) < self._room:
            self._put(digest, made)

    @cached_property
    def _sessions(self) -> Sessions:
        from evergreen.lake.duck import Sessions

        return Sessions(SESSIONS)

    def _load(self, digest: str) -> Served:
        with self._lock:
            sessions = self._sessions
        return Served.load(self.copies.path(digest), sessions)

    def _put(self, digest: str, made: Served) -> Served:
        with self._lock:
            self._held[digest] = made
            self._held.move_to_end(digest)
            self._proven.add(digest)
            while len(self._held) > self._room:
                self._held.popitem(last=False)
        return made
