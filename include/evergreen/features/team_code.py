"""Imports a team's Python files from a workspace, each workspace for itself.

Two frozen workspaces may hold different files of the same name, and one process (a worker, a gateway) may need both.
So a folder becomes a package under a name of its own, made from what it holds, and inside of it ``import sibling``
means that folder's ``sibling.py``. Neither ``sys.path`` nor the names of other modules are touched. This isolates
names, it is no sandbox: a team's Python runs with the rights of the process.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from threading import Lock
from types import CodeType, ModuleType
from typing import Any

from evergreen.errors import DataError

_PREFIX = "_evergreen_team_"
_lock = Lock()


def load_function(file: Path, name: str, place: str) -> Callable[..., Any]:
    """A function of a team's file, imported once per content of the file's folder.

    Raises:
        DataError: When the file cannot be imported or has no such function.
    """
    package = _package(file.parent)
    try:
        module = importlib.import_module(f"{package}.{file.stem}")
    except Exception as error:
        raise DataError(place, f"must be importable, but raised {type(error).__name__}", value=str(error)) from error
    found = getattr(module, name, None)
    if not callable(found):
        raise DataError(place, f"must have a function {name}", remedy=f"Define it in {file.name}, or mend transform.")
    function: Callable[..., Any] = found
    return function


def _package(folder: Path) -> str:
    """Name of the package that stands for a folder as it is now."""
    digest = hashlib.sha256(str(folder).encode())
    for source in sorted(folder.rglob("*.py")):
        digest.update(str(source.relative_to(folder)).encode() + b"\0" + source.read_bytes() + b"\0")
    name = f"{_PREFIX}{digest.hexdigest()[:32]}"
    with _lock:
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
        if name not in sys.modules:
            package = ModuleType(name)
            package.__path__ = [str(folder)]
            sys.modules[name] = package
    return name


class _Finder(PathFinder):
    """Finds modules of team packages only."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_PREFIX):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Compiles from source (a stale bytecode file can't be met) and gives the module its own ``import``."""

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = compile(self.get_data(self.path), self.path, "exec", dont_inherit=True)
        return code

    def exec_module(self, module: ModuleType) -> None:
        package = module.__name__.partition(".")[0]
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _importer(package)}
        super().exec_module(module)


def _importer(package: str) -> Callable[..., Any]:
    folder = Path(sys.modules[package].__path__[0])

    def scoped_import(
        name: str,
        globals: dict[str, Any] | None = None,
        locals: dict[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        top = name.partition(".")[0]
        own = level == 0 and ((folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file())
        if not own or top in sys.stdlib_module_names:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = builtins.__import__(f"{package}.{name}", globals, locals, fromlist or ())
        return module if fromlist else getattr(module, top)

    return scoped_import
