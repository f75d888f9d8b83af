"""Which instances a clone has, and which one it used last."""

from __future__ import annotations

from pathlib import Path

import evergreen
from evergreen.stack.instance import write_text

DEFAULT = "default"


def project() -> Path:
    """The folder of the clone: the one that holds ``dags/``, ``plugins/`` and ``include/``."""
    clone = Path(evergreen.__file__).resolve().parents[2]
    return clone if (clone / "dags").is_dir() else Path.cwd()


def root() -> Path:
    """The folder that holds the clone's instances."""
    return project() / ".evergreen"


def resolve(name: str | None = None, home: Path | None = None) -> Path:
    """The folder of an instance.

    Args:
        name: Name below ``.evergreen`` such as ``default`` or ``demo/flights``, or an absolute path; ``None`` for the
            one that was used last.
        home: Instead of ``.evergreen`` of the clone.
    """
    home = home or root()
    if name is None:
        note = home / "current"
        name = note.read_text().strip() if note.exists() else DEFAULT
        if not (home / name).is_dir():
            name = DEFAULT
    return home / name


def remember(folder: Path, home: Path | None = None) -> None:
    """Notes that this instance was used last; one that stands elsewhere is not noted."""
    home, folder = (home or root()).resolve(), folder.resolve()
    if folder.is_relative_to(home):
        write_text(home / "current", f"{folder.relative_to(home)}\n")


def known(home: Path | None = None) -> list[Path]:
    """The folders of all instances of the clone that were ever started."""
    home = home or root()
    return sorted(path.parent for pattern in ("*", "*/*") for path in home.glob(f"{pattern}/config.json"))
