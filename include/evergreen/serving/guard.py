"""Who may ask, and how much: looked at before a byte of the body is read."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evergreen.serving.keys import Keys


class RefusedError(HTTPException):
    """An answer that is an error, in the one form that all of them have."""

    def __init__(self, status: int, kind: str, message: str, **more: Any) -> None:
        super().__init__(status, message)
        self.body = {"error": {"type": kind, "message": message, **more}}

    def response(self) -> JSONResponse:
        """As HTTP."""
        return JSONResponse(self.body, self.status_code)


class Guard:
    """Lets a call through when it has a known API key and its body is not too large.

    Args:
        app: What it guards.
        open_paths: Paths that need no key.
        max_bytes: Of a body.
    """

    def __init__(self, app: ASGIApp, *, keys: Keys, max_bytes: int, open_paths: Collection[str] = ("/health",)) -> None:
        self._app, self._keys, self._max_bytes, self._open = app, keys, max_bytes, frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI calls it."""
        if scope["type"] != "http" or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self._keys.knows(_key(headers)):
            rule = "send the API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            answer = RefusedError(401, "unauthorized", rule).response()
            answer.headers["WWW-Authenticate"] = "Bearer"
            await answer(scope, receive, send)
            return
        told = headers.get("content-length") or "0"
        if not (told.isascii() and told.isdigit()):
            rule = "the Content-Length must be a number of bytes"
            await RefusedError(400, "bad_request", rule).response()(scope, receive, send)
            return
        if len(told) > 18 or int(told) > self._max_bytes:
            await self._too_large().response()(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._max_bytes:
                raise self._too_large()
            return message

        await self._app(scope, counted, send)

    def _too_large(self) -> RefusedError:
        rule = f"a body may have at most {self._max_bytes} bytes; send fewer rows at once"
        return RefusedError(413, "body_too_large", rule, max_bytes=self._max_bytes)


def _key(headers: Headers) -> str:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key") or (credentials.strip() if scheme.lower() == "bearer" else "")
