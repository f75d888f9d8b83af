"""The operator that keeps an installation small and fast."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from evergreen.settings import Settings
from evergreen_airflow.failures import as_airflow_ends

if TYPE_CHECKING:
    from airflow.sdk import Context


class HousekeepingOperator(BaseOperator):
    """Merges small files of tables and deletes what nothing refers to any more; safe beside everything that runs.

    With ``{"dry_run": true}`` as the run's conf it only says what it would do.

    Returns:
        What was done, as :func:`evergreen.steps.housekeeping.housekeep` tells it.
    """

    ui_color = "#e8f5e9"

    def execute(self, context: Context) -> dict[str, Any]:
        """Does both parts; what failed in one does not stop the other."""
        from evergreen.steps.housekeeping import housekeep

        with as_airflow_ends():
            return housekeep(Settings.from_env(), now=datetime.now(UTC), dry_run=bool(context["params"]["dry_run"]))
