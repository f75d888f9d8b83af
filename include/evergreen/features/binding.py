"""Binds a workspace's SQL to the types that it declares: what can be known of ``select`` and views without their data.

Reading a workspace costs no more for it: DAGs are built from what :mod:`evergreen.spec.loading` reads, ``evergreen
validate`` asks here as well. What does not bind fails at its run, loudly and without a retry.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from evergreen.errors import SpecError
from evergreen.features.signature import EVENT_TIME, PREDICTION_TIME
from evergreen.features.views import KNOWN_AT
from evergreen.spec.base import DType, Kind
from evergreen.spec.checks import Columns, Others, Referred, check, declared_columns
from evergreen.spec.files import path_of
from evergreen.spec.loading import Workspace, error_of, references
from evergreen.spec.source import Problem, parse

if TYPE_CHECKING:
    from evergreen.lake.binding import Binder
    from evergreen.lake.determinism import Fault
    from evergreen.spec.dataset import Dataset
    from evergreen.spec.feature_view import FeatureView

_PARAMS = ("start", "end", "as_of")
_Found = dict[tuple[Kind, str], list[Problem]]


def bound(workspace: Workspace) -> Workspace:
    """The workspace without the resources that do not bind (and what refers to them), with the errors that say why.

    A ``select`` is bound where its source's columns are declared, SQL of a view where the columns of all that it reads
    are known. Of all SQL it is known whether it can be parsed and is a function of its rows. Python is not looked into.
    """
    if not any(_has_sql(workspace)):
        return workspace
    from evergreen.lake.binding import Binder

    found: _Found = {}
    with Binder() as binder:
        columns = {name: _of_dataset(each, workspace, binder, found) for name, each in workspace.datasets.items()}
        _check_again(workspace, columns, found)
        for name, view in workspace.views.items():
            if view.function is None:
                found.setdefault(("feature_view", name), []).extend(_of_view(view, workspace, columns, binder))
    return _without(workspace, {key: problems for key, problems in found.items() if problems})


def _has_sql(workspace: Workspace) -> Iterator[bool]:
    yield from (dataset.select is not None for dataset in workspace.datasets.values())
    yield from (view.function is None for view in workspace.views.values())


def _of_dataset(dataset: Dataset, workspace: Workspace, binder: Binder, found: _Found) -> Columns | None:
    """A dataset's columns as far as they can be known; what is wrong with its ``select`` is noted."""
    if dataset.select is None:
        return declared_columns(dataset)
    problems = found.setdefault(("dataset", dataset.name), [])
    made = binder.bind(dataset.select, {"source": dataset.columns})
    yaml = workspace.texts["dataset", dataset.name][path_of("dataset", dataset.name)]
    problems += [_problem(("select",), fault)._replace(line=_line_in(yaml, fault.line)) for fault in made.faults]
    if made.columns is None:
        return None
    names = [name for name, _ in made.columns]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        problems.append(Problem(("select",), "must name every column once", name, "Give them names with AS."))
    for name in made.unfit:
        rule = "must give numbers, texts, truth values, dates or timestamps only"
        problems.append(Problem(("select",), rule, name, "Cast it there, or leave it out."))
    return None if problems else dict(made.columns)


def _line_in(yaml: str, line: int) -> int:
    """The line of the file that is this one of a ``select`` written as a block; else that of the key."""
    key = parse(yaml).line_of(("select",))
    written = yaml.splitlines()[key - 1]
    return key + line if re.search(r"select:\s*\|[-+0-9]*\s*(#.*)?$", written) else key


def _check_again(workspace: Workspace, columns: Mapping[str, Columns | None], found: _Found) -> None:
    """The checks between resources, now that more columns are known; what they find was not known before."""

    def get(kind: Kind, name: str) -> Referred:
        return Referred(workspace.get(kind, name), True)

    def names(kind: Kind) -> list[str]:
        every: dict[Kind, list[str]] = {
            "dataset": [*workspace.datasets],
            "feature_view": [*workspace.views],
            "model": [*workspace.models],
        }
        return every[kind]

    others = Others(get, names, lambda dataset: columns[dataset.name])
    for name, dataset in workspace.datasets.items():
        if dataset.select is not None and columns[name] is not None:
            found.setdefault(("dataset", name), []).extend(check(dataset, others))
    for name, model in workspace.models.items():
        found.setdefault(("model", name), []).extend(check(model, others))


