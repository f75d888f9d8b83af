"""API keys, of which only hashes are kept on disk."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from pathlib import Path


class Keys:
    """The keys that a gateway knows.

    Args:
        folder: Local folder of the gateway; ``keys.json`` in it holds SHA-256 hashes, mode 600.
        key: A key of the settings, remembered for starts without them.
    """

    def __init__(self, folder: Path, key: str) -> None:
        path = folder / "keys.json"
        stored: list[str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        fresh = hashlib.sha256(key.encode()).hexdigest() if key else None
        self._hashes = [fresh] if fresh else stored
        if fresh and stored != self._hashes:
            folder.mkdir(parents=True, exist_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
                json.dump(self._hashes, handle)

    def knows(self, given: str) -> bool:
        """Whether a key is one of ours; takes the same time for a near miss as for a far one."""
        digest = hashlib.sha256(given.encode()).hexdigest()
        return bool(given) and any(hmac.compare_digest(digest, known) for known in self._hashes)
