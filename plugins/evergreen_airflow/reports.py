"""The route that shows reports of the lake behind Airflow's login."""

from __future__ import annotations

import re

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import Response

from evergreen.settings import Settings

app = FastAPI(title="Evergreen", docs_url=None, redoc_url=None, openapi_url=None)

HEADERS = {
    # A report is a page of its own: scripts inside it run, but with no origin, no network and no form of ours.
    "Content-Security-Policy": (
        "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
        "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; connect-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}
_PATH = re.compile(r"(?:[A-Za-z0-9_=+-][A-Za-z0-9_=+.:-]*/)*[A-Za-z0-9_=+-][A-Za-z0-9_=+.:-]*\.html")


@app.get("/reports/{path:path}", dependencies=[Depends(get_user)])
def report(path: str) -> Response:
    """One HTML report below ``reports/`` of the lake; anything else is not found."""
    content = read_report(path, Settings.from_env())
    if content is None:
        raise HTTPException(404, f"There is no report {path[:200]!r}.", headers={"Cache-Control": "private, no-store"})
    return Response(content, media_type="text/html; charset=utf-8", headers=HEADERS)


def read_report(path: str, settings: Settings) -> bytes | None:
    """The bytes of a report, or ``None`` when the path is not that of one or nothing stands there."""
    if _PATH.fullmatch(path) is None:
        return None
    from evergreen.lake.lake import Lake

    blobs = Lake(settings.lake).blobs
    name = f"reports/{path}"
    return blobs.get(name) if blobs.exists(name) else None
