"""API keys, of which only hashes are kept on disk."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
from pathlib import Path

from evergreen.errors import UserError

log = logging.getLogger(__name__)


class Keys:
    """The keys that a gateway knows.

    Bare SHA-256 is right for keys that are long and random, as those that `make up` generates; it would not protect a
    word that a person thought up.

    Args:
        folder: Local folder of the gateway; ``keys.json`` in it holds the hashes, mode 600.
        key: The key of the settings, remembered for starts without it; it replaces the one remembered.

    Raises:
        UserError: When there is no key, neither given nor remembered.
    """

    def __init__(self, folder: Path, key: str) -> None:
        path = folder / "keys.json"
        if key:
            self._hashes = [_hash(key)]
            self._remember(path)
        else:
            self._hashes = _remembered(path)

    def knows(self, given: str) -> bool:
        """Whether a key is one of ours; takes the same time for a near miss as for a far one."""
        digest = _hash(given)
        return bool(given) and any(hmac.compare_digest(digest, known) for known in self._hashes)

    def _remember(self, path: Path) -> None:
        scratch = path.with_name(f"keys.{os.getpid()}.tmp")
        try:
            scratch.unlink(missing_ok=True)
            with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
                json.dump(self._hashes, handle)
            scratch.replace(path)
        except OSError as error:  # it is known as long as this process lives
            log.error("Could not write %s: %s", path, error)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _remembered(path: Path) -> list[str]:
    remedy = "Set it to the key that callers are to send."
    try:
        return [str(each) for each in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        raise UserError("EVERGREEN_GATEWAY_KEY", "must be set at a gateway's first start", remedy=remedy) from None
    except ValueError as error:
        rule = f"must be set, since {path} cannot be read ({error})"
        raise UserError("EVERGREEN_GATEWAY_KEY", rule, remedy=remedy) from error
