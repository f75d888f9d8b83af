"""Rules between fields and between files; each check gives every problem that it finds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from evergreen.spec import expectations, split_checks
from evergreen.spec.base import DType, Kind, Resource
from evergreen.spec.dataset import Dataset
from evergreen.spec.explain import did_you_mean
from evergreen.spec.feature_view import FeatureView
from evergreen.spec.files import path_of
from evergreen.spec.model import METRICS_OF_TASK, Model
from evergreen.spec.source import Field, Problem

_LISTS: dict[Kind, dict[str, Kind]] = {"feature_view": {"reads": "dataset"}, "model": {"features": "feature_view"}}
_WORDS: dict[Kind, str] = {"dataset": "dataset", "feature_view": "feature view", "model": "model"}
ENDINGS = (".csv", ".csv.gz", ".csv.zip", ".zip", ".parquet")
"""Of files, by which their format is told."""
_LABEL_TYPES: dict[str, tuple[DType, ...]] = {
    "binary": ("bool", "int", "float"),
    "multiclass": ("string", "int", "float", "bool"),
    "regression": ("float", "int", "bool"),
}

Columns = Mapping[str, DType | None]
"""A dataset's columns with their types, as far as these are known."""


class Referred(NamedTuple):
    """What a name stands for: the resource, if it can be had at all, and whether a file declares it."""

    resource: Resource | None
    is_declared: bool


class Reference(NamedTuple):
    """A name in a file that stands for another resource."""

    field: Field
    kind: Kind
    name: str


def declared_columns(dataset: Dataset) -> Columns | None:
    """A dataset's columns as far as its YAML tells; ``None`` where only its files or its SQL do."""
    return None if dataset.select is not None or dataset.columns is None else dataset.columns


class Others(NamedTuple):
    """The rest of the workspace, as far as a check may ask for it."""

    get: Callable[[Kind, str], Referred]
    names: Callable[[Kind], Iterable[str]]
    columns: Callable[[Dataset], Columns | None] = declared_columns


def check(resource: Resource, others: Others) -> list[Problem]:
    """Every problem of a resource whose fields are right one by one."""
    if isinstance(resource, Dataset):
        return list(_dataset(resource, others.columns(resource)))
    if isinstance(resource, FeatureView):
        return list(_view(resource))
    if isinstance(resource, Model):
        return list(_model(resource, others))
    raise TypeError(f"no checks for {type(resource).__name__}")


def check_references(references: Iterable[Reference], others: Others) -> list[Problem]:
    """A problem for every name that stands for nothing."""
    found = []
    for field, kind, name in references:
        if not others.get(kind, name).is_declared:
            found.append(Problem(field, f"must name a {_WORDS[kind]}", name, did_you_mean(name, others.names(kind))))
    return found


def references_of(kind: Kind, data: Mapping[str, Any]) -> tuple[Reference, ...]:
    """What a file refers to, read from its values, whatever else is wrong with them."""
    found: list[tuple[Field, Kind, object]] = []
    if kind == "model":
        label = data.get("label")
        found.append((("label", "dataset"), "dataset", label.get("dataset") if isinstance(label, Mapping) else None))
    for key, referred in _LISTS.get(kind, {}).items():
        names = data.get(key)
        found += [((key, n), referred, each) for n, each in enumerate(names if isinstance(names, list) else [])]
    return tuple(Reference(field, of, name) for field, of, name in found if isinstance(name, str))


def _dataset(dataset: Dataset, columns: Columns | None) -> Iterator[Problem]:
    yield from _ending(dataset)
    named: list[tuple[Field, str | None]] = [
        (("event_time",), dataset.event_time),
        (("known_at",), dataset.known_at),
        *((("entity", index), each) for index, each in enumerate(dataset.entity)),
        *((("expectations", index, "column"), each.column) for index, each in enumerate(dataset.expectations)),
    ]
    if columns is not None:
        for field, column in named:
            if column is not None and column not in columns:
                yield Problem(field, "must be one of the columns", column, did_you_mean(column, columns))
    yield from _once("entity", dataset.entity)
    if dataset.event_time in dataset.entity:
        yield Problem(("entity", dataset.entity.index(dataset.event_time)), "must not repeat event_time")
    for index, expectation in enumerate(dataset.expectations):
        for problem in expectations.problems_of(expectation):
            yield problem._replace(field=("expectations", index, *problem.field))


def _ending(dataset: Dataset) -> Iterator[Problem]:
    """A path whose ending tells no format; one without an ending may be a folder, a wildcard may match any."""
    last = PurePosixPath(dataset.source.path).name.lower()
    ending = re.search(r"\.[a-z][a-z0-9]*$", last)
    if dataset.source.format is None and ending is not None and not last.endswith(ENDINGS):
        rule = f"must end in one of {', '.join(ENDINGS)}, or source.format be given"
        remedy = "Write format: csv or format: parquet below source, or mend the path."
        yield Problem(("source", "path"), rule, dataset.source.path, remedy)


