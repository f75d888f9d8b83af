"""``evergreen validate`` and ``evergreen schema``: what a workspace declares, checked without its data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from evergreen.spec.loading import Workspace


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("validate")(validate)
    app.command("schema")(schema)


def validate(
    path: Annotated[
        Path | None, typer.Argument(help="the workspace's folder; absent, EVERGREEN_WORKSPACE", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Checks all files of a workspace and prints every error; exits 0 without one, 1 with any, 2 without a folder.

    SQL is bound to empty tables of the declared types, where these are known.
    """
    from evergreen.errors import UserError
    from evergreen.features.binding import bound
    from evergreen.settings import Settings
    from evergreen.spec.loading import load

    root = Settings.from_env().workspace if path is None else path
    if not root.is_dir():
        remedy = "Name a folder that holds datasets, features and models."
        raise UserError(f"evergreen validate {root}", "must be a folder", remedy=remedy)
    workspace = bound(load(root))
    if as_json:
        typer.echo(json.dumps(_document(workspace), indent=1, default=str))
    else:
        for error in workspace.errors:
            typer.echo(str(error))
        typer.echo(_summary(workspace))
    if workspace.errors:
        raise typer.Exit(1)


def schema(
    kind: Annotated[Literal["dataset", "feature_view", "model"], typer.Argument(help="kind of the file")],
    as_markdown: Annotated[bool, typer.Option("--markdown", help="print a page for people")] = False,
) -> None:
    """Prints the JSON schema of a kind's YAML files, for an editor."""
    from evergreen.spec.reference import markdown
    from evergreen.spec.schema import json_schema

    typer.echo(markdown(kind).rstrip() if as_markdown else json.dumps(json_schema(kind), indent=1))


def _document(workspace: Workspace) -> dict[str, object]:
    return {
        "valid": not workspace.errors,
        "datasets": sorted(workspace.datasets),
        "feature_views": sorted(workspace.views),
        "models": sorted(workspace.models),
        "errors": [
            {"place": each.place, "rule": each.rule, "value": each.value, "remedy": each.remedy, "message": str(each)}
            for each in workspace.errors
        ],
    }


def _summary(workspace: Workspace) -> str:
    counts = (
        (len(workspace.datasets), "dataset"),
        (len(workspace.views), "feature view"),
        (len(workspace.models), "model"),
    )
    valid = "Valid: " + ", ".join(_counted(count, word) for count, word in counts) + "."
    if not workspace.errors:
        return valid
    files = len({error.place.split(" ")[0].partition(":")[0] for error in workspace.errors})
    return f"{_counted(len(workspace.errors), 'error')} in {_counted(files, 'file')}. {valid}"


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
