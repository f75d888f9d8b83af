"""What all DAGs of Evergreen share: identity, tags, documentation, retries, one chain of steps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

from airflow.sdk import DAG, Asset, BaseOperatorLink
from airflow.sdk.configuration import conf

from evergreen.spec.base import Kind, Resource
from evergreen_airflow.links import MlflowRunLink, ReportLink
from evergreen_airflow.operators.step import StepOperator

MLFLOW_RUN = MlflowRunLink()
REPORT = ReportLink()

RETRIES = 3
RETRY_DELAY = timedelta(seconds=5)
MAX_RETRY_DELAY = timedelta(minutes=10)
_TAG_LIMIT = 100
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&$:@])")


class Work(NamedTuple):
    """One task: a step, how long one try may take, and what it offers.

    Attributes:
        wait_timeout: Wall-clock time that the step may wait for what is not ready yet.
        takes: Earlier steps whose outputs it needs, each of which costs a call; ``None`` for all.
        trigger_rule: When it runs; ``none_failed`` also after a skipped task, which rings nothing itself.
    """

    step: str
    time_limit: timedelta = timedelta(hours=1)
    links: tuple[BaseOperatorLink, ...] = ()
    outlet: Asset | None = None
    wait_timeout: timedelta = timedelta(minutes=30)
    takes: tuple[str, ...] | None = None
    trigger_rule: str = "all_success"


def stage_dag(
    kind: Kind, resource: Resource, stage: str, work: Sequence[Work], *, broken: bool, doc: str, **more: Any
) -> DAG:
    """The DAG ``<resource>.<stage>``: its steps one after the other, each given the outputs of those before it.

    Args:
        broken: Whether the resource is served from its last valid version.
        doc: What the DAG does, Markdown of ours.
        more: Further arguments of the DAG (schedule, start_date, max_active_runs, params).
    """
    owner = resource.owner.strip() or "evergreen"
    tags = {"evergreen", stage, kind, owner[:_TAG_LIMIT]}
    if broken:
        tags.add("spec-broken")
    dag = DAG(
        f"{resource.name}.{stage}",
        description=resource.description or None,
        doc_md=_documentation(resource, doc, broken),
        tags=tags,
        catchup=False,
        max_active_tasks=2,  # a chain of steps: never more than one at a time
        **_installation(),
        **more,
    )
    with dag:
        _chain(kind, resource.name, work, owner)
    return dag


@cache
def _installation() -> dict[str, Any]:
    """What Airflow would look up in its configuration anew for each DAG; that takes as long as building one."""
    return {
        "max_consecutive_failed_dag_runs": conf.getint("core", "max_consecutive_failed_dag_runs_per_dag"),
        "disable_bundle_versioning": conf.getboolean("dag_processor", "disable_bundle_versioning"),
    }


def _chain(kind: Kind, resource: str, work: Sequence[Work], owner: str) -> None:
    done: tuple[str, ...] = ()
    before: StepOperator | None = None
    for each in work:
        task = StepOperator(
            task_id=each.step,
            owner=owner,
            step=each.step,
            kind=kind,
            resource=resource,
            takes=done if each.takes is None else each.takes,
            wait_timeout=each.wait_timeout,
            extra_links=each.links,
            retries=RETRIES,
            retry_delay=RETRY_DELAY,
            retry_exponential_backoff=3.0,
            max_retry_delay=MAX_RETRY_DELAY,
            execution_timeout=each.time_limit,
            outlets=each.outlet,
            trigger_rule=each.trigger_rule,
        )
        if before is not None:
            before.set_downstream(task)
        before, done = task, (*done, each.step)


def _documentation(resource: Resource, doc: str, broken: bool) -> str:
    """Markdown; a team's words are escaped, and the text never ends as a file name (Airflow would open it)."""
    parts = [f"### {resource.name}"]
    if resource.description.strip():
        parts.append(_MARKDOWN.sub(r"\\\1", " ".join(resource.description.split())))
    if broken:
        parts.append("**The file of this resource is broken; its last valid version is in use.** See Import Errors.")
    return "\n\n".join([*parts, doc, ""])
