"""Who serves: routes on local disk, their versions by way of the shelf, and the swap from one to the next."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from evergreen.errors import EvergreenError, shorten
from evergreen.serving.copies import Copies
from evergreen.serving.served import Served
from evergreen.serving.shelf import ROOM, Shelf

if TYPE_CHECKING:
    from evergreen.lake.lake import Lake

log = logging.getLogger(__name__)

START_SECONDS = 5.0
"""So long a start loads what it takes up, before the first request is answered."""


@dataclass(frozen=True)
class Route:
    """Who serves a model, by the ledger.

    Attributes:
        seq: The ledger's sequence number that this route applies.
        bundle: Digest of the champion's bundle.
        fallback_version, fallback_bundle: The previous good one, answered from when the champion fails.
    """

    model: str
    seq: int
    version: int
    bundle: str
    fallback_version: int | None = None
    fallback_bundle: str | None = None

    def bundles(self) -> Iterator[tuple[int, str]]:
        """Version and digest of the champion, then of the fallback if there is one."""
        yield self.version, self.bundle
        if self.fallback_version is not None and self.fallback_bundle is not None:
            yield self.fallback_version, self.fallback_bundle


@dataclass
class Target:
    """A route and how its versions do. Counts are for people; threads may lose one.

    Attributes:
        faults: By digest, why a version could not be loaded; it is asked again when the follower has mended that.
        failures: Calls on which the champion failed.
        refused: Calls that were refused for a row from whose values no version could compute.
        has_answered: Whether the champion has answered any call.
    """

    route: Route
    shelf: Shelf = field(repr=False)
    faults: dict[str, str] = field(default_factory=dict)
    failures: int = 0
    refused: int = 0
    has_answered: bool = False

    @property
    def champion(self) -> Served | None:
        """The champion, loaded if it is not in memory; ``None`` when it cannot be."""
        return self._taken(self.route.version, self.route.bundle)

    @property
    def fallback(self) -> Served | None:
        """The previous good version likewise; ``None`` also when there is none."""
        route = self.route
        if route.fallback_version is None or route.fallback_bundle is None:
            return None
        return self._taken(route.fallback_version, route.fallback_bundle)

    @property
    def is_applied(self) -> bool:
        """Whether the champion was fetched, verified and loaded by this process: what may be acknowledged."""
        return self.route.bundle not in self.faults and self.shelf.is_proven(self.route.bundle)

    @property
    def is_complete(self) -> bool:
        """Whether all that the route names was."""
        return not self.faults and all(self.shelf.is_proven(digest) for _, digest in self.route.bundles())

    @property
    def answers(self) -> int | None:
        """The version that answers now, as far as is known without loading any."""
        return next((version for version, digest in self.route.bundles() if digest not in self.faults), None)

    @property
    def fault(self) -> str | None:
        """Why something could not be loaded."""
        return "; ".join(self.faults.values()) or None

    def failed(self, error: Exception) -> None:
        """Counts a call on which the champion failed; tells the first in full."""
        self.failures += 1
        if self.failures == 1:
            log.error("%s version %d failed on a call", self.route.model, self.route.version, exc_info=error)

    def refuse(self, error: Exception) -> None:
        """Counts a call that was refused for a row's values; tells the first in full."""
        self.refused += 1
        if self.refused == 1:
            log.warning("%s refused a call for the values of a row", self.route.model, exc_info=error)

    def _taken(self, version: int, digest: str) -> Served | None:
        if digest in self.faults:
            return None
        try:
            return self.shelf.take(digest)
        except Exception as error:  # whatever it is, the other version must still serve
            self.faults = {**self.faults, digest: _fault(version, error)}
            self.shelf.has_lost.set()  # after all that shows the loss, so that who sees it set sees that too
            log.error("%s %s", self.route.model, self.faults[digest])
            return None


