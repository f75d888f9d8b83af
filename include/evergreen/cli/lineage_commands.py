"""``evergreen show``: everything that a model version stands on, and the same training done again."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from evergreen.cli.installation import Instance, settings_of


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("show")(show)


def show(
    model: Annotated[str, typer.Argument(help="the model's name")],
    version: Annotated[int, typer.Argument(min=1, help="a registered version")],
    retrain: Annotated[
        bool, typer.Option("--retrain", help="train again from what was kept, and compare the predictions")
    ] = False,
    instance: Instance = None,
) -> None:
    """Prints data versions, code, spec, params, environment, seed, cause and approver of a model version as JSON.

    With --retrain it ends with code 1 when the training that is done again predicts something else.
    """
    from evergreen.steps import lineage as lineages

    settings = settings_of(instance)
    document = lineages.lineage(settings, model, version).model_dump(mode="json")
    again = lineages.retrain(settings, model, version) if retrain else None
    if again is not None:
        document["retrained"] = {**again.model_dump(mode="json"), "same_predictions": again.is_same}
    typer.echo(json.dumps(document, indent=1))
    if again is not None and not again.is_same:
        raise typer.Exit(1)
