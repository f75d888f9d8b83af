"""What is served, on local disk and in memory: routing, bundles, and the swap from one version to the next."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from evergreen.errors import DataError, EvergreenError, shorten
from evergreen.serving.served import Served

if TYPE_CHECKING:
    from evergreen.lake.lake import Lake

log = logging.getLogger(__name__)

KEPT_BUNDLES = 8
"""So many bundles beyond those in use stay on disk, for a rollback while the lake is away."""

STALE_SECONDS = 3600.0


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


@dataclass
class Target:
    """A route with its models in memory.

    Attributes:
        champion: ``None`` when it could not be loaded; then the fallback answers.
        fault: Why something could not be loaded.
        failures: Calls on which the champion failed (a count for people; threads may lose one).
    """

    route: Route
    champion: Served | None
    fallback: Served | None
    fault: str | None = None
    failures: int = field(default=0, compare=False)

    @property
    def is_complete(self) -> bool:
        """Whether all that the route names is loaded."""
        return self.champion is not None and (self.fallback is not None or self.route.fallback_bundle is None)

    @property
    def answers(self) -> int | None:
        """The version that answers now, if any can."""
        if self.champion is not None:
            return self.route.version
        return None if self.fallback is None else self.route.fallback_version

    def failed(self, error: Exception) -> None:
        """Counts a call on which the champion failed; tells the first in full."""
        self.failures += 1
        if self.failures == 1:
            log.error("%s version %d failed on a call", self.route.model, self.route.version, exc_info=error)


class Routes:
    """Applied routes; the file ``routes.json`` and the bundles beside it are enough to start from.

    Changed by one thread (first the starting one, then the follower's), read by any.

    Args:
        folder: Local folder of this gateway.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bundles = folder / "bundles"
        self._bundles.mkdir(parents=True, exist_ok=True)
        self._targets: dict[str, Target] = {}
        self.unsaved: str | None = None

    def target(self, model: str) -> Target | None:
        """What answers for a model now. A swap replaces the reference, so a call ends on what it began with."""
        return self._targets.get(model)

    def targets(self) -> dict[str, Target]:
        """Model -> what answers for it."""
        return dict(self._targets)

    def restore(self) -> None:
        """Loads what was served last, from local disk alone. What is broken is told, and mended by the follower."""
        for leftover in self._bundles.glob(".fetch-*"):
            if time.time() - leftover.stat().st_mtime > STALE_SECONDS:  # not one of another worker, now at it
                shutil.rmtree(leftover, ignore_errors=True)
        path = self.folder / "routes.json"
        try:
            routes = [Route(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError) as error:
            log.error("Could not read %s, so nothing is served until the store answers: %s", path, error)
            return
        for route in routes:
            target = self._load(route, lake=None)
            self._swap(target)
            if target.fault is None:
                log.info("Restored %s version %d (seq %d)", route.model, route.version, route.seq)
            else:
                log.error("Did not restore all of %s: %s", route.model, target.fault)

    def apply(self, route: Route, lake: Lake) -> None:
        """Fetches, checks and warms a route's bundles, then swaps.

        Does nothing when the route is served completely. A champion that cannot be loaded leaves what answers now in
        its place; where nothing answers, the fallback does.

        Raises:
            EvergreenError: When something of the route could not be loaded; called again it tries again.
        """
        current = self._targets.get(route.model)
        if current is not None and current.route == route and current.is_complete:
            return
        target = self._load(route, lake=lake)
        better = target.champion is not None or current is None or current.answers is None
        if better:
            before = () if current is None else (current.route,)
            self._save(target)
            self._swap(target)
            self._tidy(before)
            if target.champion is not None and (current is None or current.route != route):
                log.info("Serving %s version %d (seq %d)", route.model, route.version, route.seq)
        if target.fault is not None:
            raise EvergreenError(target.fault)

    def save(self) -> None:
        """Writes ``routes.json`` again if the disk refused it before."""
        if self.unsaved is not None:
            self._save()

    def _swap(self, target: Target) -> None:
        self._targets = {**self._targets, target.route.model: target}

    def _load(self, route: Route, *, lake: Lake | None) -> Target:
        now = self._targets.get(route.model)
        held = {} if now is None else {now.route.bundle: now.champion, now.route.fallback_bundle: now.fallback}
        faults = []

        def served(version: int | None, digest: str) -> Served | None:
            try:
                return held.get(digest) or self._bundle(digest, lake)
            except Exception as error:  # whatever it is, the other version must still serve
                faults.append(f"version {version} cannot be loaded: {type(error).__name__}: {shorten(str(error), 400)}")
                return None

        champion = served(route.version, route.bundle)
        fallback = None
        if route.fallback_bundle is not None:
            fallback = served(route.fallback_version, route.fallback_bundle)
        return Target(route, champion, fallback, "; ".join(faults) or None)

    def _bundle(self, digest: str, lake: Lake | None) -> Served:
        folder = self._bundles / digest
        if folder.is_dir() or lake is None:
            try:
                return Served.load(folder)
            except DataError as error:
                if lake is None:
                    raise
                log.warning("Fetching bundle %s anew: %s", digest[:12], error)
        self._fetch(digest, lake)
        return Served.load(folder)

    def _fetch(self, digest: str, lake: Lake) -> None:
        """Replaces the local copy; a broken one goes only when the new one is here and has the right content."""
        from evergreen.lake.workspace import thaw

        target, scratch = self._bundles / digest, self._bundles / f".fetch-{uuid.uuid4().hex}"
        try:
            fresh = thaw(lake, digest, scratch)
            if target.is_dir():
                target.rename(scratch / "broken")
            try:
                fresh.rename(target)
            except OSError:
                if not target.is_dir():  # else another worker was quicker
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _save(self, target: Target | None = None) -> None:
        """A full disk keeps no promotion or rollback from being served: it is told, and tried again."""
        targets = self._targets if target is None else {**self._targets, target.route.model: target}
        scratch = self.folder / f"routes.{os.getpid()}.tmp"
        try:
            with scratch.open("w", encoding="utf-8") as handle:
                json.dump([asdict(each.route) for each in targets.values()], handle)
                handle.flush()
                os.fsync(handle.fileno())
            scratch.replace(self.folder / "routes.json")
        except OSError as error:
            scratch.unlink(missing_ok=True)
            if self.unsaved is None:
                log.error("Could not write routes.json, so a restart would serve older versions: %s", error)
            self.unsaved = str(error)
        else:
            self.unsaved = None

    def _tidy(self, before: Iterable[Route]) -> None:
        """Removes old bundles; those of the route before stay for the calls that are still under way."""
        routes = [target.route for target in self._targets.values()]
        used = {digest for route in (*routes, *before) for digest in (route.bundle, route.fallback_bundle)}
        spare = [folder for folder in self._bundles.glob("[!.]*") if folder.name not in used]
        for folder in sorted(spare, key=lambda each: each.stat().st_mtime, reverse=True)[KEPT_BUNDLES:]:
            shutil.rmtree(folder, ignore_errors=True)
