"""Local copies of bundles: what a gateway starts and loads from when everything else is away."""

from __future__ import annotations

import logging
import shutil
import time
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evergreen.lake.lake import Lake

log = logging.getLogger(__name__)

KEPT_BUNDLES = 8
"""So many bundles beyond those in use stay on disk, for a rollback while the lake is away."""

STALE_SECONDS = 3600.0


class Copies:
    """The folder of bundles, one folder per digest; other workers of the machine may share it.

    Args:
        folder: Made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where a bundle lies, or would."""
        return self._folder / digest

    def fetch(self, digest: str, lake: Lake) -> None:
        """Replaces the local copy; a broken one goes only when the new one is here and has the right content."""
        from evergreen.lake.workspace import thaw

        target, scratch = self.path(digest), self._folder / f".fetch-{uuid.uuid4().hex}"
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

    def sweep(self) -> None:
        """Removes what fetches left that never ended, and are not those of another worker, now at it."""
        for leftover in self._folder.glob(".fetch-*"):
            if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)

    def tidy(self, used: Collection[str | None]) -> None:
        """Removes the oldest of those that are not in use."""
        spare = [folder for folder in self._folder.glob("[!.]*") if folder.name not in used]
        for folder in sorted(spare, key=lambda each: each.stat().st_mtime, reverse=True)[KEPT_BUNDLES:]:
            shutil.rmtree(folder, ignore_errors=True)
