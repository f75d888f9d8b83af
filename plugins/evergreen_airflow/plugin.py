"""What Evergreen adds to Airflow's own server: its calendar, links of tasks and the reports route."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from evergreen_airflow.links import LINKS


class EvergreenPlugin(AirflowPlugin):
    """Evergreen's plugin; registered once, by the file in the plugins folder."""

    name = "evergreen"
    # A link shows only when its class is registered here too.
    operator_extra_links = list(LINKS.values())  # noqa: RUF012 (so does Airflow's own class)

    @property
    def timetables(self) -> list[Any]:  # type: ignore[override]
        """Only who writes or reads a serialized DAG asks for it; a task that loads the plugin does not."""
        from evergreen_airflow.timetable import DataClockTimetable

        return [DataClockTimetable]

    @property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]
        """Only the API server asks for it; every task loads the plugin, and the web framework costs a second."""
        from evergreen_airflow.reports import app

        return [{"app": app, "url_prefix": "/evergreen", "name": "Evergreen"}]
