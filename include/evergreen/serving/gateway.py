"""Puts a gateway together from the settings and runs it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from evergreen.errors import UserError
from evergreen.settings import Settings


def serve(environ: Mapping[str, str]) -> None:
    """Serves until SIGTERM or SIGINT; requests under way are answered first.

    Raises:
        UserError: When there is no API key, neither given nor remembered.
    """
    import uvicorn

    from evergreen.lake.lake import Lake
    from evergreen.serving.app import create_app
    from evergreen.serving.follow import Follower
    from evergreen.serving.journal import Journal
    from evergreen.serving.keys import Keys
    from evergreen.serving.routes import Routes
    from evergreen.store.store import Store

    settings = Settings.from_env(environ)
    host = environ.get("EVERGREEN_GATEWAY_HOST", "127.0.0.1")
    port = int(environ.get("EVERGREEN_GATEWAY_PORT", "8900"))
    folder = settings.home / "gateway"
    if not settings.gateway_key and not (folder / "keys.json").exists():
        raise UserError("EVERGREEN_GATEWAY_KEY", "must be set at a gateway's first start")
    routes, keys = Routes(folder), Keys(folder, settings.gateway_key)
    predictions, feedback = Journal(folder / "log", "predictions"), Journal(folder / "log", "feedback")
    follower = Follower(
        Store(settings.store_url),
        Lake(settings.lake),
        routes,
        [predictions, feedback],
        instance=f"{socket.gethostname()}:{port}:{os.getpid()}",
        url=f"http://{host}:{port}",
    )
    app = create_app(routes=routes, keys=keys, predictions=predictions, feedback=feedback, follower=follower)
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=10)
