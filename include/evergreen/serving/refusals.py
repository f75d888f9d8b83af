"""Every error of the gateway in one form: ``{"error": {"type", "message", …}}``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from evergreen.errors import UserError, shorten
from evergreen.features.request import plain
from evergreen.serving.guard import RefusedError

MAX_ERRORS = 100
_KINDS = {404: "not_found", 405: "method_not_allowed"}


def add_handlers(app: FastAPI) -> None:
    """Brings all errors of an application into that form, the framework's own too."""

    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return _of_body(request, error).response()

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return RefusedError(error.status_code, _KINDS.get(error.status_code, "bad_request"), error.detail).response()

    @app.exception_handler(Exception)
    async def internal(_: Request, error: Exception) -> JSONResponse:
        return RefusedError(500, "internal", "the gateway failed; its log says why").response()


def invalid_rows(errors: Sequence[UserError]) -> RefusedError:
    """Rows that are not what the model takes, each with place, rule, value and remedy."""
    return _invalid("invalid_rows", [_told(each) for each in errors])


def invalid_labels(errors: Sequence[UserError]) -> RefusedError:
    """Labels that cannot be of the model, likewise."""
    return _invalid("invalid_labels", [_told(each) for each in errors])


def invalid_body(request: Request, rule: str, *, value: str | None = None) -> RefusedError:
    """A body that cannot be read at all."""
    is_feedback = _is_feedback(request)
    entry = _entry("body", rule, "" if value is None else repr(value), _remedy("", is_feedback))
    return _invalid("invalid_labels" if is_feedback else "invalid_rows", [entry])


def _of_body(request: Request, error: RequestValidationError) -> RefusedError:
    """A body that is no JSON, or has not the fields that it must have."""
    is_feedback = _is_feedback(request)
    found = []
    for each in error.errors():
        place = _place(each["loc"])
        if each["type"] == "too_long" and len(each["loc"]) == 2:
            limit = each["ctx"]["max_length"]
            return RefusedError(413, "too_many_rows", f"{place} may have at most {limit} entries; send fewer at once")
        value = "" if each["type"] == "missing" else repr(plain(each["input"]))
        rule = f"{each['msg'][:1].lower()}{each['msg'][1:]}"
        found.append(_entry(place, rule, value, _remedy(each["type"], is_feedback)))
    return _invalid("invalid_labels" if is_feedback else "invalid_rows", found)


def _is_feedback(request: Request) -> bool:
    return request.url.path.endswith("/feedback")


def _told(error: UserError) -> dict[str, str]:
    return _entry(error.place, error.rule, "" if error.value is None else repr(error.value), error.remedy)


def _remedy(kind: str, is_feedback: bool) -> str:
    if kind == "string_pattern_mismatch":
        return "Send the request_id that stood beside the prediction."
    body = '{"labels": [{"request_id": …, "label": …}]}' if is_feedback else '{"rows": [{column: value, …}]}'
    return f"Send JSON of the form {body}, with Content-Type: application/json."


def _invalid(kind: str, found: Sequence[dict[str, str]]) -> RefusedError:
    first = found[0]
    rest = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    message = f"{first['place']} {first['rule']}{rest}"
    return RefusedError(422, kind, message, count=len(found), errors=list(found[:MAX_ERRORS]))


def _entry(place: str, rule: str, value: str, remedy: str) -> dict[str, str]:
    entry = {"place": shorten(place), "rule": shorten(rule), "value": shorten(value), "remedy": remedy}
    return {name: _readable(text) for name, text in entry.items() if text}


def _readable(text: str) -> str:
    """Text that can be sent: a caller's lone surrogates are shown, not returned."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _place(location: Sequence[Any]) -> str:
    """``("body", "rows", 3, "x")`` as ``rows[3].x``; text that is no JSON has a position instead."""
    if len(location) < 2 or isinstance(location[1], int):
        return "body"
    first, *rest = location[1:]
    return str(first) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
