"""Checks rows with Great Expectations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from evergreen.errors import UserError
from evergreen.settings import Settings
from evergreen_airflow.failures import as_airflow_ends
from evergreen_airflow.operators.families import GreatExpectations
from evergreen_airflow.rows import read_rows

if TYPE_CHECKING:
    from airflow.sdk import Context

    from evergreen.spec.dataset import Expectation


class GreatExpectationsCheckOperator(GreatExpectations, BaseOperator):
    """Checks rows against expectations and keeps a readable report in the lake.

    It changes no data and quarantines nothing; a dataset's own ingestion does that.

    Args:
        source: ``lake:TABLE``, or a CSV or Parquet path.
        expectations: As in a dataset's YAML: ``{"expect", "column"?, "severity"?, "mostly"?, "args"?}``.
        columns: Columns to read; all by default.
        fail_on_error: Whether a broken expectation of severity ``error`` fails the task, after the report was kept.

    Returns:
        The verdict's figures, and under ``report`` the page's path in the lake.
    """

    template_fields: Sequence[str] = ("source", "expectations", "columns")

    def __init__(
        self,
        *,
        source: str,
        expectations: list[dict[str, Any]],
        columns: list[str] | None = None,
        fail_on_error: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source, self.expectations, self.columns = source, expectations, columns
        self.fail_on_error = fail_on_error
        self.made: dict[str, str] = {}

    def execute(self, context: Context) -> dict[str, Any]:
        """Checks, keeps the report, then fails when rows break what must hold."""
        from evergreen.lake.lake import Lake
        from evergreen.quality.report import report_html
        from evergreen.quality.validate import validate

        with as_airflow_ends():
            rules = [_expectation(number, each) for number, each in enumerate(self.expectations)]
            verdict = validate(read_rows(self.source, self.columns), rules)
            page = report_html(verdict, f"{context['dag_run'].dag_id}: {self.source}")
            blobs = Lake(Settings.from_env().lake).blobs
            self.made = {"report": blobs.put_content("reports/expectations", page.encode(), ".html")}
        figures = {**verdict.to_dict(), "report": self.made["report"]}
        broken = [each for each in verdict.failures if each.severity == "error"]
        if broken and self.fail_on_error:
            context["ti"].xcom_push(key="verdict", value=figures)
            rules_broken = "; ".join(each.rule for each in broken[:5])
            raise AirflowFailException(
                f"{self.source}: {len(broken)} of {len(verdict.results)} expectations broken: {rules_broken}. "
                "See the task's link Report."
            )
        return figures


def _expectation(number: int, given: dict[str, Any]) -> Expectation:
    from pydantic import ValidationError

    from evergreen.spec.dataset import Expectation

    try:
        return Expectation.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise UserError(f"expectations[{number}].{field}", first["msg"], value=first.get("input")) from None
