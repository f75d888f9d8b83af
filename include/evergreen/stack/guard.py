"""The watchdog as the supervisor keeps it: a process that ends what is left when the supervisor is gone."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

log = logging.getLogger("evergreen.stack")


class Guard:
    """Holds the pipe by whose end :mod:`evergreen.stack.watchdog` notices, and keeps that process running.

    Args:
        mark: Of the processes that are to be ended.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._pipe: tuple[int, int] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def look(self) -> None:
        """Starts the watchdog if it does not run."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            log.warning("The watchdog died and was started again")
        if self._pipe is None:
            self._pipe = os.pipe()
        reader = self._pipe[0]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "evergreen.stack.watchdog", str(reader), self._mark],
            pass_fds=[reader],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def end(self) -> None:
        """Lets the watchdog see that all is over, and waits for it."""
        if self._pipe is not None and self._process is not None:
            os.close(self._pipe[1])
            self._process.wait()
