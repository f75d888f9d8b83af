"""The workspace's folder: which files declare resources, and reading them without leaving it."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from evergreen.spec.base import NAME_PATTERN, Kind
from evergreen.spec.explain import did_you_mean
from evergreen.spec.source import MAX_BYTES, Problem

FOLDERS: dict[Kind, str] = {"dataset": "datasets", "feature_view": "features", "model": "models"}
"""In the order in which they refer to each other: the later to the earlier."""
_OTHER_ENDINGS = (".yml", ".json", ".toml", ".yaml")


class Found(NamedTuple):
    """What a workspace's folders hold: declared names of each kind, in order, and what must not lie there."""

    names: dict[Kind, list[str]]
    problems: list[Problem]


def path_of(kind: Kind, name: str) -> str:
    """A resource's file, relative to the workspace."""
    return f"{FOLDERS[kind]}/{name}.yaml"


def scan(root: Path) -> Found:
    """Lists a workspace without opening a file."""
    found = Found({kind: [] for kind in FOLDERS}, [])
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError as error:
        remedy = "Make the folder, or mend EVERGREEN_WORKSPACE."
        problem = Problem((), "must be a folder that holds datasets, features and models", error.strerror, remedy)
        found.problems.append(problem._replace(file=str(root)))
        return found
    kinds = {folder: kind for kind, folder in FOLDERS.items()}
    for entry in entries:
        if entry.name in kinds:
            _scan_folder(entry.path, entry.name, kinds[entry.name], found)
        elif entry.is_dir() and not entry.name.startswith((".", "_")):
            remedy = did_you_mean(entry.name, kinds)
            if remedy.startswith("Did"):
                problem = Problem((), "is not a folder of a workspace, so nothing reads it", remedy=remedy)
                found.problems.append(problem._replace(file=entry.name))
        elif entry.name.endswith(".yaml"):
            rule = "must lie in datasets, features or models"
            found.problems.append(Problem((), rule, remedy="Move the file.", file=entry.name))
    return found


def _scan_folder(path: str, folder: str, kind: Kind, found: Found, below: str = "") -> None:
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        found.problems.append(Problem((), "must be a folder that can be read", error.strerror, file=folder))
        return
    for entry in entries:
        name, relative = entry.name, f"{folder}/{below}{entry.name}"
        if name.startswith((".", "__pycache__")) or name.endswith("~"):
            continue
        if entry.is_dir(follow_symlinks=False):
            _scan_folder(entry.path, folder, kind, found, f"{below}{name}/")
            continue
        stem, ending = os.path.splitext(name)
        if ending.lower() not in _OTHER_ENDINGS:
            continue
        if ending != ".yaml":
            remedy = f"Rename it to {stem}.yaml."
            found.problems.append(Problem((), "must end in .yaml", ending, remedy, file=relative))
        elif below:
            found.problems.append(Problem((), f"must lie in {folder} itself", remedy="Move the file.", file=relative))
        elif not re.fullmatch(NAME_PATTERN, stem):
            rule = "must have a name of small letters, digits and _ that begins with a letter (at most 63)"
            found.problems.append(Problem((), rule, stem, "Rename the file.", file=relative))
        else:
            found.names[kind].append(stem)


def exists(root: Path, kind: Kind, name: str) -> bool:
    """Whether a file declares the resource, or at least tries to."""
    return os.path.lexists(os.path.join(root, path_of(kind, name)))


def read(root: Path, relative: str, *, inside: str = "") -> bytes | Problem:
    """A file's bytes, or why they can't be had: it is missing, no file, too large or not inside the workspace.

    Args:
        relative: Path of the file from the workspace.
        inside: Folder of the workspace that the file, symlinks followed, must not leave.
    """
    full = os.path.join(root, relative)
    real = os.path.realpath(full)
    allowed = os.path.realpath(os.path.join(root, inside)) if inside else os.path.realpath(root)
    if not real.startswith(allowed + os.sep):
        return Problem((), f"must not lead out of {inside or 'the workspace'}", real, "Copy the file there.", relative)
    try:
        if not stat.S_ISREG(os.stat(real).st_mode):
            return Problem((), "must be a file", file=relative)
        with open(real, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        return Problem((), "must be a file that can be read", error.strerror, file=relative)
