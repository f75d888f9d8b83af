"""Waits until its supervisor is gone, however it went, and then ends what it left: ``python -m … <descriptor> <mark>``.

The supervisor alone holds the writing end of a pipe; the kernel closes it when the supervisor ends, also by SIGKILL.
The watchdog reads the other end, so it notices at once and needs no polling.
"""

from __future__ import annotations

import os
import signal
import sys

from evergreen.stack.processes import sweep


def main() -> None:
    """Blocks on the pipe, then sweeps."""
    descriptor, mark = int(sys.argv[1]), sys.argv[2]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(descriptor, 1):
        pass
    sweep(mark, grace_seconds=8.0)


if __name__ == "__main__":
    main()
