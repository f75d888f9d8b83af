"""Questions to a server whether it is well."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from datetime import datetime
from typing import Any

# Not through a proxy: every address asked is on the loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_HEARTBEATS = {
    "scheduler": "latest_scheduler_heartbeat",
    "triggerer": "latest_triggerer_heartbeat",
    "dag_processor": "latest_dag_processor_heartbeat",
}


def fetch(address: str, timeout_seconds: float = 2.0) -> bytes | None:
    """The body of a page that answers with 200, else ``None``."""
    try:
        with _OPENER.open(address, timeout=timeout_seconds) as answer:
            return bytes(answer.read()) if answer.status == 200 else None
    except (OSError, urllib.error.URLError, ValueError):
        return None


def airflow_report(address: str) -> dict[str, Any]:
    """Airflow's own report on its components; empty when the API server does not answer."""
    body = fetch(f"{address}/api/v2/monitor/health")
    try:
        report = json.loads(body) if body else {}
    except json.JSONDecodeError:
        return {}
    return dict(report) if isinstance(report, dict) else {}


def is_well(report: dict[str, Any], component: str, since: float) -> bool:
    """Whether Airflow's report calls a component healthy by a heartbeat of this start.

    A heartbeat of the start before may still count as fresh for Airflow.

    Args:
        report: What :func:`airflow_report` gave.
        component: ``metadatabase``, ``scheduler``, ``triggerer`` or ``dag_processor``.
        since: When the component was started, seconds since the epoch.
    """
    entry = report.get(component) or {}
    if entry.get("status") != "healthy":
        return False
    if component not in _HEARTBEATS:
        return True
    heartbeat = entry.get(_HEARTBEATS[component])
    return heartbeat is not None and datetime.fromisoformat(heartbeat).timestamp() >= since
