"""Where a server's UNIX socket stands: a private folder with a path that is short and plain enough."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from evergreen.errors import UserError

# sockaddr_un.sun_path holds 108 bytes with its closing zero on Linux, 104 on macOS and the BSDs.
LONGEST_SOCKET_PATH = 103
_SOCKET_NAME = "/.s.PGSQL.5432"
# Spaces, commas and quotes have a meaning in unix_socket_directories and in libpq's host.
_PLAIN = re.compile(r"[A-Za-z0-9/._+-]+")


def fits(folder: Path) -> bool:
    """Whether PostgreSQL's socket can stand in ``folder``."""
    text = str(folder)
    return len(text.encode()) + len(_SOCKET_NAME) <= LONGEST_SOCKET_PATH and _PLAIN.fullmatch(text) is not None


def choose(near: Path, environ: Mapping[str, str], uid: int) -> Path:
    """The socket folder for the server whose state stands in ``near``: there if it fits, else a short one of the user.

    Args:
        near: Absolute folder of the server's state.
        environ: Read for ``XDG_RUNTIME_DIR``.
        uid: The user to whom the folder belongs.
    """
    inside = near / "socket"
    if fits(inside):
        return inside
    key = hashlib.sha256(os.fsencode(near)).hexdigest()[:16]
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    roots = [Path(runtime, "evergreen")] if runtime and os.access(runtime, os.W_OK) else []
    roots.append(Path(tempfile.gettempdir(), f"evergreen-{uid}"))
    roots.append(Path("/tmp", f"evergreen-{uid}"))
    for root in roots:
        if fits(root / key):
            make_private(root)
            return root / key
    raise UserError("the socket folder", f"must be at most {LONGEST_SOCKET_PATH} bytes", value=str(inside))


def make_private(folder: Path) -> None:
    """Makes ``folder`` with mode 700, or checks that an existing one is ours and nobody else's business.

    Raises:
        UserError: Somebody else owns it, or it is a symbolic link (in ``/tmp`` anybody may have made it).
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise UserError(str(folder), "must be a folder of the user who starts the stack", remedy="Remove it.")
    if stat.S_IMODE(status.st_mode) != 0o700:
        folder.chmod(0o700)
