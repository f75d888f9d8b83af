"""What a step may reach: its input, the frozen workspace, and the doors to store, lake and MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.errors import TransientError, UserError
from evergreen.settings import Settings
from evergreen.spec.dataset import Dataset
from evergreen.spec.feature_view import FeatureView
from evergreen.spec.model import Model
from evergreen.spec.timing import interval_of, parse_key
from evergreen.steps.contract import Kind, StepInput

if TYPE_CHECKING:
    from evergreen.lake.lake import Lake
    from evergreen.spec.loading import Workspace
    from evergreen.store.store import Store
    from evergreen.tracking.mlflow_client import Tracking


class StepContext:
    """Opened per call; every door opens when first used."""

    def __init__(self, inp: StepInput, settings: Settings, key: str = "") -> None:
        self.inp, self.settings, self.key = inp, settings, key
        self._declared: dict[tuple[str, str], Workspace] = {}
        self.tables: dict[tuple[str, str, str], str] = {}
        """Names of the tables that definitions have, as far as they were asked for."""
        self.versions: dict[str, int] = {}
        """Versions of tables that this step reads: each is looked up once, and read at that version ever after."""

    def at(
        self,
        as_of: str,
        *,
        workspace: str | None = None,
        inputs: Mapping[str, dict[str, Any]] | None = None,
        key: str = "",
    ) -> StepContext:
        """The same step's context for another key, frozen workspace or inputs; doors that are open are shared."""
        changed = {"as_of": as_of, "workspace": workspace or self.inp.workspace, "inputs": dict(inputs or {})}
        other = StepContext(self.inp.model_copy(update=changed), self.settings, key)
        other.__dict__.update({"lake": self.lake, "store": self.store, "sweeps": self.sweeps})
        other._declared = self._declared
        return other

    def _replace_key(self, key: str) -> StepContext:
        self.key = key
        return self

    @property
    def name(self) -> str:
        """The resource's name."""
        return self.inp.resource

    @property
    def claimer(self) -> str:
        """The name under which this run claims requests: the same for each of its tries."""
        from evergreen.store.claims import claimer_of

        return claimer_of(f"{self.inp.run.dag_id}/{self.inp.run.run_id}", self.inp.workspace)

    @property
    def as_of(self) -> str:
        """The run's key."""
        return self.inp.as_of

    @cached_property
    def lake(self) -> Lake:
        """The lake of this installation."""
        from evergreen.lake.lake import Lake

        return Lake(self.settings.lake)

    @cached_property
    def store(self) -> Store:
        """The store of this installation; a connection is kept until :meth:`close`, since a step asks it many times."""
        from evergreen.store.store import Store

        return Store(self.settings.store_url, connections=1, more=None)

    def close(self) -> None:
        """Lets go of what is kept open, at the step's end or before long work; what is used again opens again."""
        if "store" in self.__dict__:
            self.store.close()

    @cached_property
    def sweeps(self) -> int:
        """How often all was gone through for a person's erasure before this step began to read."""
        from evergreen.store.erasures import Erasures

        return Erasures(self.store).sweeps()

    def is_overtaken(self) -> bool:
        """Whether an erasure went through all since: what was read before may hold rows that are to be nowhere."""
        from evergreen.store.erasures import Erasures

        return Erasures(self.store).sweeps() != self.sweeps

    def refuse_overtaken(self) -> None:
        """Keeps a step from writing what it read before an erasure.

        Raises:
            TransientError: When one went through all since; another try reads what is left.
        """
        if self.is_overtaken():
            raise TransientError(
                f"Rows were erased while {self.inp.step} of {self.name} ran: it has to read them anew."
            )

    @cached_property
    def tracking(self) -> Tracking:
        """MLflow."""
        from evergreen.tracking.mlflow_client import Tracking

        return Tracking(self.settings.mlflow_uri, ui=self.settings.mlflow_ui)

    @cached_property
    def root(self) -> Path:
        """Folder of the run's frozen workspace."""
        return self.thawed(self.inp.workspace)

    @cached_property
    def workspace(self) -> Workspace:
        """What the frozen workspace declares."""
        return self.declared(self.inp.workspace)

    def thawed(self, digest: str) -> Path:
        """Folder of any frozen workspace, unpacked once."""
        from evergreen.lake.workspace import thaw

        return thaw(self.lake, digest, self.settings.home / "cache" / "workspaces")

    def declared(self, digest: str, name: str | None = None) -> Workspace:
        """What any frozen workspace declares of a resource (this step's own by default)."""
        from evergreen.spec.loading import load_one

        name = name or self.name
        if (digest, name) not in self._declared:
            self._declared[digest, name] = load_one(self.thawed(digest), name)
        return self._declared[digest, name]

    @property
    def dataset(self) -> Dataset:
        """The step's dataset."""
        return self.workspace.datasets[self.name]

    @property
    def view(self) -> FeatureView:
        """The step's feature view."""
        return self.workspace.views[self.name]

    @property
    def model(self) -> Model:
        """The step's model."""
        return self.workspace.models[self.name]

    @cached_property
    def driver(self) -> Dataset:
        """The dataset whose calendar the step's keys belong to."""
        return driver_of(self.workspace, self.inp.kind, self.name)

    @cached_property
    def interval(self) -> tuple[datetime, datetime]:
        """Start (inclusive) and end (exclusive), in UTC, of the run's interval.

        Raises:
            UserError: When the key is not an instant of the driver's schedule.
        """
        try:
            return interval_of(self.driver.schedule.cron, self.driver.timezone, self.as_of)
        except ValueError as error:
            raise UserError(
                f"{self.name}: partition key",
                f"must be an instant of the schedule of {self.driver.name}",
                value=self.as_of,
                remedy=f"{error}. Trigger the run with a key that the schedule gives.",
            ) from None

    @cached_property
    def as_of_time(self) -> datetime:
        """The instant that the run's key means."""
        try:
            return parse_key(self.as_of, self.driver.timezone)
        except ValueError:
            raise UserError(
                f"{self.name}: partition key", "must be an ISO date or date-time", value=self.as_of
            ) from None


def driver_of(workspace: Workspace, kind: Kind, resource: str) -> Dataset:
    """The dataset whose calendar a resource's keys belong to: itself, a view's first, a model's label dataset."""
    if kind == "feature_view":
        return workspace.datasets[workspace.views[resource].reads[0]]
    return workspace.datasets[resource if kind == "dataset" else workspace.models[resource].label.dataset]
