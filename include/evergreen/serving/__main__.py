"""``python -m evergreen.serving``: one gateway on loopback (``EVERGREEN_GATEWAY_HOST``, ``_PORT``, ``_KEY``)."""

from __future__ import annotations

import logging
import os
import sys

from evergreen.errors import UserError
from evergreen.serving.gateway import serve

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        serve(os.environ)
    except UserError as error:
        sys.exit(f"The gateway did not start: {error}")
