"""Named points at which a drill may kill or stop the process.

``EVERGREEN_KILL_AT=publish.commit:after`` makes the process kill itself with SIGKILL when it reaches that point, once
per ``EVERGREEN_KILL_TOKEN`` file (removed at the kill, so that the retry passes). ``EVERGREEN_STOP_AT`` stops it there
with SIGSTOP, as a machine that hangs would, until somebody continues it. Without the variables a point costs two
dictionary lookups.
"""

from __future__ import annotations

import os
import signal


def point(name: str) -> None:
    """Dies or stops here when the drill asks for it; otherwise does nothing."""
    if os.environ.get("EVERGREEN_STOP_AT") == name:
        os.kill(os.getpid(), signal.SIGSTOP)
    if os.environ.get("EVERGREEN_KILL_AT") != name:
        return
    token = os.environ.get("EVERGREEN_KILL_TOKEN")
    if token is not None:
        try:
            os.unlink(token)
        except FileNotFoundError:
            return
    os.kill(os.getpid(), signal.SIGKILL)
