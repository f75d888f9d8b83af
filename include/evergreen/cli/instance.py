"""Where a command works: the environment's installation, or an embedded instance."""

from __future__ import annotations

import os

from evergreen.settings import Settings


def settings_of(instance: str | None) -> Settings:
    """The settings of a named instance; without a name those of the environment, else of the one used last."""
    if instance is None and "EVERGREEN_STORE_URL" in os.environ:
        return Settings.from_env()
    from evergreen.stack import instances
    from evergreen.stack.stack import Stack

    return Settings.from_env(Stack(instances.resolve(instance)).env)
