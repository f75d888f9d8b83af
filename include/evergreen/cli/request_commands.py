"""``evergreen requests`` and ``evergreen withdraw``: what is asked for, and how to take it back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from evergreen.cli.installation import Instance, person, settings_of

if TYPE_CHECKING:
    from evergreen.store.claims import Request

ModelName = Annotated[str, typer.Argument(help="the model's name")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("requests")(requests)
    app.command("withdraw")(withdraw)


def requests(
    model: ModelName,
    every: Annotated[bool, typer.Option("--all", help="those that were answered too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    instance: Instance = None,
) -> None:
    """Lists the requests for a training of a model that nobody has answered, with number, as_of, cause and reason."""
    from evergreen.store.requests import Requests
    from evergreen.store.store import Store

    found = Requests(Store(settings_of(instance).store_url)).of(model)
    shown = [request for request in found if every or request.state in ("open", "claimed")]
    if as_json:
        typer.echo(json.dumps([_document(request) for request in shown], indent=1, default=str))
        return
    for request in shown:
        typer.echo(_line(request))
    if not shown:
        kept = f"; --all shows {len(found)} that were answered" if found else ""
        typer.echo(f"No request of {model} is open{kept}.")


def withdraw(
    model: ModelName,
    request: Annotated[int, typer.Argument(min=1, help="the request's number, as `evergreen requests` lists it")],
    reason: Annotated[str, typer.Option("--reason", help="why, for those who read it later")],
    instance: Instance = None,
) -> None:
    """Ends a request unanswered; a training that works on it ends before it registers anything."""
    from evergreen.registry.acts import parse_rollback_conf
    from evergreen.store.requests import Requests
    from evergreen.store.store import Store

    act = parse_rollback_conf({"action": "withdraw", "request": request, "reason": reason})
    ended = Requests(Store(settings_of(instance).store_url)).withdraw(model, request, actor=person(), reason=act.reason)
    typer.echo(_line(ended))


def _line(request: Request) -> str:
    told = f" [{request.note}]" if request.note else ""
    text = f"{request.id:>6}  {request.as_of}  {request.state}  {request.cause}: {request.reason}{told}"
    return "".join(letter if letter.isprintable() else " " for letter in text)  # a reason may come by REST


def _document(request: Request) -> dict[str, object]:
    hidden = ("dedupe_key", "created", "joined")
    return {name: value for name, value in asdict(request).items() if name not in hidden}
