"""The files of a view's transform: its SQL, or its Python file with the siblings that it imports.

Nothing is imported or run; Python's imports are followed by reading them.
"""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from evergreen.spec.explain import did_you_mean
from evergreen.spec.feature_view import FeatureView
from evergreen.spec.files import read
from evergreen.spec.source import Problem, decode

_FOLDER = "features"


class Transform(NamedTuple):
    """Text of every file that the transform needs, by path from the workspace, and what is wrong with them."""

    texts: dict[str, str]
    problems: list[Problem]


def transform_of(view: FeatureView, root: Path) -> Transform:
    """Reads a view's transform."""
    relative = posixpath.normpath(f"{_FOLDER}/{view.transform_file}")
    if not relative.startswith(f"{_FOLDER}/") or view.transform_file.startswith("/"):
        problem = Problem(("transform",), "must be a file below features", view.transform, "Move the file there.")
        return Transform({}, [problem])
    got = _text(root, relative)
    if isinstance(got, Problem):
        return Transform({}, [_about(got, view)])
    made = Transform({relative: got}, [])
    if view.function is None:
        if not _has_sql(got):
            made.problems.append(Problem((), "must hold a SELECT statement, and is empty", file=relative, line=1))
        return made
    _follow(root, relative, made)
    names = _functions(got)
    if names is not None and view.function not in names:
        problem = Problem(
            ("transform",), f"must name a function of {relative}", view.function, did_you_mean(view.function, names)
        )
        made.problems.append(problem)
    return made


def _about(problem: Problem, view: FeatureView) -> Problem:
    """A file that can't be had at all is a mistake of the key that names it."""
    if problem.line:
        return problem
    rule = problem.rule.replace("must be a file", "must name a file", 1)
    return Problem(("transform",), rule, view.transform_file, problem.remedy or "Add the file to features.")


def _text(root: Path, relative: str) -> str | Problem:
    content = read(root, relative, inside=_FOLDER)
    if isinstance(content, Problem):
        return content
    text, problem = decode(content)
    return text if problem is None else problem._replace(file=relative)


def _has_sql(text: str) -> bool:
    lines = (line.strip() for line in text.splitlines())
    return any(line and not line.startswith("--") for line in lines)


def _follow(root: Path, first: str, made: Transform) -> None:
    base = posixpath.dirname(first)
    todo = [first]
    while todo:
        relative = todo.pop()
        modules = _imports(made.texts[relative], posixpath.relpath(posixpath.dirname(relative), base))
        if isinstance(modules, Problem):
            made.problems.append(modules._replace(file=relative))
            continue
        for module in modules:
            for candidate in _candidates(base, module):
                if candidate in made.texts:
                    continue
                if not (root / candidate).is_file():
                    continue
                text = _text(root, candidate)
                if isinstance(text, Problem):
                    made.problems.append(text)
                else:
                    made.texts[candidate] = text
                    todo.append(candidate)


def _candidates(base: str, module: str) -> Iterator[str]:
    """Files that importing a dotted module runs: packages on the way, then the module."""
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        path = posixpath.join(base, *parts[:length])
        yield f"{path}.py"
        yield f"{path}/__init__.py"


@lru_cache(maxsize=1024)
def _imports(text: str, package: str) -> tuple[str, ...] | Problem:
    """Dotted names, counted from the transform's folder, that a file may import."""
    tree = _parsed(text)
    if isinstance(tree, Problem):
        return tree
    here = [] if package == "." else package.split("/")
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(dict.fromkeys(alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom):
            kept = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*kept, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" if module else alias.name for alias in node.names]
            found.update(dict.fromkeys(name for name in (module, *names) if name))
    return tuple(name for name in found if "*" not in name)


@lru_cache(maxsize=1024)
def _functions(text: str) -> frozenset[str] | None:
    """Names that a file defines or imports at its top; ``None`` when it can't be read or imports all of a module."""
    tree = _parsed(text)
    if isinstance(tree, Problem):
        return None
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif not isinstance(node, ast.Expr | ast.AnnAssign):
            return None
    return None if "*" in names else frozenset(names)


def _parsed(text: str) -> ast.Module | Problem:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        return Problem((), "must be valid Python", getattr(error, "msg", None) or str(error), line=line)
