"""The operator that runs one step of the library in an Airflow worker."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException, AirflowSkipException

from evergreen import faults
from evergreen.errors import NotReady, Superseded, UserError
from evergreen.settings import Settings
from evergreen.spec.base import NAME_PATTERN
from evergreen.steps.contract import Kind, RunRef, StepInput, StepResult, run_step
from evergreen.steps.run import open_run
from evergreen_airflow.account import account, addressed, paragraphs, report_in
from evergreen_airflow.known_warnings import without_known
from evergreen_airflow.links import REPORT
from evergreen_airflow.waiting import next_pause

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

XCOM_LIMIT_BYTES = 8192
_IDENTIFIER = re.compile(NAME_PATTERN)


class StepOperator(BaseOperator):
    """Runs one step for the run's partition key, on the run's frozen workspace.

    It holds two identifiers and nothing else of a spec, has no template fields, and reads the run's ``conf`` as data
    when it executes: no text from YAML or REST is ever rendered. It decides nothing and touches no data; a step that
    is called again (retry, clear, zombie) returns its stored result.

    How a step's end shows: a skip is a skipped task with its reason; a person's mistake fails at once without
    retries; what is not ready yet is looked for again, without holding a worker slot, until ``wait_timeout``; what
    somebody else decided first is skipped; anything else is retried with growing pauses. Known limitation: a retry
    after a transient fault starts a wait afresh.

    Args:
        step: Name of the step.
        kind: Kind of the resource.
        resource: Name of the resource.
        takes: Ids of earlier tasks whose outputs the step is given.
        wait_timeout: Wall-clock time after which waiting for what is not ready fails.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#e8f5e9"
    made: Mapping[str, str] = MappingProxyType({})
    """Targets of the links, known when the step has ended."""

    def __init__(
        self,
        *,
        step: str,
        kind: Kind,
        resource: str,
        takes: tuple[str, ...] = (),
        wait_timeout: timedelta = timedelta(minutes=30),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if _IDENTIFIER.fullmatch(step) is None or _IDENTIFIER.fullmatch(resource) is None:
            raise ValueError(f"step and resource must be identifiers ({NAME_PATTERN}), got {step!r} and {resource!r}")
        self.step, self.kind, self.resource = step, kind, resource
        self.takes, self.wait_timeout = takes, wait_timeout

    def execute(self, context: Context) -> dict[str, Any]:
        """Runs the step and returns its output, small JSON, for the tasks after it."""
        try:
            with without_known():
                result = self._run(context, Settings.from_env())
        except UserError as error:
            self._fail(error)
        except NotReady as error:
            self._wait(context, error)
        except Superseded as error:
            self._skip(context, str(error))
        self.made = result.links
        for line in account(result):
            log.info("%s", line)
        if result.skip is not None:
            self._skip(context, result.skip)
        output = _small(f"output of step {self.step}", result.output)
        for outlet in self.outlets:
            event = context["outlet_events"][outlet]
            event.extra = _small(f"event of step {self.step}", result.event or {})
            if context["partition_key"] is None:
                event.add_partitions([result.as_of])
            faults.point("event:before")
        return output

    def _run(self, context: Context, settings: Settings) -> StepResult:
        dag_run = context["dag_run"]
        ref = RunRef(dag_id=dag_run.dag_id, run_id=dag_run.run_id, run_type=dag_run.run_type.value)
        run = open_run(
            settings, kind=self.kind, resource=self.resource, run=ref, partition_key=context["partition_key"]
        )
        log.info("Step %s of %s as of %s on workspace %s", self.step, self.resource, run.as_of, run.workspace[:12])
        given = {**context["params"], **(dag_run.conf or {})}
        return run_step(
            StepInput(
                step=self.step,
                kind=self.kind,
                resource=self.resource,
                as_of=run.as_of,
                workspace=run.workspace,
                run=ref,
                inputs={task_id: context["ti"].xcom_pull(task_ids=task_id) or {} for task_id in self.takes},
                conf={name: value for name, value in given.items() if value not in (None, "")},
                actor=dag_run.triggering_user_name or "evergreen",
            ),
            settings,
        )

    def _fail(self, error: UserError) -> NoReturn:
        """Says what is wrong in lines, keeps the link to the report that says more, and fails without retries."""
        page = report_in(str(error))
        self.made = {} if page is None else {REPORT.kind: page}
        for line in paragraphs(str(error)):
            log.error("%s", line)
        raise AirflowFailException(addressed(str(error))) from None

    def _skip(self, context: Context, reason: str) -> NoReturn:
        context["ti"].xcom_push(key="skipped", value=reason[: XCOM_LIMIT_BYTES // 4])
        raise AirflowSkipException(reason)

    def _wait(self, context: Context, error: NotReady) -> NoReturn:
        now = datetime.now(UTC)
        waited = now - (context["ti"].get_first_reschedule_date(context) or now)
        pause = next_pause(waited, self.wait_timeout)
        if pause is None:
            raise AirflowFailException(f"{error} Gave up after waiting {self.wait_timeout}.") from None
        log.info("%s Looking again in %s", error, pause)
        raise AirflowRescheduleException(now + pause)


def _small(what: str, document: dict[str, Any]) -> dict[str, Any]:
    """The document, when it is JSON and fits an XCom."""
    try:
        size = len(json.dumps(document, allow_nan=False).encode())
    except (TypeError, ValueError) as error:
        raise AirflowFailException(f"The {what} must be plain JSON: {error}.") from None
    if size > XCOM_LIMIT_BYTES:
        raise AirflowFailException(f"The {what} must stay under {XCOM_LIMIT_BYTES} bytes of JSON, got {size}.")
    return document
