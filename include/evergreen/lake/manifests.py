"""Result manifests: what a step with a certain key gave, written once; the first one stays."""

from __future__ import annotations

import json
from typing import Any

from evergreen.errors import DataError
from evergreen.lake.blobs import Blobs
from evergreen.lake.roots import segment


class Manifests:
    """Manifests of one lake by step name and step key."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def get(self, step: str, key: str) -> dict[str, Any] | None:
        """The stored result of a step, or None when it never finished."""
        path = _path(step, key)
        return read_json(self._blobs, path) if self._blobs.exists(path) else None

    def put_if_absent(self, step: str, key: str, doc: dict[str, Any]) -> dict[str, Any]:
        """Stores a result unless there is one, and returns the one that stands (maybe another's)."""
        return put_json(self._blobs, _path(step, key), doc)

    def forget(self, step: str, key: str) -> None:
        """Deletes the result of a step, which then does its work again when it is called again."""
        self._blobs.erase(_path(step, key))


def put_json(blobs: Blobs, path: str, doc: dict[str, Any]) -> dict[str, Any]:
    """Stores a JSON document unless there is one, and returns the one that stands."""
    data = json.dumps(doc, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1).encode()
    while blobs.put_if_absent(path, data) or blobs.exists(path):
        try:
            return read_json(blobs, path)
        except DataError:
            if blobs.exists(path):
                raise
    return put_json(blobs, path, doc)  # what stood there expired at this moment


def read_json(blobs: Blobs, path: str) -> dict[str, Any]:
    """Reads a JSON document of the lake.

    Raises:
        DataError: When it is none.
    """
    try:
        doc = json.loads(blobs.get(path))
    except ValueError as error:
        raise DataError(blobs.uri(path), f"must be a JSON document: {error}") from error
    if not isinstance(doc, dict):
        raise DataError(blobs.uri(path), "must be a JSON object", value=doc)
    return doc


def _path(step: str, key: str) -> str:
    return f"manifests/{segment(step)}/{segment(key)}.json"
