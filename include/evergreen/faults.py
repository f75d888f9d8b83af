"""Named points at which a drill may kill or stop the process.

``EVERGREEN_KILL_AT=publish.commit:after`` makes the process kill itself with SIGKILL when it reaches that point, once
per ``EVERGREEN_KILL_TOKEN`` file (removed at the kill, so that the retry passes). ``EVERGREEN_STOP_AT`` stops it there
with SIGSTOP, as a machine that hangs would, until somebody continues it. For processes that run already,
``EVERGREEN_DRILLS`` names a folder: a file in it named like a point, with the content ``KILL`` or ``STOP``, is an order
for the first process that reaches the point; it is removed as it is obeyed. Without the variables a point costs three
dictionary lookups.
"""

from __future__ import annotations

import os
import signal


def point(name: str) -> None:
    """Dies or stops here when the drill asks for it; otherwise does nothing."""
    orders = os.environ.get("EVERGREEN_DRILLS")
    if orders is not None:
        _obey(os.path.join(orders, name))
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


def _obey(order: str) -> None:
    taken = f"{order}.{os.getpid()}"
    try:
        os.rename(order, taken)  # of several processes that reach the point, one gets the order
    except FileNotFoundError:
        return
    with open(taken, encoding="utf-8") as file:
        word = file.read().strip()
    os.unlink(taken)
    os.kill(os.getpid(), signal.Signals[f"SIG{word}"])
