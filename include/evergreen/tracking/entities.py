"""Our records as MLflow's entities."""

from __future__ import annotations

import json
import math
import posixpath
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError
from evergreen.tracking.record import DataInput

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Param, RunTag

PREFIX = "evergreen."
_NAME_LENGTH, _PARAM_LENGTH, _TAG_LENGTH = 250, 6000, 5000
_NOT_IN_NAMES = re.compile(r"[^\w.\- :/]")


def named(name: str) -> str:
    """The name of a parameter or metric as MLflow takes it: it refuses some characters, and what is no plain path."""
    plain = _NOT_IN_NAMES.sub("_", name)[:_NAME_LENGTH]
    is_path = posixpath.normpath(plain) == plain and not plain.startswith(("/", ".."))
    return plain if plain not in ("", ".") and is_path else re.sub(r"[./]", "_", plain) or "_"


def written(value: object, limit: int) -> str:
    """A value as text that MLflow and its database can store: valid UTF-8, without NUL, bounded."""
    return str(value).encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")[:limit]


def prefixed(tags: Mapping[str, Any]) -> dict[str, str]:
    """Our tags as MLflow stores them."""
    return {f"{PREFIX}{name}": written(value, _TAG_LENGTH) for name, value in tags.items() if value is not None}


def run_tags(tags: Mapping[str, Any]) -> list[RunTag]:
    """The same as entities."""
    from mlflow.entities import RunTag

    return [RunTag(name, value) for name, value in prefixed(tags).items()]


def run_params(params: Mapping[str, Any]) -> list[Param]:
    """Parameters as entities, sorted; what is ``None`` is left out."""
    from mlflow.entities import Param

    texts = as_texts(params)
    taken: dict[str, str] = {}
    for name, text in texts.items():
        plain = named(name)
        while plain in taken:
            plain = f"{plain[: _NAME_LENGTH - 1]}_"
        taken[plain] = text
    return [Param(name, text) for name, text in taken.items()]


def as_texts(params: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as text, sorted; what is ``None`` is left out."""
    return {name: written(value, _PARAM_LENGTH) for name, value in sorted(params.items()) if value is not None}


def run_metrics(final: Mapping[str, float | None], curves: Mapping[str, Sequence[float]]) -> Iterator[Metric]:
    """Final figures, and curves with a step per iteration; what is not finite is left out."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    for name, value in sorted(final.items()):
        if value is not None and math.isfinite(value):
            yield Metric(named(name), float(value), now, 0)
    for name, values in sorted(curves.items()):
        for step, value in enumerate(values):
            if math.isfinite(value):
                yield Metric(named(name), float(value), now, step)


def dataset_input(each: DataInput) -> DatasetInput:
    """A table as an input of a run, without reading it."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=each.name[:500],
        digest=each.digest[:36],
        source_type="evergreen",
        source=json.dumps({"uri": each.source, "digest": each.digest}),
        profile=None if each.rows is None else json.dumps({"num_rows": each.rows}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", each.context)])


def quoted(text: str) -> str:
    """Text for a search filter, which has no escapes.

    Raises:
        DataError: When it cannot stand there.
    """
    if "'" in text or "\\" in text:
        raise DataError("MLflow search", "must not be given a quote or backslash", value=text)
    return text
