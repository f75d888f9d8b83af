"""Links from a task to what it made."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, urlsplit

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class StepLink(BaseOperatorLink):
    """A link whose target the task itself knew when it ended; empty while there is none.

    Airflow asks in the task's own process after ``execute`` and keeps the answer as an XCom, so nothing is looked up
    when the page is drawn.
    """

    kind: ClassVar[str]

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address, or an empty string when the task made no such thing."""
        return self.href(getattr(operator, "made", {}).get(self.kind, ""))

    def href(self, target: str) -> str:
        """The address a browser can open."""
        return target if urlsplit(target).scheme in ("http", "https") else ""


class MlflowRunLink(StepLink):
    """The MLflow run of a training or an evaluation."""

    kind = "mlflow_run"

    @property
    def name(self) -> str:
        """What the button says."""
        return "MLflow run"


class ReportLink(StepLink):
    """A report in the lake, shown by the plugin's route behind Airflow's login."""

    kind = "report"

    @property
    def name(self) -> str:
        """What the button says."""
        return "Report"

    def href(self, target: str) -> str:
        """The route of a lake path such as ``reports/drift/….html``."""
        from airflow.sdk.configuration import conf

        if not target.startswith("reports/"):
            return ""
        base = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
        return f"{base}/evergreen/{quote(target)}"
