"""What is served, on local disk and in memory: routing, bundles, and the swap from one version to the next."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.serving.served import Served

if TYPE_CHECKING:
    from evergreen.lake.lake import Lake

log = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Target:
    """A route with its models in memory."""

    route: Route
    champion: Served
    fallback: Served | None


class Routes:
    """Applied routes; the file ``routes.json`` and the bundles beside it are enough to start from.

    Args:
        folder: Local folder of this gateway.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bundles").mkdir(parents=True, exist_ok=True)
        self._targets: dict[str, Target] = {}
        self._lock = threading.Lock()

    def target(self, model: str) -> Target | None:
        """What answers for a model now. Reading takes no lock: a swap replaces the reference."""
        return self._targets.get(model)

    def applied(self) -> dict[str, Route]:
        """Model -> applied route."""
        return {name: target.route for name, target in self._targets.items()}

    def restore(self) -> None:
        """Loads what was served last, from local disk alone. A broken bundle is told and left out."""
        path = self.folder / "routes.json"
        if not path.exists():
            return
        for fields in json.loads(path.read_text(encoding="utf-8")):
            route = Route(**fields)
            try:
                self._swap(route, self._load(route, lake=None))
            except Exception:
                log.exception("Did not restore %s version %d from %s", route.model, route.version, self.folder)

    def apply(self, route: Route, lake: Lake) -> None:
        """Fetches and loads a route's bundles, then swaps; requests under way end on what they began with."""
        current = self._targets.get(route.model)
        if current is not None and current.route == route:
            return
        target = self._load(route, lake=lake)
        with self._lock:
            self._swap(route, target)
            self._save()
        log.info("Serving %s version %d (seq %d)", route.model, route.version, route.seq)

    def _swap(self, route: Route, target: Target) -> None:
        self._targets = {**self._targets, route.model: target}

    def _load(self, route: Route, *, lake: Lake | None) -> Target:
        now = self._targets.get(route.model)
        held = {} if now is None else {now.route.bundle: now.champion, now.route.fallback_bundle: now.fallback}

        def served(digest: str) -> Served:
            return held.get(digest) or Served.load(self._folder_of(digest, lake))

        champion = served(route.bundle)
        fallback = None
        if route.fallback_bundle is not None:
            try:
                fallback = served(route.fallback_bundle)
            except Exception:  # a lost fallback must not keep the champion from serving
                log.exception("Did not load the fallback of %s, version %s", route.model, route.fallback_version)
        return Target(route, champion, fallback)

    def _folder_of(self, digest: str, lake: Lake | None) -> Path:
        target = self.folder / "bundles" / digest
        if lake is None or target.is_dir():
            return target
        from evergreen.lake.workspace import thaw

        return thaw(lake, digest, self.folder / "bundles")

    def _save(self) -> None:
        text = json.dumps([asdict(target.route) for target in self._targets.values()])
        scratch = self.folder / f"routes.{os.getpid()}.tmp"
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(self.folder / "routes.json")


@dataclass(frozen=True)
class Answer:
    """Predictions of a call.

    Attributes:
        version: The one that gave them.
        row_ids: The rows' identities in the label's dataset, where the caller sent them.
        fallback: Why it was not the champion, if it was not.
    """

    predictions: list[Any]
    version: int
    row_ids: list[str | None]
    fallback: str | None = None


def answer(target: Target, rows: Sequence[Mapping[str, Any]]) -> Answer:
    """Asks the champion, and the previous good version when that fails.

    Raises:
        UserError: When the rows are not what the model takes; nobody is asked then.
    """
    frame = target.champion.frame(rows)
    row_ids = target.champion.row_ids(rows, frame)
    try:
        return Answer(target.champion.predict(frame), target.route.version, row_ids)
    except Exception as error:
        if target.fallback is None or target.route.fallback_version is None:
            raise
        log.exception("Version %d of %s failed; answered by the fallback", target.route.version, target.route.model)
        reason = f"version {target.route.version} failed: {type(error).__name__}"
        predictions = target.fallback.predict(target.fallback.frame(rows))
        return Answer(predictions, target.route.fallback_version, row_ids, reason)
