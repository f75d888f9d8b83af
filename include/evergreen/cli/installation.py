"""Which installation a command speaks to, and who speaks."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from evergreen.settings import Settings

Instance = Annotated[
    str | None,
    typer.Option("--instance", help="name below .evergreen; used where EVERGREEN_STORE_URL is not set"),
]


def settings_of(instance: str | None) -> Settings:
    """Settings of a named instance; without a name of the environment, or of the instance used last."""
    from evergreen.settings import Settings

    if instance is None and "EVERGREEN_STORE_URL" in os.environ:
        return Settings.from_env()
    from evergreen.stack import instances
    from evergreen.stack.stack import Stack

    return Settings.from_env(Stack(instances.resolve(instance)).env)


def person() -> str:
    """Who runs the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "command line"
