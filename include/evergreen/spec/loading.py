"""From a folder of YAML files to the resources they declare, with every error of every file.

A resource whose file is broken is served from its last valid version, and so is a removed one as long as a resource
that is still declared refers to it: a mistake in one file takes nothing else down.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from evergreen.errors import SpecError
from evergreen.spec.base import NAME_PATTERN, Kind, Resource
from evergreen.spec.checks import Others, Reference, Referred, check, check_references, references_of
from evergreen.spec.dataset import Dataset
from evergreen.spec.explain import problems_of
from evergreen.spec.feature_view import FeatureView
from evergreen.spec.files import FOLDERS, exists, path_of, read, scan
from evergreen.spec.last_valid import LastValid
from evergreen.spec.model import Model
from evergreen.spec.source import Problem, decode, parse
from evergreen.spec.transforms import transform_of

_CLASSES: dict[Kind, type[Resource]] = {"dataset": Dataset, "feature_view": FeatureView, "model": Model}


@dataclass(frozen=True)
class Workspace:
    """What a team declares.

    Attributes:
        root: The workspace's folder.
        errors: Every error, in the order of files and lines.
        broken: Names of the resources that are served from their last valid version.
        texts: Of each resource the text of its own files (YAML, SQL, Python) by path from the workspace, as they were
            when it was read.
    """

    root: Path = Path()
    datasets: dict[str, Dataset] = field(default_factory=dict)
    views: dict[str, FeatureView] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    errors: tuple[SpecError, ...] = ()
    broken: frozenset[str] = frozenset()
    texts: Mapping[tuple[Kind, str], Mapping[str, str]] = field(default_factory=dict, repr=False)

    def get(self, kind: Kind, name: str) -> Dataset | FeatureView | Model | None:
        """A resource by kind and name."""
        of_kind: Mapping[Kind, Mapping[str, Dataset | FeatureView | Model]] = {
            "dataset": self.datasets,
            "feature_view": self.views,
            "model": self.models,
        }
        return of_kind[kind].get(name)


def load(root: Path, last_valid: LastValid | None = None) -> Workspace:
    """Reads a whole workspace; never raises for what its files hold.

    Args:
        last_valid: Where valid versions are kept and, for broken files, found; without it broken resources are absent.
    """
    found = scan(root)
    reader = _Reader(root, last_valid, found.names)
    reader.note(found.problems)
    for kind, names in found.names.items():
        for name in names:
            reader.read(kind, name)
    if last_valid is not None:
        for kind, folder in FOLDERS.items():
            if (root / folder).is_dir():
                for name in last_valid.names(kind):
                    if (kind, name) not in reader.entries:
                        last_valid.forget(kind, name)
    return reader.workspace()


def load_one(root: Path, resource_name: str, last_valid: LastValid | None = None) -> Workspace:
    """Reads one resource and those it refers to, opening no other file.

    A name that no file declares gives a workspace without it (unless others still refer to it, see the module).
    """
    reader = _Reader(root, last_valid, None)
    if not re.fullmatch(NAME_PATTERN, resource_name):
        return reader.workspace()
    declared = [kind for kind in FOLDERS if exists(root, kind, resource_name)]
    for kind in declared or (FOLDERS if last_valid is not None else ()):
        reader.read(kind, resource_name)
    return reader.workspace()


class _Entry(NamedTuple):
    resource: Resource | None
    is_declared: bool
    is_broken: bool = False
    texts: Mapping[str, str] = {}


class _Reader:
    """Reads resources as they are asked for, each once."""

    def __init__(self, root: Path, last_valid: LastValid | None, names: dict[Kind, list[str]] | None) -> None:
        self._root, self._last_valid, self._names = root, last_valid, names
        self._errors: list[tuple[str, int, SpecError]] = []
        self._others = Others(self._referred, self._known_names)
        self.entries: dict[tuple[Kind, str], _Entry] = {}

    def read(self, kind: Kind, name: str) -> _Entry:
        """The resource, valid, from its last valid version, or absent."""
        key = (kind, name)
        if key not in self.entries:
            self.entries[key] = self._resolved(kind, name)
        return self.entries[key]

    def note(self, problems: Iterable[Problem], file: str = "", text: str | None = None) -> None:
        """Turns problems into errors; the lines of fields are looked up in the YAML's text."""
        lines = None
        for problem in problems:
            line = problem.line
            if not line and text is not None and not problem.file:
                lines = lines or parse(text)
                line = lines.line_of(problem.field)
            where = problem.file or file
            self._errors.append((where, line, error_of(problem, where, line)))

    def workspace(self) -> Workspace:
        """All that was read."""
        of_kind: dict[Kind, dict[str, Resource]] = {kind: {} for kind in FOLDERS}
        for kind, name in sorted(self.entries):
            resource = self.entries[kind, name].resource
            if resource is not None:
                of_kind[kind][name] = resource
        errors = sorted(self._errors, key=lambda each: each[:2])
        return Workspace(
            root=self._root,
            datasets=of_kind["dataset"],  # type: ignore[arg-type]
            views=of_kind["feature_view"],  # type: ignore[arg-type]
            models=of_kind["model"],  # type: ignore[arg-type]
            errors=tuple(error for _, _, error in errors),
            broken=frozenset(name for (_, name), each in self.entries.items() if each.is_broken and each.resource),
            texts={key: each.texts for key, each in self.entries.items() if each.resource},
        )

    def _resolved(self, kind: Kind, name: str) -> _Entry:
        if not re.fullmatch(NAME_PATTERN, name):
            return _Entry(None, is_declared=False)
        stored = None if self._last_valid is None else self._last_valid.get(kind, name)
        relative = path_of(kind, name)
        if not exists(self._root, kind, name):
            return _Entry(self._revived(kind, name, stored), is_declared=False, is_broken=True, texts=stored or {})
        rival = self._rival(kind, name)
        if rival is not None:
            rule = f"must have a name of its own, and {path_of(rival, name)} has it already"
            self.note([Problem((), rule, name, "Rename one of the two files.")], relative)
            return _Entry(None, is_declared=True)
        content = read(self._root, relative)
        if isinstance(content, Problem):
            self.note([content], relative)
        else:
            text, problem = decode(content)
            resource, texts, problems = (None, {}, [problem]) if problem else self._valid(kind, name, text)
            if resource is not None and not problems and self._is_whole(_parsed(kind, name, text)):
                if self._last_valid is not None and stored != texts:
                    self._last_valid.put(kind, name, texts)
                return _Entry(resource, is_declared=True, texts=texts)
            self.note(problems, relative, text)
        return _Entry(self._revived(kind, name, stored), is_declared=True, is_broken=True, texts=stored or {})

    def _valid(self, kind: Kind, name: str, text: str) -> tuple[Resource | None, dict[str, str], list[Problem]]:
        resource, references, problems = _parsed(kind, name, text)
        texts = {path_of(kind, name): text}
        found = [*problems, *check_references(references, self._others)]
        if resource is None:
            return None, texts, found
        found += check(resource, self._others)
        if isinstance(resource, FeatureView):
            transform = transform_of(resource, self._root)
            texts |= dict(sorted(transform.texts.items()))
            found += transform.problems
        return resource, texts, found

    def _revived(self, kind: Kind, name: str, stored: Mapping[str, str] | None) -> Resource | None:
        """The last valid version, if what it refers to can still be had."""
        text = (stored or {}).get(path_of(kind, name))
        if text is None:
            return None
        before = _parsed(kind, name, text)
        return before.resource if self._is_whole(before) else None

    def _is_whole(self, parsed: _Parsed) -> bool:
        """Whether all that a file refers to can be had; if not, the error stands where it was made."""
        return all(self.read(each.kind, each.name).resource is not None for each in parsed.references)

    def _rival(self, kind: Kind, name: str) -> Kind | None:
        """The kind that owns a name declared twice: the one that was valid before, else the first."""
        rivals: list[Kind] = [each for each in FOLDERS if each == kind or exists(self._root, each, name)]
        if len(rivals) == 1:
            return None
        kept = self._last_valid
        owner = next((each for each in rivals if kept and kept.get(each, name) is not None), rivals[0])
        return None if owner == kind else owner

    def _referred(self, kind: Kind, name: str) -> Referred:
        entry = self.read(kind, name)
        return Referred(entry.resource, entry.is_declared)

    def _known_names(self, kind: Kind) -> Iterable[str]:
        if self._names is None:
            self._names = scan(self._root).names
        return self._names[kind]


