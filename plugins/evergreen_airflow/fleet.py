"""What is to be built when Airflow parses a file of ``dags/``.

The DAG processor wants every DAG of a file; a worker that runs one task wants that task's DAG only, so there only the
resource of that DAG (and what it refers to) is read.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from airflow.sdk import get_parsing_context

from evergreen.errors import SpecErrors, UserError
from evergreen.settings import Settings
from evergreen.spec.base import Resource
from evergreen.spec.dataset import Dataset
from evergreen.spec.feature_view import FeatureView
from evergreen.spec.last_valid import LastValid
from evergreen.spec.loading import Workspace, load, load_one
from evergreen.spec.model import Model

R = TypeVar("R", bound=Resource)


@dataclass(frozen=True)
class Fleet:
    """The declared resources, and which of them one file of ``dags/`` is to build.

    Attributes:
        workspace: All that was read: everything, or the running task's resource with what it refers to.
        start: First instant of the ingestion calendars.
        only: Name of the resource to build; ``None`` for all; empty for none.
    """

    workspace: Workspace
    start: datetime
    only: str | None = None

    @classmethod
    def of(cls, stage: str) -> Fleet:
        """The fleet of a stage's file, as Airflow's parsing context asks for it."""
        settings = Settings.from_env()
        dag_id = get_parsing_context().dag_id
        if dag_id is None:
            return cls(declared(settings), _start(settings))
        resource, _, its_stage = dag_id.rpartition(".")
        if its_stage != stage:
            return cls(Workspace(), _start(settings), only="")
        return cls(load_one(settings.workspace, resource, _last_valid(settings)), _start(settings), only=resource)

    def datasets(self) -> Iterator[Dataset]:
        """The datasets to build."""
        return self._each(self.workspace.datasets.values())

    def materialized_views(self) -> Iterator[FeatureView]:
        """The views to build; those on demand have no table and so no DAG."""
        return self._each(view for view in self.workspace.views.values() if view.kind == "materialized")

    def models(self) -> Iterator[Model]:
        """The models to build."""
        return self._each(self.workspace.models.values())

    def is_broken(self, name: str) -> bool:
        """Whether the resource is served from its last valid version."""
        return name in self.workspace.broken

    def _each(self, resources: Iterable[R]) -> Iterator[R]:
        with _collector_paused():
            for resource in resources:
                if self.only is None or self.only == resource.name:
                    yield resource


def is_wanted(dag_id: str) -> bool:
    """Whether Airflow asks for a DAG that belongs to no resource."""
    return get_parsing_context().dag_id in (None, dag_id)


def declared(settings: Settings) -> Workspace:
    """Everything declared, read once per process while no file changes."""
    return _declared(settings.workspace, settings.home, _fingerprint(settings.workspace))


def raise_spec_errors() -> None:
    """Raises every error of the workspace in one message, for Airflow to show as an import error.

    Raises:
        SpecErrors: When there is any; never while a task runs, whose own resource was read already.
    """
    if get_parsing_context().dag_id is not None:
        return
    errors = declared(Settings.from_env()).errors
    if errors:
        raise SpecErrors(errors)


@lru_cache(maxsize=4)
def _declared(root: Path, home: Path, fingerprint: tuple[tuple[str, int, int], ...]) -> Workspace:
    with _collector_paused():
        return load(root, LastValid(home / "last_valid"))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keeps the garbage collector away from a fleet being built: all of it stays, and it would look again and again.

    For a thousand models that is a third of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _fingerprint(root: Path) -> tuple[tuple[str, int, int], ...]:
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            try:
                stat = os.stat(path)
            except FileNotFoundError:
                continue
            found.append((path, stat.st_mtime_ns, stat.st_size))
    return tuple(sorted(found))


def _last_valid(settings: Settings) -> LastValid:
    return LastValid(settings.home / "last_valid")


def _start(settings: Settings) -> datetime:
    try:
        start = datetime.fromisoformat(settings.calendar_from)
    except ValueError:
        raise UserError("EVERGREEN_CALENDAR_FROM", "must be an ISO date", value=settings.calendar_from) from None
    return start if start.tzinfo else start.replace(tzinfo=UTC)
