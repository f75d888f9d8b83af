"""The gateway's HTTP interface."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from evergreen.errors import EvergreenError, UserError
from evergreen.serving.follow import Follower
from evergreen.serving.journal import Journal
from evergreen.serving.keys import Keys
from evergreen.serving.routes import Routes, Target, answer

log = logging.getLogger(__name__)

MAX_ROWS = 10_000


class Strict(BaseModel):
    """A request's body; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Invocation(Strict):
    """Rows to predict: the model's request columns, and outputs of its materialized views where the caller has them."""

    rows: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_ROWS)


class Label(Strict):
    """The truth of an answered row, once it is known."""

    request_id: str
    label: float | int | bool | str


class Feedback(Strict):
    """Late labels by request id."""

    labels: list[Label] = Field(min_length=1, max_length=MAX_ROWS)


class Refused(EvergreenError):
    """An answer that is an error, typed for the caller."""

    def __init__(self, status: int, kind: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.body = status, {"error": {"type": kind, "message": message, **more}}


def create_app(
    *, routes: Routes, keys: Keys, predictions: Journal, feedback: Journal, follower: Follower | None = None
) -> FastAPI:
    """Builds the application.

    Args:
        routes: What is served; restored from local disk before the first request.
        keys: Who may ask.
        predictions, feedback: Logs, written before the answer.
        follower: Follows promotions; none in a test of the interface alone.
    """
    began = time.monotonic()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        routes.restore()
        if follower is not None:
            follower.start()
        yield
        if follower is not None:
            follower.stop()

    app = FastAPI(title="Evergreen gateway", lifespan=lifespan, docs_url=None, redoc_url=None)

    def allowed(
        authorization: Annotated[str | None, Header()] = None, x_api_key: Annotated[str | None, Header()] = None
    ) -> None:
        given = x_api_key or (authorization or "").removeprefix("Bearer ").strip()
        if not keys.knows(given):
            raise Refused(401, "unauthorized", "send the API key as `Authorization: Bearer KEY` or `X-API-Key`")

    def served(name: str) -> Target:
        target = routes.target(name)
        if target is None:
            known = sorted(routes.applied())
            raise Refused(404, "unknown_model", f"no version of {name!r} is served here", models=known)
        return target

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse(error.body, error.status)

    @app.get("/health")
    def health() -> dict[str, Any]:
        """Alive; says what is served and whether promotions are being followed."""
        seen = None if follower is None or follower.last_seen is None else time.monotonic() - follower.last_seen
        return {
            "status": "ok",
            "models": {name: {"version": r.version, "seq": r.seq} for name, r in routes.applied().items()},
            "store_seen_seconds_ago": None if seen is None else round(seen, 1),
            "uptime_seconds": round(time.monotonic() - began, 1),
            "unlogged_predictions": predictions.failed_lines,
        }

    @app.post("/models/{name}/invocations", dependencies=[Depends(allowed)])
    def invoke(name: str, body: Invocation) -> dict[str, Any]:
        """Predicts; every row has a request id of its own for its label to come."""
        target = served(name)
        try:
            given = answer(target, body.rows)
        except UserError as error:
            detail = {"place": error.place, "rule": error.rule, "remedy": error.remedy}
            raise Refused(422, "invalid_rows", str(error), **detail) from error
        except Exception as error:
            log.exception("No version of %s could answer", name)
            raise Refused(
                503, "model_failed", f"no version of {name!r} could answer", reason=str(error)[:200]
            ) from error
        call, at = uuid.uuid4().hex, datetime.now(UTC).isoformat()
        ids = [f"{call}-{index}" for index in range(len(body.rows))]
        lines = [
            {
                "request_id": request_id,
                "at": at,
                "version": given.version,
                "seq": target.route.seq,
                "row_id": row_id,
                "prediction": json.dumps(prediction),
                "row": json.dumps(row, default=str),
                "fallback": given.fallback or "",
            }
            for request_id, row, row_id, prediction in zip(
                ids, body.rows, given.row_ids, given.predictions, strict=True
            )
        ]
        logged = _write(predictions, name, lines)
        told: dict[str, Any] = {
            "model": name,
            "version": given.version,
            "predictions": [{"request_id": i, "prediction": p} for i, p in zip(ids, given.predictions, strict=True)],
        }
        if given.fallback is not None:
            told["fallback"] = given.fallback
        if not logged:
            told["logged"] = False
        return told

    @app.post("/models/{name}/feedback", dependencies=[Depends(allowed)], status_code=202)
    def tell(name: str, body: Feedback) -> dict[str, Any]:
        """Takes labels for earlier answers."""
        served(name)
        at = datetime.now(UTC).isoformat()
        lines = [{"request_id": e.request_id, "at": at, "label": json.dumps(e.label)} for e in body.labels]
        if not _write(feedback, name, lines):
            raise Refused(507, "disk_full", "the labels were not stored: the disk takes no more; send them again later")
        return {"accepted": len(lines)}

    return app


def _write(journal: Journal, name: str, lines: list[dict[str, Any]]) -> bool:
    try:
        journal.write(name, lines)
    except OSError as error:
        log.error("Did not log %d line(s) of %s: %s", len(lines), name, error)
        return False
    return True
