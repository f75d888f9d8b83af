"""Published tables as team code and models see them: those of their own definitions, at one version per step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from evergreen.errors import NotReady
from evergreen.spec.model import Model
from evergreen.steps.context import StepContext

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.loading import Workspace
    from evergreen.store.definitions import Definition

SYSTEM = ("_event_time", "_known_at", "_row_id", "_row_hash", "_deleted", "_as_of", "_commit")
FOLDERS = {"dataset": "datasets", "feature_view": "features"}

Tabled = Literal["dataset", "feature_view"]


def table_of(ctx: StepContext, kind: Tabled, name: str, digest: str | None = None) -> str:
    """The lake's table of a dataset or a view, as a frozen workspace defines it (the run's own by default)."""
    digest = digest or ctx.inp.workspace
    key = (kind, name, digest)
    if key not in ctx.tables:
        ctx.tables[key] = definition_of(ctx, kind, name, digest).table
    return ctx.tables[key]


def definition_of(ctx: StepContext, kind: Tabled, name: str, digest: str | None = None) -> Definition:
    """The definition of a dataset or a view in a frozen workspace; it is noted when it is first met.

    One that only adds columns to an earlier one shares that one's table.
    """
    from evergreen.ingest.definition import extends
    from evergreen.store.definitions import Definitions, digest_of

    digest = digest or ctx.inp.workspace
    document = _document(ctx, kind, name, digest)
    definitions = Definitions(ctx.store)
    known = definitions.of(name)
    mine = digest_of(document)
    found = next((each for each in known if each.digest == mine), None)
    if found is not None:
        return found
    newest = {each.table: each for each in known}  # what a table holds must all be said by whoever shares it
    shared = next((each.table for each in reversed(newest.values()) if extends(document, each.document)), None)
    return definitions.add(
        name,
        document,
        folder=FOLDERS[kind],
        workspace=digest,
        as_of=ctx.as_of,
        as_of_time=ctx.as_of_time,
        table=shared,
    )


def _document(ctx: StepContext, kind: Tabled, name: str, digest: str) -> dict[str, Any]:
    from evergreen.spec.definition import dataset_definition, view_definition

    workspace = ctx.workspace if digest == ctx.inp.workspace else ctx.declared(digest, name)
    if kind == "dataset":
        return dataset_definition(workspace.datasets[name])
    view = workspace.views[name]
    return view_definition(workspace, view, {each: table_of(ctx, "dataset", each, digest) for each in view.reads})


def version_of(ctx: StepContext, table: str) -> int:
    """The version at which this step reads a table; -1 where nothing is published."""
    if table not in ctx.versions:
        ctx.versions[table] = ctx.lake.table(table).version()
    return ctx.versions[table]


def read(ctx: StepContext, table: str, columns: list[str] | None = None, **how: Any) -> pa.Table:
    """Reads a table at this step's version of it; arguments as of :meth:`evergreen.lake.tables.Table.read`.

    Raises:
        NotReady: When nothing is published.
    """
    return ctx.lake.table(table).read(columns, version=published(ctx, table), **how)


def published(ctx: StepContext, table: str) -> int:
    """The version at which this step reads a table.

    Raises:
        NotReady: When nothing is published.
    """
    version = version_of(ctx, table)
    if version < 0:
        raise NotReady(f"Nothing of {table} is published yet")
    return version


def as_declared(table: pa.Table) -> pa.Table:
    """A team's own columns and ``known_at``, without the system's."""
    known_at = table["_known_at"]
    table = table.drop_columns([name for name in SYSTEM if name in table.column_names])
    return table if "known_at" in table.column_names else table.append_column("known_at", known_at)


def label_rows(
    ctx: StepContext,
    model: Model,
    *,
    known_by: datetime,
    event_from: datetime | None,
    event_to: datetime,
    columns: Sequence[str] | None = None,
    workspace: str | None = None,
) -> pa.Table:
    """Rows of the label's dataset as known at an instant, by event time; system columns included.

    Args:
        columns: To read, as far as they are there; all by default, which other versions of the model may ask for.
        workspace: Digest of the frozen files whose definition of the dataset is read; the run's own by default.
    """
    table = table_of(ctx, "dataset", model.label.dataset, workspace)
    if version_of(ctx, table) < 0:
        raise NotReady(f"{ctx.name} needs rows of {model.label.dataset}, of which nothing is published yet")
    span = {"known_by": known_by, "event_from": event_from, "event_to": event_to}
    return read(ctx, table, None if columns is None else list(columns), if_there=True, **span)


def model_frame(
    ctx: StepContext, model: Model, workspace: Workspace, digest: str, rows: pa.Table, *, known_by: datetime
) -> pa.Table:
    """Labels and features of rows, each feature as it was known at the row's own prediction time."""
    from evergreen.features.frame import build
    from evergreen.steps.lookups import reader

    read_versions = reader(ctx, model, workspace, digest, rows, known_by=known_by)
    return build(model, workspace, ctx.thawed(digest), rows=rows, read_versions=read_versions)


def missing_views(ctx: StepContext, model: Model) -> list[str]:
    """Materialized views of a model of which nothing is published yet."""
    return [name for name in materialized(ctx.workspace, model) if version_of(ctx, view_table(ctx, name)) < 0]


def view_table(ctx: StepContext, name: str) -> str:
    """The table of a view as the run's own workspace defines it."""
    return table_of(ctx, "feature_view", name)


def versions(ctx: StepContext, model: Model) -> dict[str, int]:
    """Table -> version of all that a model reads in this step; -1 where nothing is published."""
    names = [table_of(ctx, "dataset", model.label.dataset)]
    names += [view_table(ctx, name) for name in materialized(ctx.workspace, model)]
    return {name: version_of(ctx, name) for name in names}


def materialized(workspace: Workspace, model: Model) -> list[str]:
    """Names of a model's views that have a table."""
    return [name for name in model.features if workspace.views[name].kind == "materialized"]


def seams(ctx: StepContext, model: Model, workspace: str | None = None) -> list[dict[str, Any]]:
    """Where a dataset below a model goes on in one table under two definitions, by its owner's wish.

    Args:
        workspace: Digest of the frozen files whose definitions are looked at; the run's own by default.

    Returns:
        ``dataset``, ``table`` and ``from`` (the key from which on the later definition counts) of each seam.
    """
    from evergreen.store.definitions import Definitions

    digest = workspace or ctx.inp.workspace
    declared = ctx.workspace if digest == ctx.inp.workspace else ctx.declared(digest)
    names = [model.label.dataset]
    names += [each for view in materialized(declared, model) for each in declared.views[view].reads]
    found = []
    for name in dict.fromkeys(names):
        table = table_of(ctx, "dataset", name, digest)
        for each in Definitions(ctx.store).of(name):
            if each.table == table and each.seam is not None:
                found.append({"dataset": name, "table": table, "from": each.seam["from"]})
    return found
