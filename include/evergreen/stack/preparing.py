"""Preparing PostgreSQL beside the supervisor's loop: initdb and the end of an old server may take their time."""

from __future__ import annotations

import threading

from evergreen.stack.postgres import EmbeddedPostgres


class Preparation(threading.Thread):
    """Runs ``prepare`` once; ``error`` says how it ended, and is empty when all is well.

    What it starts (initdb) ends within it, so that the kernel's signal at the end of a thread meets nothing that is
    to live on; the server itself is started by the supervisor's own thread.
    """

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        super().__init__(name="preparation", daemon=True)
        self._postgres = postgres
        self.error = ""
        self.start()

    def run(self) -> None:
        """As a thread."""
        try:
            self._postgres.prepare()
        except Exception as error:  # whatever it is, the supervisor goes on and tries again
            self.error = f"{type(error).__name__}: {error}"
