"""Performance on labels that arrive late: stored scores and logged predictions are joined to what is known by now."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

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
    feedback: pa.Table | None = None,
) -> list[Measured]:
    """Figures of one period by role.

    Args:
        scores: As :func:`score_table` gave them for the period.
        labels: Rows of the label's dataset of the period, as known now: ``_row_id``, ``_event_time`` and the label.
        mature_by: Only rows with an event time before this count: of younger ones the quick labels came first, and
            they are not like the others.
        classes: Version -> its classes, of multiclass models.
        logged: The gateway's log: ``request_id``, ``version``, ``row_id``, ``prediction``.
        feedback: Labels that callers sent: ``request_id``, ``label``; used where the dataset has none.
    """
    known = _known_labels(labels, label, mature_by)
    found = []
    for role in dict.fromkeys(scores["role"].to_pylist()):
        mine = scores.filter(_equals(scores["role"], role))
        found.append(
            _figure(
                task,
                metric,
                role,
                mine["version"][0].as_py(),
                [known.get(row_id) for row_id in mine["_row_id"].to_pylist()],
                mine["prediction"].to_pylist(),
                least=min_labels,
                classes=classes.get(mine["version"][0].as_py(), ()),
            )
        )
    if logged is not None and logged.num_rows:
        found += _logged(task, metric, logged, feedback, labels, known, classes)
    return found


def _logged(
    task: str,
    metric: str,
    logged: pa.Table,
    feedback: pa.Table | None,
    labels: pa.Table,
    known: dict[str, Any],
    classes: Mapping[int, Sequence[Any]],
) -> list[Measured]:
    sent = {}
    if feedback is not None:
        sent = dict(zip(feedback["request_id"].to_pylist(), feedback["label"].to_pylist(), strict=True))
    period = set(labels["_row_id"].to_pylist())
    by_version: dict[int, list[tuple[Any, str]]] = {}
    for row in logged.select(["request_id", "version", "row_id", "prediction"]).to_pylist():
        if row["row_id"] in period:
            value = known.get(row["row_id"])
            value = json.loads(sent[row["request_id"]]) if value is None and row["request_id"] in sent else value
            by_version.setdefault(row["version"], []).append((value, row["prediction"]))
    return [
        _figure(
            task,
            metric,
            "logged",
            version,
            [label for label, _ in pairs],
            [prediction for _, prediction in pairs],
            least=1,
            classes=classes.get(version, ()),
        )
        for version, pairs in sorted(by_version.items())
    ]


def _figure(
    task: str,
    metric: str,
    role: str,
    version: int,
    labels: Sequence[Any],
    predictions: Sequence[str],
    *,
    least: int,
    classes: Sequence[Any],
) -> Measured:
    import numpy as np
    import pyarrow as pa

    from evergreen.evaluation.metrics import compute
    from evergreen.training.labels import encode_labels

    pairs = [
        (label, json.loads(prediction))
        for label, prediction in zip(labels, predictions, strict=True)
        if label is not None and prediction is not None
    ]
    value = None
    if len(pairs) >= least:
        y = encode_labels(task, pa.chunked_array([pa.array([label for label, _ in pairs])]), list(classes))
        predicted = [list(p.values()) if isinstance(p, dict) else p for _, p in pairs]
        value = compute(task, y, np.array(predicted, dtype=np.float64)).get(metric)
    return Measured(role, version, metric, value, len(labels), len(pairs))


def _known_labels(labels: pa.Table, label: str, mature_by: datetime) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    bound = pa.scalar(mature_by, labels["_event_time"].type)
    ripe = labels.filter(pc.and_(pc.less(labels["_event_time"], bound), pc.is_valid(labels[label])))
    return dict(zip(ripe["_row_id"].to_pylist(), ripe[label].to_pylist(), strict=True))


def _equals(column: pa.ChunkedArray, value: str) -> Any:
    import pyarrow.compute as pc

    return pc.equal(column, value)
