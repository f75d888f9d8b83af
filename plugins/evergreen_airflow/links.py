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
        """The address a browser can open from Airflow's own pages."""
        return target if urlsplit(target).scheme in ("http", "https") else ""

    def address(self, target: str) -> str:
        """The address in full, for texts that are read elsewhere too."""
        return self.href(target)


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
        if not target.startswith("reports/"):
            return ""
        return f"{urlsplit(_base_url()).path}/evergreen/{quote(target)}"

    def address(self, target: str) -> str:
        """The same with Airflow's own address before it, as far as its configuration says it."""
        base = urlsplit(_base_url())
        return f"{base.scheme}://{base.netloc}{self.href(target)}" if base.netloc else self.href(target)


def _base_url() -> str:
    from airflow.sdk.configuration import conf

    return str(conf.get("api", "base_url", fallback="")).rstrip("/")


MLFLOW_RUN, REPORT = MlflowRunLink(), ReportLink()
LINKS: dict[str, StepLink] = {link.kind: link for link in (MLFLOW_RUN, REPORT)}
"""The links that a step may fill, by their kind."""
