"""``evergreen housekeeping``: what the DAG of that name does, in this process."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from evergreen.cli.installation import Instance, settings_of


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("housekeeping")(housekeeping)


def housekeeping(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be done")] = False,
    instance: Instance = None,
) -> None:
    """Merges small files of tables and deletes what nothing refers to any more; prints what was done, as JSON.

    Safe beside everything that runs. How long things are kept is EVERGREEN_KEEP_DAYS.
    """
    from evergreen.steps.housekeeping import housekeep

    typer.echo(json.dumps(housekeep(settings_of(instance), now=datetime.now(UTC), dry_run=dry_run), indent=1))