class Routes:
    """Applied routes; the file ``routes.json`` and the bundles beside it are enough to start from.

    Changed by one thread (first the starting one, then the follower's), read by any.

    Args:
        folder: Local folder of this gateway.
        room: So many versions are held in memory.
    """

    def __init__(self, folder: Path, *, room: int = ROOM) -> None:
        self.folder = folder
        self.shelf = Shelf(Copies(folder / "bundles"), room)
        self._targets: dict[str, Target] = {}
        self._before: list[Route] = []
        self._is_changed = False
        self.unsaved: str | None = None

    def target(self, model: str) -> Target | None:
        """What answers for a model now. A swap replaces the reference, so a call ends on what it began with."""
        return self._targets.get(model)

    def targets(self) -> dict[str, Target]:
        """Model -> what answers for it."""
        return dict(self._targets)

    def restore(self, budget_seconds: float = START_SECONDS) -> None:
        """Takes up what was served last, from local disk alone; what is broken is told, and mended by the follower.

        Args:
            budget_seconds: After so long no further model is loaded before the first request: a fleet's others are
                loaded when they are asked, or by the follower.
        """
        until = time.monotonic() + budget_seconds
        self.shelf.copies.sweep()
        path = self.folder / "routes.json"
        try:
            routes = [Route(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError) as error:
            log.error("Could not read %s, so nothing is served until the store answers: %s", path, error)
            return
        self._targets = {route.model: Target(route, self.shelf) for route in routes}
        log.info("Took up %d route(s) from %s", len(routes), path)
        for target in self._targets.values():
            if time.monotonic() >= until:
                break
            target.faults = self._proven(target.route, None, keep=False)
            if target.fault is not None:
                log.error("Did not restore all of %s: %s", target.route.model, target.fault)

    def apply(self, route: Route, lake: Lake | None, *, save: bool = True) -> None:
        """Fetches, checks and loads a route's versions, then swaps.

        Does nothing when the route is served completely. A champion that cannot be loaded leaves what answers now in
        its place; where nothing answers, the fallback does.

        Args:
            lake: Where versions are fetched from; ``None`` for local disk alone.
            save: Whether the routes are written at once; :meth:`save` does it later for many.

        Raises:
            EvergreenError: When something of the route could not be loaded; called again it tries again.
        """
        current = self._targets.get(route.model)
        is_same = current is not None and current.route == route
        target = current if current is not None and is_same else Target(route, self.shelf)
        target.faults = self._proven(route, lake, keep=not is_same)
        if not is_same and (target.is_applied or current is None or current.answers is None):
            if current is not None:
                self._before.append(current.route)
            self._targets = {**self._targets, route.model: target}
            self._is_changed = True
            if target.is_applied:
                log.info("Serving %s version %d (seq %d)", route.model, route.version, route.seq)
        if save:
            self.save()
        if target.fault is not None:
            raise EvergreenError(target.fault)

    def save(self) -> None:
        """Writes ``routes.json`` if something changed, or the disk refused it before, and removes old bundles.

        A full disk keeps no promotion or rollback from being served: it is told, and tried again.
        """
        if not self._is_changed and self.unsaved is None:
            return
        scratch = self.folder / f"routes.{os.getpid()}.tmp"
        try:
            with scratch.open("w", encoding="utf-8") as handle:
                json.dump([asdict(each.route) for each in self._targets.values()], handle)
                handle.flush()
                os.fsync(handle.fileno())
            scratch.replace(self.folder / "routes.json")
        except OSError as error:
            if self.unsaved is None:
                log.error("Could not write routes.json, so a restart would serve older versions: %s", error)
            self.unsaved = str(error)
            _remove(scratch)
        else:
            self.unsaved = None
        if self._is_changed:
            self._is_changed = False
            self._tidy()

    def _proven(self, route: Route, lake: Lake | None, *, keep: bool) -> dict[str, str]:
        """Loads what the route names, each once in this process; gives why it could not, by digest."""
        faults = {}
        for version, digest in route.bundles():
            try:
                self.shelf.prove(digest, lake, keep=keep and digest == route.bundle)
            except Exception as error:  # whatever it is, the other version must still serve
                faults[digest] = _fault(version, error)
        return faults

    def _tidy(self) -> None:
        """Removes old bundles; those of the routes before stay for the calls that are still under way."""
        routes = [*(target.route for target in self._targets.values()), *self._before]
        self._before = []
        self.shelf.copies.tidy({digest for route in routes for _, digest in route.bundles()})


def _fault(version: int, error: Exception) -> str:
    return f"version {version} cannot be loaded: {type(error).__name__}: {shorten(str(error), 400)}"


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("Could not remove %s: %s", path, error)
