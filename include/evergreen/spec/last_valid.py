"""The last valid version of every resource, kept beside the workspace for the time when a file is broken.

Several processes read and write it at once without locks: each resource is one small file, replaced atomically and
only when it changed, and what two of them write at the same time was valid for both.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from evergreen.errors import UserError
from evergreen.spec.base import Kind
from evergreen.spec.files import FOLDERS

log = logging.getLogger(__name__)


class LastValid:
    """The texts that each resource's own files had when the resource was last valid.

    Args:
        folder: A local folder, made when the first version is kept; also as a ``file://`` URI.
    """

    def __init__(self, folder: Path | str) -> None:
        text = str(folder)
        if "://" in text and not text.startswith("file://"):
            remedy = "Give a folder that all schedulers and workers share."
            raise UserError("last valid versions", "must be kept in a local folder so far", value=text, remedy=remedy)
        self.folder = Path(text.removeprefix("file://"))

    def get(self, kind: Kind, name: str) -> dict[str, str] | None:
        """Texts by path from the workspace, the YAML first; ``None`` when the resource was never valid."""
        try:
            content = self._path(kind, name).read_bytes()
        except OSError:
            return None
        try:
            texts = json.loads(content)["texts"]
        except (ValueError, KeyError, TypeError):
            log.warning("Ignored the last valid version of %s, which can't be read", name)
            return None
        return dict(texts)

    def put(self, kind: Kind, name: str, texts: Mapping[str, str]) -> None:
        """Keeps a valid version; a disk that refuses is logged, since nothing is broken yet."""
        path = self._path(kind, name)
        staged = path.with_name(f".{name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            staged.write_text(json.dumps({"texts": dict(texts)}), encoding="utf-8")
            os.replace(staged, path)
        except OSError as error:
            log.warning("Could not keep the valid version of %s: %s", name, error)
            with contextlib.suppress(OSError):
                staged.unlink()

    def names(self, kind: Kind) -> list[str]:
        """Resources of a kind that have a version, in order."""
        try:
            entries = os.listdir(self.folder / FOLDERS[kind])
        except OSError:
            return []
        return sorted(each[: -len(".json")] for each in entries if each.endswith(".json") and not each.startswith("."))

    def forget(self, kind: Kind, name: str) -> None:
        """Drops the version of a resource that was removed."""
        with contextlib.suppress(OSError):
            self._path(kind, name).unlink()

    def _path(self, kind: Kind, name: str) -> Path:
        return self.folder / FOLDERS[kind] / f"{name}.json"
