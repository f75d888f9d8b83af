"""Puts a gateway together from the settings and runs it."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping
from types import FrameType

from evergreen.errors import UserError
from evergreen.settings import Settings

CONNECTIONS = 2
"""To the store: of the thread that follows and the one that beats."""


def serve(environ: Mapping[str, str]) -> None:
    """Serves until SIGTERM or SIGINT; requests under way are answered first.

    Needs neither store nor lake nor MLflow to start: what was served last lies in ``<home>/gateway``.

    Raises:
        UserError: When a setting is missing or wrong.
    """
    import uvicorn

    from evergreen.lake.lake import Lake
    from evergreen.serving.app import create_app
    from evergreen.serving.follow import Follower
    from evergreen.serving.journal import Journal
    from evergreen.serving.keys import Keys
    from evergreen.serving.routes import Routes
    from evergreen.serving.shipping import Shipper
    from evergreen.store.store import Store

    settings = Settings.from_env(environ)
    host, port = environ.get("EVERGREEN_GATEWAY_HOST", "127.0.0.1"), _port(environ)
    folder = settings.home / "gateway"
    store = Store(settings.store_url, connections=CONNECTIONS)
    lake, routes = Lake(settings.lake), Routes(folder, room=settings.gateway_versions_in_memory)
    seconds = settings.gateway_log_seconds
    journals = {kind: Journal(folder / "log" / kind, max_age_seconds=seconds) for kind in ("predictions", "feedback")}
    app = create_app(
        routes=routes,
        keys=Keys(folder, settings.gateway_key),
        **journals,
        follower=Follower(
            store,
            lake,
            routes,
            instance=f"{socket.gethostname()}:{port}:{os.getpid()}",
            url=f"http://{host}:{port}",
        ),
        shipper=Shipper(journals, lake),
    )
    signal.signal(signal.SIGTERM, _exit)  # uvicorn, once it has ended well, raises the signal again
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,  # with the threads' end less than the 5 s that the supervisor waits
    )


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _port(environ: Mapping[str, str]) -> int:
    text = environ.get("EVERGREEN_GATEWAY_PORT", "8900")
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise UserError("EVERGREEN_GATEWAY_PORT", "must be a port, 1 to 65535", value=text)
    return int(text)
