"""`evergreen.page`: draws a page that was not drawn at once, for whoever opens its link."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from evergreen_airflow.operators.drift_page import DriftPageOperator
from evergreen_airflow.stages.frame import RETRY_DELAY

DAG_ID = "evergreen.page"
DOC = """Draws the page of a drift report. `monitor` draws it at once only where the verdict is drift or broken data;
the link of any other report starts this DAG when somebody opens it."""


def page() -> DAG:
    """The DAG of one task, which no calendar and no asset starts."""
    dag = DAG(
        DAG_ID,
        description="Pages of drift reports, when somebody asks for them",
        doc_md=DOC,
        tags={"evergreen", "page"},
        schedule=None,
        catchup=False,
        max_active_runs=4,
        params={
            "path": Param(type="string", pattern=r"^reports/.+\.html$", description="The page's path in the lake.")
        },
    )
    with dag:
        DriftPageOperator(
            task_id="draw",
            owner="evergreen",
            retries=1,
            retry_delay=RETRY_DELAY,
            execution_timeout=timedelta(minutes=10),
        )
    return dag
