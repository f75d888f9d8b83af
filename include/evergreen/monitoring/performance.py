"""Performance on labels that arrive late: stored scores and logged predictions are joined to what is known by now."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.errors import shorten
from evergreen.monitoring.labels import Feedback, as_target

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class Measured:
    """One version's figure over one period.

    Attributes:
        role: ``champion``, ``first``, ``version_N`` or ``logged`` (what the gateway really answered).
        value: The metric; ``None`` when too few mature labels are known or the metric has no value on them.
        n_rows: Rows that were scored.
        n_labelled: Rows among them with a mature label.
    """

    role: str
    version: int
    metric: str
    value: float | None
    n_rows: int
    n_labelled: int

    def as_dict(self) -> dict[str, Any]:
        """As a row for the store."""
        return asdict(self)


def score_table(
    frame: pa.Table, scored: Mapping[str, int], predictions: Mapping[int, np.ndarray], *, as_of: str
) -> pa.Table:
    """Predictions of every role for every row of a period, as the lake keeps them.

    Args:
        frame: The period's frame, n rows.
        scored: Role -> version.
        predictions: Version -> array of shape (n,), or (n, classes).

    Returns:
        Columns ``as_of, role, version, _row_id, _event_time, prediction`` (JSON text); n rows a role.
    """
    import pyarrow as pa

    schema = pa.schema(
        [
            ("as_of", pa.string()),
            ("role", pa.string()),
            ("version", pa.int64()),
            ("_row_id", pa.string()),
            ("_event_time", pa.timestamp("us", tz="UTC")),
            ("prediction", pa.string()),
        ]
    )
    parts = []
    for role, version in scored.items():
        n = frame.num_rows
        texts = [json.dumps(value) for value in predictions[version].tolist()]
        columns = [
            pa.array([as_of] * n, pa.string()),
            pa.array([role] * n, pa.string()),
            pa.array([version] * n, pa.int64()),
            frame["_row_id"].combine_chunks(),
            frame["_event_time"].cast(schema.field("_event_time").type).combine_chunks(),
            pa.array(texts, pa.string()),
        ]
        parts.append(pa.Table.from_arrays(columns, schema=schema))
    return pa.concat_tables(parts) if parts else schema.empty_table()


@dataclass(frozen=True)
class Judged:
    """What is known of one period.

    Attributes:
        figures: One of each role and version.
        set_aside: What is to be said of labels that fit no model's task, one sentence each; none of them counts.
    """

    figures: list[Measured]
    set_aside: list[str]


def measure(
    *,
    task: str,
    metric: str,
    scores: pa.Table,
    labels: pa.Table,
    label: str,
    mature_by: datetime,
    min_labels: int,
    classes: Mapping[int, Sequence[Any]],
    logged: pa.Table | None = None,
    feedback: Feedback | None = None,
) -> Judged:
    """Figures of one period by role. A label that does not fit stops nothing: it is set aside and told.

    Args:
        scores: As :func:`score_table` gave them for the period.
        labels: Rows of the label's dataset of the period, as known now: ``_row_id``, ``_event_time`` and the label.
        mature_by: Only rows with an event time before this count: of younger ones the quick labels came first, and
            they are not like the others.
        classes: Version -> its classes, of multiclass models.
        logged: The gateway's log: ``request_id``, ``version``, ``row_id``, ``prediction``.
        feedback: Labels that callers sent, used where the dataset has none.
    """
    known = _mature_labels(labels, label, mature_by)
    told: dict[str, None] = {}
    found = []
    for role in dict.fromkeys(scores["role"].to_pylist()):
        mine = scores.filter(_equals(scores["role"], role))
        version = mine["version"][0].as_py()
        targets = [
            _of_dataset(known.get(row_id), row_id, task, classes.get(version, ()), told)
            for row_id in mine["_row_id"].to_pylist()
        ]
        found.append(_figure(task, metric, role, version, targets, mine["prediction"].to_pylist(), least=min_labels))
    if logged is not None and logged.num_rows:
        period = set(labels["_row_id"].to_pylist())
        for version, rows in _by_version(logged, period).items():
            own = classes.get(version, ())
            targets = [_of_answer(row, known, task, own, feedback, told) for row in rows]
            predictions = [row["prediction"] for row in rows]
            found.append(_figure(task, metric, "logged", version, targets, predictions, least=1))
    return Judged(found, list(told))


def _by_version(logged: pa.Table, period: set[str]) -> dict[int, list[dict[str, Any]]]:
    """The answers on rows of the period."""
    found: dict[int, list[dict[str, Any]]] = {}
    for row in logged.select(["request_id", "version", "row_id", "prediction"]).to_pylist():
        if row["row_id"] in period:
            found.setdefault(row["version"], []).append(row)
    return dict(sorted(found.items()))


def _of_dataset(label: Any, row_id: str, task: str, classes: Sequence[Any], told: dict[str, None]) -> float | None:
    if label is None:
        return None
    target = as_target(task, label, classes)
    if target is None:
        told[f"row {row_id}: {shorten(repr(label), 60)} is no label of a {task} model"] = None
    return target


def _of_answer(
    row: Mapping[str, Any],
    known: Mapping[str, Any],
    task: str,
    classes: Sequence[Any],
    feedback: Feedback | None,
    told: dict[str, None],
) -> float | None:
    """The dataset's label of the row that an answer was about, else the caller's; only of mature rows."""
    if row["row_id"] not in known:
        return None
    target = _of_dataset(known[row["row_id"]], row["row_id"], task, classes, told)
    if target is None and feedback is not None:
        target, wrong = feedback.target(row["request_id"], task, classes)
        told.update(dict.fromkeys(wrong))
    return target


def _figure(
    task: str,
    metric: str,
    role: str,
    version: int,
    targets: Sequence[float | None],
    predictions: Sequence[str | None],
    *,
    least: int,
) -> Measured:
    import numpy as np

    from evergreen.evaluation.metrics import compute

    pairs = [
        (target, json.loads(prediction))
        for target, prediction in zip(targets, predictions, strict=True)
        if target is not None and prediction is not None
    ]
    value = None
    if len(pairs) >= least:
        y = np.array([target for target, _ in pairs], dtype=np.float64)
        predicted = [list(p.values()) if isinstance(p, dict) else p for _, p in pairs]
        value = compute(task, y, np.array(predicted, dtype=np.float64)).get(metric)
    return Measured(role, version, metric, value, len(targets), len(pairs))


def _mature_labels(labels: pa.Table, label: str, mature_by: datetime) -> dict[str, Any]:
    """Row -> its label, ``None`` where there is none (yet), of the rows that are old enough."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bound = pa.scalar(mature_by, labels["_event_time"].type)
    ripe = labels.filter(pc.less(labels["_event_time"], bound))
    found = zip(ripe["_row_id"].to_pylist(), ripe[label].to_pylist(), strict=True)
    return {row_id: None if value != value else value for row_id, value in found}


def _equals(column: pa.ChunkedArray, value: str) -> Any:
    import pyarrow.compute as pc

    return pc.equal(column, value)
