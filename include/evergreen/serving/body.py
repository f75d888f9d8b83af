"""Bodies as JSON, strictly: whatever is not read exactly as it was meant is the sender's mistake, said in one form."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from evergreen.errors import shorten
from evergreen.serving.refusals import invalid_body


class StrictRoute(APIRoute):
    """A route whose body must be JSON, say so, and name each key once."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI asks for it."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            if request.method == "POST":
                told = request.headers.get("content-type", "")
                if not _is_json(told):
                    rule = "must be JSON, said by the content type application/json"
                    raise invalid_body(request, rule, value=told or "none")
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        """Reads the body; NaN and infinities are left to the columns, which refuse them by place."""
        body = await self.body()
        try:
            return json.loads(body, object_pairs_hook=_object)
        except _TwiceError as error:
            raise invalid_body(self, "must name each key of an object once", value=error.key) from None
        except RecursionError:
            raise invalid_body(self, "must be JSON that is not nested so deep") from None
        except ValueError as error:  # also bytes that are no text, and numbers of thousands of digits
            raise invalid_body(self, f"must be JSON: {shorten(str(error))}") from None


class _TwiceError(Exception):
    def __init__(self, key: str) -> None:
        self.key = key


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        raise _TwiceError(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return made


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
