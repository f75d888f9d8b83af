"""The route that shows reports of the lake behind Airflow's login."""

from __future__ import annotations

import hashlib
import re
from html import escape
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.core_api.security import get_user
from airflow.exceptions import DagRunAlreadyExists
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


@app.get("/reports/{path:path}")
def report(path: str, user: Annotated[BaseUser, Depends(get_user)]) -> Response:
    """One HTML report below ``reports/`` of the lake, or a page that waits for it; anything else is not found."""
    settings = Settings.from_env()
    content = read_report(path, settings)
    if content is not None:
        return Response(content, media_type="text/html; charset=utf-8", headers=HEADERS)
    answer = _awaited(path, settings, user.get_name()) if _PATH.fullmatch(path) else None
    if answer is None:
        raise HTTPException(404, f"There is no report {path[:200]!r}.", headers={"Cache-Control": "private, no-store"})
    return answer


def _awaited(path: str, settings: Settings, user: str) -> Response | None:
    """What stands in for a page that can be drawn, and sees to it that it is; ``None`` for any other."""
    from evergreen.lake.lake import Lake
    from evergreen.steps.pages import state

    name = f"reports/{path}"
    match state(Lake(settings.lake), name):
        case "expired":
            return _told(410, "This page was never drawn, and the rows that it would show have expired.")
        case "to be drawn":
            failed = ask_for(name, user)
            if failed is None:
                return _told(202, "This page is being drawn; it will show here in a few seconds.", again=True)
            return _told(502, "This page could not be drawn.", link=failed)
        case _:
            return None


def ask_for(name: str, user: str) -> str | None:
    """Starts the drawing of a page, unless that was done; gives the address of a run that failed at it."""
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy import select
    from sqlalchemy.exc import IntegrityError

    from evergreen_airflow.stages.page import DAG_ID

    run_id = f"page__{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    with create_session() as session:
        run = session.scalar(select(DagRun).where(DagRun.dag_id == DAG_ID, DagRun.run_id == run_id))
        if run is not None:
            return f"/dags/{DAG_ID}/runs/{run_id}" if run.state == DagRunState.FAILED else None
    try:
        trigger_dag(
            DAG_ID,
            run_id=run_id,
            conf={"path": name},
            triggered_by=DagRunTriggeredByType.UI,
            triggering_user_name=user,
        )
    except (DagRunAlreadyExists, IntegrityError):  # another look at the same moment
        return None
    return None


def _told(status: int, text: str, *, again: bool = False, link: str = "") -> Response:
    headers = {
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
    if again:
        headers["Refresh"] = "2"
    more = (
        f'<p><a href="{escape(link)}" target="_top">See what the task says</a>; clear it to try again.</p>'
        if link
        else ""
    )
    return Response(
        f'<!doctype html><meta charset="utf-8"><title>Report</title>'
        f'<body style="font-family: sans-serif; margin: 3em"><p>{escape(text)}</p>{more}</body>',
        status_code=status,
        media_type="text/html; charset=utf-8",
        headers=headers,
    )


def read_report(path: str, settings: Settings) -> bytes | None:
    """The bytes of a report, or ``None`` when the path is not that of one or nothing stands there."""
    if _PATH.fullmatch(path) is None:
        return None
    from evergreen.lake.lake import Lake

    blobs = Lake(settings.lake).blobs
    name = f"reports/{path}"
    return blobs.get(name) if blobs.exists(name) else None
