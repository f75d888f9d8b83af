"""``python -m evergreen.serving``: one gateway on loopback (``EVERGREEN_GATEWAY_HOST``, ``_PORT``, ``_KEY``)."""

from __future__ import annotations

import logging
import os

from evergreen.serving.gateway import serve

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    serve(os.environ)
