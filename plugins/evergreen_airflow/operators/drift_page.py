"""The operator that draws a page which somebody asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from evergreen.settings import Settings
from evergreen_airflow.failures import as_airflow_ends
from evergreen_airflow.operators.families import Evidently

if TYPE_CHECKING:
    from airflow.sdk import Context


class DriftPageOperator(Evidently, BaseOperator):
    """Draws the page of a drift report, ``path`` of the run's conf, unless it is there."""

    made: dict[str, str] = {}  # noqa: RUF012

    def execute(self, context: Context) -> dict[str, Any]:
        """Draws it; the page stands in the lake when the task ends."""
        from evergreen.lake.lake import Lake
        from evergreen.steps.pages import draw

        with as_airflow_ends():
            path = draw(Lake(Settings.from_env().lake), str(context["params"]["path"]))
        self.made = {"report": path}
        return {"report": path}
