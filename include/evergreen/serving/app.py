"""The gateway's HTTP interface."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from evergreen.errors import UserError, shorten
from evergreen.features.request import RequestErrors, plain
from evergreen.serving.answer import Answer, ModelFailedError, answer
from evergreen.serving.body import StrictRoute
from evergreen.serving.follow import Follower
from evergreen.serving.guard import Guard, RefusedError
from evergreen.serving.health import Health
from evergreen.serving.journal import Journal
from evergreen.serving.keys import Keys
from evergreen.serving.refusals import add_handlers, invalid_labels, invalid_rows
from evergreen.serving.routes import Routes, Target
from evergreen.serving.sequence import Sequence
from evergreen.serving.shipping import Shipper

log = logging.getLogger(__name__)

MAX_ROWS = 10_000
MAX_BYTES = 16 << 20
THREADS = 2
"""Calls answered at once; more threads only fight for the interpreter."""

STOP_SECONDS = 2.5
"""How long the end waits for the threads; what is not shipped by then is at the next start."""


class Strict(BaseModel):
    """A request's body; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class ErrorDetail(BaseModel):
    """What went wrong: of wrong rows every place, rule, value and remedy."""

    model_config = ConfigDict(extra="allow")

    type: str
    message: str


class ErrorBody(BaseModel):
    """The one form of all errors."""

    error: ErrorDetail


class Invocation(Strict):
    """Rows to predict: the model's request columns, and outputs of its materialized views where the caller has them."""

    rows: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_ROWS)


class Label(Strict):
    """The truth of an answered row, once it is known."""

    request_id: str = Field(pattern=r"^[0-9a-f]{32}-[0-9]{1,5}$")
    label: Any


class Feedback(Strict):
    """Late labels by request id."""

    labels: list[Label] = Field(min_length=1, max_length=MAX_ROWS)


def create_app(
    *,
    routes: Routes,
    keys: Keys,
    predictions: Journal,
    feedback: Journal,
    follower: Follower | None = None,
    shipper: Shipper | None = None,
) -> FastAPI:
    """Builds the application.

    Args:
        routes: What is served; restored from local disk before the first request.
        keys: Who may ask.
        predictions, feedback: Logs, written before the answer.
        follower: Follows promotions; none in a test of the interface alone.
        shipper: Brings the logs into the lake; none likewise.
    """
    reported = Health(routes, predictions, follower, shipper)
    sequence = Sequence()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        routes.restore()
        threads = [thread for thread in (shipper, follower) if thread is not None]
        for thread in threads:
            thread.start()
        yield
        deadline = time.monotonic() + STOP_SECONDS
        for thread in threads:
            thread.ask_to_stop()
        for thread in threads:
            thread.finish(max(0.1, deadline - time.monotonic()))

    app = FastAPI(
        title="Evergreen gateway",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses={status: {"model": ErrorBody} for status in (401, 404, 413, 422, 503, 507)},
    )
    app.router.route_class = StrictRoute
    app.add_middleware(Guard, keys=keys, max_bytes=MAX_BYTES)
    add_handlers(app)

    def served(name: str) -> Target:
        target = routes.target(name)
        if target is None:
            known = sorted(routes.targets())
            raise RefusedError(404, "unknown_model", f"no version of {shorten(name)!r} is served here", models=known)
        return target

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Alive; says what is served, whether promotions are followed and answers logged. Needs no key."""
        return reported.report()

    @app.post("/models/{name}/invocations")
    def invoke(name: str, body: Invocation) -> JSONResponse:
        """Predicts; every row has a request id of its own for its label to come."""
        target, now = served(name), datetime.now(UTC)
        try:
            given = answer(target, body.rows, now)
        except RequestErrors as errors:
            raise invalid_rows(errors.errors) from None
        except ModelFailedError as error:
            message = f"no version of {name!r} could answer"
            raise RefusedError(503, "model_failed", message, reason=shorten(str(error), 600)) from error
        call = uuid.uuid4().hex
        ids = [f"{call}-{index}" for index in range(len(body.rows))]
        logged = _write(predictions, name, _lines(target, given, ids, body.rows, now))
        told: dict[str, Any] = {
            "model": name,
            "version": given.version,
            "predictions": [{"request_id": i, "prediction": p} for i, p in zip(ids, given.predictions, strict=True)],
        }
        if given.fallback is not None:
            told["fallback"] = given.fallback
        if not logged:
            told["logged"] = False
        return JSONResponse(told)

    @app.post("/models/{name}/feedback", status_code=202)
    def tell(name: str, body: Feedback) -> dict[str, Any]:
        """Takes labels for earlier answers; whether there was such an answer shows only when they are joined."""
        labels, now = _labels(served(name), body.labels), datetime.now(UTC)
        lines = [
            {
                "request_id": each.request_id,
                "label": json.dumps(label),
                "received_at": now.isoformat(timespec="microseconds"),
                "sequence": sequence.next(),
            }
            for each, label in zip(body.labels, labels, strict=True)
        ]
        if not _write(feedback, name, lines):
            message = "the labels were not stored: the disk takes no more; send them again later"
            raise RefusedError(507, "disk_full", message)
        return {"accepted": len(lines)}

    return app


def _labels(target: Target, sent: list[Label]) -> list[Any]:
    """The labels as the model's dataset would hold them."""
    served = target.champion or target.fallback
    if served is None:
        message = f"no version of {target.route.model!r} can be loaded, so its labels were not stored: send them again"
        raise RefusedError(503, "model_failed", message, reason=target.fault)
    labels, errors = [], []
    for number, each in enumerate(sent):
        try:
            labels.append(served.label.read(each.label))
        except ValueError as error:
            errors.append(UserError(f"labels[{number}].label", str(error), value=plain(each.label)))
    if errors:
        raise invalid_labels(errors)
    return labels


def _lines(
    target: Target, given: Answer, ids: list[str], rows: list[dict[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    at = now.isoformat()
    return [
        {
            "request_id": request_id,
            "at": at,
            "version": given.version,
            "seq": target.route.seq,
            "row_id": about.row_id,
            "event_time": (about.event_time or now).isoformat(),
            "prediction": json.dumps(prediction),
            "row": json.dumps(row),
            "fallback": given.fallback,
        }
        for request_id, row, about, prediction in zip(ids, rows, given.about, given.predictions, strict=True)
    ]


def _write(journal: Journal, name: str, lines: list[dict[str, Any]]) -> bool:
    try:
        journal.write(name, lines)
    except OSError as error:
        log.error("Did not log %d line(s) of %s: %s", len(lines), name, error)
        return False
    return True
