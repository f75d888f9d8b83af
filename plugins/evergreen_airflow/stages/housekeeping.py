"""`evergreen.housekeeping`: one DAG for the whole installation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param

from evergreen.errors import UserError
from evergreen.spec.base import At
from evergreen.spec.cron import parse_cron
from evergreen_airflow.operators.housekeeping import HousekeepingOperator
from evergreen_airflow.stages.frame import MAX_RETRY_DELAY, RETRIES, RETRY_DELAY

DAG_ID = "evergreen.housekeeping"
DOC = """Keeps tables fast and the lake small; safe beside everything that runs, and after a kill at any point.

- Small files of tables are merged into few, in the order of time; every version reads as before.
- Data files that no table names, entries of their logs, results of steps, staged rows and training sets go when they
  are older than `EVERGREEN_KEEP_DAYS` (or twice that) and nothing refers to them.

By hand with `{"dry_run": true}` it only says what it would do: see the task's log or its XCom."""


def housekeeping(cron: str) -> DAG:
    """The DAG of one task.

    Args:
        cron: When it runs, in UTC; empty for by hand only.

    Raises:
        UserError: When it is no cron expression.
    """
    try:
        schedule = CronTriggerTimetable(parse_cron(cron).text, timezone="UTC") if cron.strip() else None
    except At as error:
        remedy = f"{error.remedy} Empty is for by hand only."
        raise UserError("EVERGREEN_HOUSEKEEPING", str(error), value=cron, remedy=remedy) from None
    dag = DAG(
        DAG_ID,
        description="Merged files, and the end of what nothing refers to any more",
        doc_md=DOC,
        tags={"evergreen", "housekeeping"},
        schedule=schedule,
        start_date=datetime(2020, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        params={"dry_run": Param(False, type="boolean", description="Only say what would be done.")},
    )
    with dag:
        HousekeepingOperator(
            task_id="housekeeping",
            owner="evergreen",
            retries=RETRIES,
            retry_delay=RETRY_DELAY,
            retry_exponential_backoff=3.0,
            max_retry_delay=MAX_RETRY_DELAY,
            execution_timeout=timedelta(hours=6),
        )
    return dag
