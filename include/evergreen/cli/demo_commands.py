"""``evergreen demo``: a model's whole life on real data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("demo")(demo)


def demo(
    example: Annotated[str, typer.Option(help="flights or bikes")] = "flights",
    csv: Annotated[Path | None, typer.Option(help="hour.csv of the bike-sharing data set, for bikes")] = None,
    home: Annotated[Path, typer.Option(help="folder of instances")] = Path(".evergreen"),
    periods: Annotated[int | None, typer.Option(min=1, help="stop after so many periods")] = None,
) -> None:
    """Lives a model's life through Airflow, tells it, and stops everything that it started."""
    from evergreen.errors import UserError
    from evergreen.replay.demo import run
    from evergreen.replay.example import Example

    chosen: Example
    if example == "flights":
        from evergreen.replay.flights import Flights

        chosen = Flights()
    elif example == "bikes":
        from evergreen.replay.bikes import Bikes

        if csv is None:
            raise UserError("make demo EXAMPLE=bikes", "needs CSV=path/to/hour.csv of the bike-sharing data set")
        chosen = Bikes(csv.expanduser())
    else:
        raise UserError("EXAMPLE", "must be flights or bikes", value=example)
    run(chosen, home.absolute(), root=Path.cwd(), periods=periods)