def references(resource: Resource) -> list[tuple[Kind, str]]:
    """Kinds and names of what a resource refers to."""
    if isinstance(resource, FeatureView):
        return [("dataset", name) for name in resource.reads]
    if isinstance(resource, Model):
        return [("dataset", resource.label.dataset), *(("feature_view", name) for name in resource.features)]
    return []


class _Parsed(NamedTuple):
    resource: Resource | None
    references: tuple[Reference, ...]
    problems: tuple[Problem, ...]


@lru_cache(maxsize=16384)
def _parsed(kind: Kind, name: str, text: str) -> _Parsed:
    """What one text says by itself; kept in the process, since the same text always says the same."""
    source = parse(text)
    problems = list(source.problems)
    if source.data is None and not problems:
        problems.append(Problem((), f"must be a mapping of a {kind.replace('_', ' ')}'s keys, and is empty", line=1))
    elif source.data is not None and not isinstance(source.data, dict):
        problems.append(Problem((), f"must be a mapping of a {kind.replace('_', ' ')}'s keys", source.data, line=1))
    if not isinstance(source.data, dict):
        return _Parsed(None, (), tuple(problems))
    data = dict(source.data)
    if "name" in data:
        written = data.pop("name")
        remedy = "Delete the line." if written == name else "Delete the line, or rename the file."
        problems.append(Problem(("name",), "must not be written: a resource has the name of its file", written, remedy))
    resource = None
    try:
        resource = _CLASSES[kind].model_validate({**data, "name": name})
    except ValidationError as error:
        problems += problems_of(error, data, kind)
    placed = tuple(each if each.line else each._replace(line=source.line_of(each.field)) for each in problems)
    return _Parsed(resource, references_of(kind, data), placed)


def error_of(problem: Problem, file: str, line: int) -> SpecError:
    """A problem with its place."""
    path = ""
    for part in problem.field:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    place = (f"{file}:{line}" if line else file) + (f" {path}" if path else "")
    return SpecError(place, problem.rule, value=problem.value, remedy=problem.remedy)