def _of_view(
    view: FeatureView, workspace: Workspace, columns: Mapping[str, Columns | None], binder: Binder
) -> Iterator[Problem]:
    file = posixpath.normpath(f"features/{view.transform_file}")
    sql = workspace.texts["feature_view", view.name][file]
    for told, tables in _tables_of(view, workspace, columns):
        if view.kind == "materialized":
            made = binder.bind(sql, tables, params=_PARAMS)
            wanted = [*view.entity, view.timestamp, *view.outputs]
        else:
            made = binder.bind(sql, tables, times=f"{EVENT_TIME} and {PREDICTION_TIME}")
            wanted = list(view.outputs)
        problems = [_problem((), fault, told)._replace(file=file, line=fault.line) for fault in made.faults]
        names = [name for name, _ in made.columns or ()]
        missing = [name for name in wanted if name not in names]
        if made.columns is not None and missing:
            rule = f"must give the columns {', '.join(wanted)}, but lacks {', '.join(missing)}"
            remedy = f"Select them, or mend {path_of('feature_view', view.name)}."
            problems.append(Problem((), rule, names, remedy, file, 1))
        if problems:
            yield from problems
            return


def _tables_of(
    view: FeatureView, workspace: Workspace, columns: Mapping[str, Columns | None]
) -> Iterator[tuple[str, dict[str, Mapping[str, DType] | None]]]:
    """The tables of a view; of an on-demand one, those of each model that uses it, with words that say so."""
    if view.kind == "materialized":
        yield "", {name: _whole(columns[name], KNOWN_AT) for name in view.reads}
        return
    models = [model for model in workspace.models.values() if view.name in model.features]
    for model in models:
        of_label = columns[model.label.dataset]
        asked = None if of_label is None else {name: of_label[name] for name in model.request if name in of_label}
        yield f" for model {model.name}", {"request": _whole(asked, EVENT_TIME, PREDICTION_TIME)}
    if not models:
        yield "", {"request": None}


def _whole(columns: Columns | None, *times: str) -> dict[str, DType] | None:
    """Columns whose types are all known, with some instants; ``None`` otherwise."""
    if columns is None or any(dtype is None for dtype in columns.values()):
        return None
    instants: dict[str, DType] = dict.fromkeys(times, "timestamp")
    return instants | {name: dtype for name, dtype in columns.items() if dtype is not None}


def _problem(field: tuple[str, ...], fault: Fault, told: str = "") -> Problem:
    rule = fault.rule.replace("; it says:", f"{told}; it says:", 1) if told else fault.rule
    return Problem(field, rule, fault.what, fault.remedy)


def _without(workspace: Workspace, found: _Found) -> Workspace:
    """Takes out what has problems, and what refers to it."""
    gone = set(found)
    for kind, resources in (("feature_view", workspace.views), ("model", workspace.models)):
        for name, resource in resources.items():
            if gone & set(references(resource)):
                gone.add((kind, name))  # type: ignore[arg-type]
    errors = [(_place(error), error) for error in workspace.errors]
    for (kind, name), problems in found.items():
        file = path_of(kind, name)
        text = workspace.texts[kind, name][file]
        lines = parse(text)
        for problem in problems:
            line = problem.line or lines.line_of(problem.field)
            error = error_of(problem, problem.file or file, line)
            errors.append((_place(error), error))
    return replace(
        workspace,
        datasets={name: each for name, each in workspace.datasets.items() if ("dataset", name) not in gone},
        views={name: each for name, each in workspace.views.items() if ("feature_view", name) not in gone},
        models={name: each for name, each in workspace.models.items() if ("model", name) not in gone},
        errors=tuple(error for _, error in sorted(errors, key=lambda each: each[0])),
    )


def _place(error: SpecError) -> tuple[str, int]:
    file, _, line = error.place.partition(" ")[0].partition(":")
    return file, int(re.sub(r"\D", "", line) or 0)
