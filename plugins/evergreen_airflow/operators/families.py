"""What operators of one tool have in common in Airflow's pages: their colour, and the links to what they make."""

from __future__ import annotations

from collections.abc import Collection

from airflow.sdk import BaseOperatorLink

from evergreen_airflow.links import MLFLOW_RUN, REPORT


class GreatExpectations:
    """Great Expectations checks rows, and leaves a report of what holds."""

    ui_color = "#ffe3cc"
    operator_extra_links: Collection[BaseOperatorLink] = (REPORT,)


class Evidently:
    """Evidently compares rows with others, and leaves a page of what moved."""

    ui_color = "#f9d9de"
    operator_extra_links: Collection[BaseOperatorLink] = (REPORT,)


class Mlflow:
    """MLflow keeps runs, versions and aliases; a task that makes or uses a run links to it."""

    ui_color = "#cfe8fb"
    operator_extra_links: Collection[BaseOperatorLink] = (MLFLOW_RUN,)
