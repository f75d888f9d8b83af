"""Which schemas the databases of an instance have, so that a start migrates only what has changed since."""

from __future__ import annotations

import json
from collections.abc import Mapping

from evergreen.stack.instance import Instance, write_private


def done(instance: Instance, schemas: Mapping[str, str]) -> frozenset[str]:
    """Names of the schemas that are as they should be already.

    Args:
        schemas: What each follows from now (``components.schemas``).
    """
    try:
        noted = json.loads((instance.folder / "schemas.json").read_text())
    except (FileNotFoundError, ValueError):  # migrating what is migrated does no harm
        noted = {}
    return frozenset(name for name, version in schemas.items() if noted.get(name) == version)


def note(instance: Instance, schemas: Mapping[str, str]) -> None:
    """Remembers what all migrations of a start that is healthy have brought about."""
    write_private(instance.folder / "schemas.json", dict(schemas))
