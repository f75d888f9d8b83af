"""Compares two sets of rows with Evidently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from evergreen.settings import Settings
from evergreen_airflow.failures import as_airflow_ends
from evergreen_airflow.operators.families import Evidently
from evergreen_airflow.rows import read_rows

if TYPE_CHECKING:
    from airflow.sdk import Context


class EvidentlyReportOperator(Evidently, BaseOperator):
    """Reports drift between reference and current rows by effect size, and keeps Evidently's page in the lake.

    It judges by the Jensen-Shannon distance of each column, never by a p-value, and records nothing in the store: it
    asks for no retraining.

    Args:
        reference: ``lake:TABLE``, or a CSV or Parquet path.
        current: The same, of the rows to compare.
        columns: Columns to compare; all by default.
        threshold: Distance (0 to 1) from which a column counts as drifted.
        share: Share of the columns that must drift for the whole to count.
        min_rows: Fewer rows on either side is "cannot judge".
        fail_on_drift: Whether drift fails the task, after the report was kept.

    Returns:
        ``{"drifted": true | false | null, "figures", "reasons", "report"}``; the page's path stands in ``report``.
    """

    template_fields: Sequence[str] = ("reference", "current", "columns")

    def __init__(
        self,
        *,
        reference: str,
        current: str,
        columns: list[str] | None = None,
        threshold: float = 0.2,
        share: float = 0.3,
        min_rows: int = 300,
        fail_on_drift: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reference, self.current, self.columns = reference, current, columns
        self.threshold, self.share, self.min_rows = threshold, share, min_rows
        self.fail_on_drift = fail_on_drift
        self.made: dict[str, str] = {}

    def execute(self, context: Context) -> dict[str, Any]:
        """Compares, keeps the page, returns the figures."""
        from evergreen.lake.lake import Lake
        from evergreen.monitoring.drift import compare
        from evergreen.spec.model import Drift

        with as_airflow_ends():
            spec = Drift(threshold=self.threshold, share=self.share, min_rows=self.min_rows)
            reference, current = read_rows(self.reference, self.columns), read_rows(self.current, self.columns)
            result = compare(reference, current, spec)
            if result.html is not None:
                blobs = Lake(Settings.from_env().lake).blobs
                self.made = {"report": blobs.put_content("reports/evidently", result.html.encode(), ".html")}
        if result.drifted and self.fail_on_drift:
            context["ti"].xcom_push(key="report", value=self.made.get("report"))
            raise AirflowFailException(f"Drift: {' '.join(result.reasons)} See the task's link Report.")
        return {
            "drifted": result.drifted,
            "figures": result.figures,
            "reasons": result.reasons,
            "report": self.made.get("report"),
        }