def _view(view: FeatureView) -> Iterator[Problem]:
    yield from _once("reads", view.reads)
    yield from _once("entity", view.entity)


def _model(model: Model, others: Others) -> Iterator[Problem]:
    for field in ("request", "features", "exclude"):
        yield from _once(field, getattr(model, field))
    views: list[tuple[int, FeatureView]] = []
    for index, name in enumerate(model.features):
        view = others.get("feature_view", name).resource
        if isinstance(view, FeatureView):
            views.append((index, view))
    dataset = others.get("dataset", model.label.dataset).resource
    if isinstance(dataset, Dataset):
        yield from _label(model, dataset, others.columns(dataset))
    yield from _features(model, views)
    yield from split_checks.check(model)
    yield from _floors(model)


def _label(model: Model, dataset: Dataset, columns: Columns | None) -> Iterator[Problem]:
    if dataset.event_time is None:
        remedy = f"Give {path_of('dataset', dataset.name)} an event_time, or take another dataset."
        yield Problem(("label", "dataset"), "must be a dataset with an event time", dataset.name, remedy)
    for index, column in enumerate(model.request):
        field = ("request", index)
        if column == model.label.column:
            yield Problem(field, "must not be the label: it would leak", column, "Delete it.")
        elif column in (dataset.event_time, "event_time", "prediction_time"):
            yield Problem(field, "must not be a time that every request has anyway", column, "Delete it.")
        elif column == dataset.known_at:
            yield Problem(field, "must not be known_at of the label's dataset: it would leak", column, "Delete it.")
        elif columns is not None and column not in columns:
            yield Problem(field, f"must be a column of {dataset.name}", column, did_you_mean(column, columns))
    if columns is not None and model.label.column not in columns:
        remedy = did_you_mean(model.label.column, columns)
        yield Problem(("label", "column"), f"must be a column of {dataset.name}", model.label.column, remedy)
    has = (columns or {}).get(model.label.column)
    allowed = _LABEL_TYPES[model.task]
    if has is not None and has not in allowed:
        *others, last = allowed
        rule = f"must name a column of type {', '.join(others)} or {last}, since the task is {model.task}"
        of_binary = "Declare it as bool, or derive it in the dataset's select, such as outcome = 'won'."
        remedy = of_binary if model.task == "binary" else "Derive it in the dataset's select, or take another task."
        yield Problem(("label", "column"), rule, f"{model.label.column}: {has}", remedy)


def _features(model: Model, views: list[tuple[int, FeatureView]]) -> Iterator[Problem]:
    owners = dict.fromkeys(model.request, "request") | {model.label.column: "the label"}
    for index, view in views:
        field = ("features", index)
        for key in view.entity:
            if key not in model.request:
                rule = f"must hold {key}, by which the feature view {view.name} is looked up"
                yield Problem(("request",), rule, remedy=f"Add {key} to request, and to exclude if it is only a key.")
        for output in view.outputs:
            if output in owners:
                rule = f"must give columns of their own, and {view.name} gives {output} as {owners[output]} does"
                yield Problem(field, rule, remedy=f"Rename the output in {path_of('feature_view', view.name)}.")
            owners.setdefault(output, view.name)
    if len(views) < len(model.features):
        return
    columns = [name for name, owner in owners.items() if owner != "the label"]
    for index, name in enumerate(model.exclude):
        if name not in columns:
            rule = "must be a request column or an output of the feature views"
            yield Problem(("exclude", index), rule, name, did_you_mean(name, columns))
    fed = [name for name in columns if name not in model.exclude]
    for name in model.max_null_of:
        if name not in fed:
            yield Problem(("max_null_of", name), "must be a feature of the model", name, did_you_mean(name, fed))
    if columns and not fed:
        yield Problem(("exclude",), "must leave at least one feature")


def _floors(model: Model) -> Iterator[Problem]:
    bounds = [(("gate", "floors", metric), metric, bound) for metric, bound in model.gate.floors.items()]
    if model.gate.suspicious is not None and model.gate_metric in METRICS_OF_TASK[model.task]:
        bounds.append((("gate", "suspicious"), model.gate_metric, model.gate.suspicious))  # type: ignore[arg-type]
    for field, metric, bound in bounds:
        is_share = metric in ("roc_auc", "average_precision", "accuracy", "f1_macro", "brier")
        for side in ("min", "max"):
            value = getattr(bound, side)
            if value is None:
                continue
            value = int(value) if value.is_integer() else value
            if is_share and not 0 <= value <= 1:
                remedy = f"Write {value / 100:g}." if 1 < value <= 100 else ""
                yield Problem((*field, side), "must lie in [0, 1]", value, remedy)
            elif metric != "r2" and value < 0:
                yield Problem((*field, side), "must be at least 0", value)


def _once(field: str, values: tuple[str, ...]) -> Iterator[Problem]:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield Problem((field, index), "must be named once", value, "Delete one of the two.")
