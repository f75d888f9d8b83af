"""A look at a gateway from outside: does it serve the version that was promoted?"""

from __future__ import annotations

import httpx

from evergreen.errors import TransientError


def serving_version(url: str, model: str) -> int | None:
    """The version of a model that a gateway says it serves; ``None`` when it serves none.

    Raises:
        TransientError: When it does not answer.
    """
    try:
        answer = httpx.get(f"{url}/health", timeout=10).raise_for_status().json()
    except httpx.HTTPError as error:
        raise TransientError(f"the gateway at {url} does not answer: {error}") from error
    served = answer["models"].get(model)
    return None if served is None else int(served["version"])
