"""``evergreen rebuild``: a dataset's history again, from what its source still has."""

from __future__ import annotations

import json
import uuid
from typing import Annotated

import typer

from evergreen.cli.installation import Instance, settings_of


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("rebuild")(rebuild)


def rebuild(
    name: Annotated[str, typer.Argument(help="the dataset's name")],
    as_of: Annotated[str | None, typer.Option(help="the key as of which it is rebuilt; the newest by default")] = None,
    instance: Instance = None,
) -> None:
    """Ingests a dataset's history again and prints, as JSON, what was built, what changed and what is no longer there.

    After a changed definition (entity, times, zone, select, types) it fills the new table; rows keep the known time at
    which they were first read.
    """
    from evergreen.steps.contract import RunRef, StepInput, run_step
    from evergreen.steps.run import open_run

    settings = settings_of(instance)
    ref = RunRef(dag_id=f"{name}.rebuild", run_id=f"shell__{uuid.uuid4().hex}")
    run = open_run(settings, kind="dataset", resource=name, run=ref, partition_key=as_of)
    done = run_step(
        StepInput(step="rebuild", kind="dataset", resource=name, as_of=run.as_of, workspace=run.workspace, run=ref),
        settings,
    )
    typer.echo(json.dumps(done.output, indent=1))
