"""``evergreen step``: one step in this process, as a pod or a shell runs it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("step")(step)


def step(
    name: Annotated[str, typer.Argument(help="the step's name, such as train")],
    document: Annotated[str, typer.Option("--input", help="StepInput as JSON, or - for standard input")] = "-",
) -> None:
    """Runs a step and prints its result as JSON; the manifest in the lake is the result that counts."""
    from pydantic import ValidationError

    from evergreen.errors import UserError
    from evergreen.settings import Settings
    from evergreen.steps.contract import StepInput, run_step

    text = sys.stdin.read() if document == "-" else document
    try:
        inp = StepInput.model_validate_json(text)
    except ValidationError as error:
        raise UserError("evergreen step --input", f"must be a StepInput in JSON: {error.errors()[0]['msg']}") from None
    if inp.step != name:
        raise UserError("evergreen step", f"was asked for {name!r}, but the input is for {inp.step!r}")
    typer.echo(run_step(inp, Settings.from_env()).model_dump_json(indent=1))
