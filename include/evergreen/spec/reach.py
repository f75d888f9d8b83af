"""What a resource reaches: the files that a run of it freezes."""

from __future__ import annotations

from pathlib import PurePosixPath

from evergreen.errors import SpecError, SpecErrors
from evergreen.spec.base import Kind
from evergreen.spec.files import path_of
from evergreen.spec.loading import Workspace, references


def texts_of(workspace: Workspace, kind: Kind, name: str) -> dict[str, bytes]:
    """The files of a resource and of all it refers to, by path from the workspace, in order.

    They are as they were when the workspace was read, and of a broken resource those of its last valid version: what
    is frozen is what was checked.

    Raises:
        SpecErrors: When the workspace has no such resource, with all errors that say why.
    """
    if workspace.get(kind, name) is None:
        absent = SpecError(path_of(kind, name), "must be a file that declares a valid resource")
        raise SpecErrors(workspace.errors or [absent])
    texts: dict[str, bytes] = {}
    todo = [(kind, name)]
    while todo:
        key = todo.pop()
        texts |= {path: text.encode() for path, text in workspace.texts[key].items()}
        resource = workspace.get(*key)
        if resource is not None:
            todo += references(resource)
    return dict(sorted(texts.items()))


def files_of(workspace: Workspace, kind: Kind, name: str) -> list[PurePosixPath]:
    """The paths of :func:`texts_of`, in order."""
    return [PurePosixPath(path) for path in texts_of(workspace, kind, name)]
