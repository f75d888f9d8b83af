"""``evergreen erase`` and ``evergreen erasures``: a person's right, which beats pins, and the record of it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from evergreen.cli.installation import Instance, person, settings_of


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("erase")(erase)
    app.command("erasures")(erasures)


def erase(
    key: Annotated[list[str], typer.Argument(metavar="COLUMN=VALUE…", help="entity columns and the value of each")],
    reason: Annotated[str, typer.Option("--reason", help="why, for those who read it later; without the value")],
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", help="only this one and what is made of it; may be repeated")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
    instance: Instance = None,
) -> None:
    """Deletes all rows of one entity key, in every version, for good; prints what went and what is left, as JSON.

    Tables, quarantine, training sets, staged rows, prediction and feedback logs are gone through; model versions that
    cannot be reproduced any more are named. Safe beside everything that runs; when it was interrupted, call it again.
    """
    from evergreen.steps.erasing import erase as erase_key

    told = erase_key(settings_of(instance), key, reason=reason, actor=person(), datasets=dataset or [], dry_run=dry_run)
    typer.echo(json.dumps(told, indent=1, ensure_ascii=False))


def erasures(instance: Instance = None) -> None:
    """Lists all erasures as JSON: who asked, when and why, what went, which versions cannot be reproduced since."""
    from evergreen.steps.erasing import listed

    typer.echo(json.dumps(listed(settings_of(instance)), indent=1, ensure_ascii=False))
