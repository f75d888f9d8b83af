"""A run freezes what it runs on: its data clock and the files that its resource reaches."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from evergreen.errors import UserError
from evergreen.settings import Settings
from evergreen.spec.timing import example_key, is_ahead, parse_key, written
from evergreen.steps.context import driver_of
from evergreen.steps.contract import Kind, RunRef

if TYPE_CHECKING:
    from evergreen.spec.dataset import Dataset


class Run(BaseModel):
    """What every step of one run shares."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: str
    workspace: str


def open_run(settings: Settings, *, kind: Kind, resource: str, run: RunRef, partition_key: str | None) -> Run:
    """Gives the run's as_of and frozen workspace; whoever comes first fixes both for good.

    Args:
        partition_key: The run's key; a keyless manual run takes the newest as_of that the resource has in the store.

    Raises:
        UserError: For a keyless run of a resource that has no as_of yet, or a key that is no instant or in
            the future.
        SpecErrors: When the resource is not declared (any more) and was never valid.
    """
    from evergreen.lake.lake import Lake
    from evergreen.lake.runs import open_run as open_once

    lake = Lake(settings.lake)

    def make() -> dict[str, str]:
        from evergreen.lake.workspace import freeze
        from evergreen.spec.last_valid import LastValid
        from evergreen.spec.loading import load_one
        from evergreen.spec.reach import texts_of

        last_valid = LastValid(settings.home / "last_valid")
        workspace = load_one(settings.workspace, resource, last_valid)
        texts = texts_of(workspace, kind, resource)
        driver = driver_of(workspace, kind, resource)
        as_of = _checked(partition_key, resource, driver) if partition_key else _newest(settings, resource, driver)
        return {"as_of": as_of, "workspace": freeze(lake, texts)}

    return Run.model_validate(open_once(lake, run.dag_id, run.run_id, make))


def _newest(settings: Settings, resource: str, driver: Dataset) -> str:
    from evergreen.store.resources import Seen
    from evergreen.store.store import Store

    newest = Seen(Store(settings.store_url)).newest_as_of(resource)
    if newest is None:
        key = example_key(driver.schedule.cron, driver.timezone)
        raise UserError(
            f"{resource}: partition key",
            "must be given for the first run of a resource",
            remedy=f'Trigger with a partition key such as "{key}", the end of the interval to work on.',
        )
    return written(driver.schedule.cron, driver.timezone, newest)  # the schedule may have been edited since


def _checked(as_of: str, resource: str, driver: Dataset) -> str:
    """The key as it is: an instant has one, under which rows, figures and requests are kept."""
    try:
        right = written(driver.schedule.cron, driver.timezone, as_of)
    except ValueError:
        raise UserError(f"{resource}: partition key", "must be an ISO date or date-time", value=as_of) from None
    if right != as_of:
        raise UserError(
            f"{resource}: partition key",
            f"must be written as the schedule of {driver.name} writes it",
            value=as_of,
            remedy=f'Trigger with "{right}".',
        )
    if is_ahead(parse_key(as_of, driver.timezone), datetime.now(UTC)):
        raise UserError(
            f"{resource}: partition key",
            "must be the end of an interval that is over",
            value=as_of,
            remedy="Trigger with a key that is not in the future.",
        )
    return as_of
