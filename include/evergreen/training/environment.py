"""What a model was trained in: interpreter, platform and installed distributions, as a digest and a list."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata

FLAVOR_PACKAGES = {"lightgbm": ("lightgbm", "numpy"), "sklearn": ("scikit-learn", "skops", "numpy", "scipy")}
"""What loading a library's model needs."""


@dataclass(frozen=True)
class Environment:
    """An environment.

    Attributes:
        python: Version of the interpreter.
        machine: Such as ``Linux x86_64``.
        packages: ``name==version`` of every distribution, sorted.
        digest: Of all of it.
    """

    python: str
    machine: str
    packages: tuple[str, ...]
    digest: str


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Reads the present environment, once per process."""
    names = {d.metadata["Name"].lower(): d.version for d in metadata.distributions() if d.metadata["Name"]}
    packages = tuple(sorted(f"{name}=={version}" for name, version in names.items()))
    python, machine = platform.python_version(), f"{platform.system()} {platform.machine()}"
    digest = hashlib.sha256("\n".join((python, machine, *packages)).encode()).hexdigest()
    return Environment(python, machine, packages, digest)


def requirements(library: str) -> list[str]:
    """Pinned requirements of a library's model, given to MLflow so that it need not infer them."""
    return [f"{name}=={metadata.version(name)}" for name in FLAVOR_PACKAGES[library]]
