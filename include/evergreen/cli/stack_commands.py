"""``evergreen up``, ``down``, ``status``: the embedded stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

InstanceName = Annotated[
    str | None,
    typer.Option("--instance", help="Name below .evergreen, such as demo/flights; the one used last by default."),
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    instance: InstanceName = None,
    workspace: Annotated[Path | None, typer.Option(help="Folder with datasets/, features/ and models/.")] = None,
    calendar_from: Annotated[
        str | None, typer.Option(help="First day of the ingestion calendars; one in the future keeps them quiet.")
    ] = None,
) -> None:
    """Start the gateway, PostgreSQL, Airflow and MLflow, and leave them running.

    Where only the gateway comes up and has models to serve, it is left running, what keeps the rest is told (and tried
    again), and the command ends with code 1.
    """
    from evergreen.stack import instances
    from evergreen.stack.stack import Stack

    stack = Stack(instances.resolve(instance), workspace=workspace, calendar_from=calendar_from, on_progress=typer.echo)
    if stack.is_running():
        typer.echo("It runs already.")
    else:
        stack.start(detached=True, accept_degraded=True)
    state = stack.state
    typer.echo(stack.welcome())
    if state.phase == "degraded":
        typer.echo(
            f"Degraded: {state.error}\nThe rest is tried again by itself; `evergreen status` shows it.", err=True
        )
        raise typer.Exit(1)


def down(
    instance: InstanceName = None,
    everything: Annotated[bool, typer.Option("--all", help="Every instance of this clone.")] = False,
    remove: Annotated[bool, typer.Option(help="Delete the state too, for good.")] = False,
) -> None:
    """Stop the stack; its state stays."""
    from evergreen.stack import instances
    from evergreen.stack.stack import Stack

    for folder in instances.known() if everything else [instances.resolve(instance)]:
        stack = Stack(folder)
        ran = stack.is_running()
        stack.stop()
        if remove:
            stack.remove()
        typer.echo(f"{folder} {'stopped' if ran else 'was not running'}{' and removed' if remove else ''}.")


def status(instance: InstanceName = None) -> None:
    """Show what runs; ends with code 1 unless all of it is healthy."""
    from evergreen.stack import instances, report
    from evergreen.stack.stack import Stack

    stack = Stack(instances.resolve(instance))
    state = stack.state
    typer.echo(f"{stack.instance.folder}: {state.phase}{' ' + state.error if state.error else ''}")
    if state.phase in ("stopped", "failed"):
        raise typer.Exit(1)
    typer.echo(report.table(state, report.memory_mb(state)))
    typer.echo(stack.welcome())
    if state.phase != "healthy":
        raise typer.Exit(1)
