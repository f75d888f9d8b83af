"""One version in memory: rows of JSON in, predictions out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import DataError
from evergreen.serving.identity import row_id
from evergreen.serving.labels import LabelType

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.features.on_demand import OnDemand
    from evergreen.features.signature import Signature
    from evergreen.lake.duck import Sessions
    from evergreen.training.bundle import Loaded

log = logging.getLogger(__name__)

FEW_ROWS = 64
"""Up to so many rows go to the model as Python values, which is quicker than columns."""

GOLDEN_TOLERANCE = 1e-6
"""Relative; looser than a deployment's own check, since a gateway may run on another kind of processor."""


class About(NamedTuple):
    """What a row is that was asked about.

    Attributes:
        row_id: By which its label will be found in the label's dataset; ``None`` where a part of it was not sent.
        event_time: When it happened; ``None`` where the caller did not say: what was assumed belongs to no row.
    """

    row_id: str | None
    event_time: datetime | None


@dataclass(frozen=True)
class Served:
    """A loaded bundle and its on-demand views. Safe to share between threads.

    Attributes:
        label: What labels of the model are.
        is_warm: Whether it answered its own golden row when it was loaded, as if a caller had sent it.
    """

    bundle: Loaded
    signature: Signature
    on_demand: tuple[OnDemand, ...]
    identity: tuple[str, ...]
    event_column: str | None
    label: LabelType
    is_warm: bool = field(default=False, init=False)

    @classmethod
    def load(cls, folder: Path, sessions: Sessions | None = None) -> Served:
        """Loads a bundle's folder, checks every file's hash and the golden rows, and warms all that answering uses.

        Args:
            sessions: SQL connections that all versions share; by default its views have their own.

        Raises:
            DataError: When the folder is missing, not as it was written, or predicts otherwise than at training.
        """
        from evergreen.features.on_demand import OnDemand
        from evergreen.features.signature import Signature
        from evergreen.spec.feature_view import FeatureView
        from evergreen.training.bundle import load

        bundle = load(folder)
        views = [FeatureView.model_validate(view) for view in bundle.document["on_demand"]]
        facts = bundle.document["facts"]
        made = cls(
            bundle,
            Signature.from_dict(facts["signature"]),
            tuple(OnDemand(view, bundle.workspace, sessions) for view in views),
            tuple(facts["identity"]),
            facts["event_time"],
            LabelType.of(bundle.document),
        )
        made._warm()
        return made

    def read(self, rows: Sequence[Mapping[str, Any]], now: datetime) -> pa.Table:
        """Rows that a caller sent, by the declared types.

        Raises:
            RequestErrors: Naming every row and field that is not as the model takes it.
        """
        from evergreen.features.request import read_rows

        return read_rows(self.signature, rows, self.on_demand, now=now)

    def compute(self, read: pa.Table) -> pa.Table:
        """The model's columns of what :meth:`read` gave.

        Raises:
            DataError: When an on-demand view fails; a ``ValuesError`` when it does so for the rows' values.
        """
        from evergreen.features.request import computed

        return computed(self.signature, read, self.on_demand)

    def frame(self, rows: Sequence[Mapping[str, Any]], now: datetime) -> pa.Table:
        """Both at once."""
        return self.compute(self.read(rows, now))

    def predict(self, frame: pa.Table) -> list[Any]:
        """Predictions as JSON values: a number a row, or a mapping of class to probability.

        Raises:
            DataError: When one is not a finite number.
        """
        import numpy as np

        if frame.num_rows <= FEW_ROWS:
            found = self.bundle.predict_rows(frame.select(self.bundle.features).to_pylist())
        else:
            found = self.bundle.predict(frame)
        if len(found) != frame.num_rows or not np.isfinite(found).all():
            raise DataError(f"model {self.bundle.model}", "must give a finite prediction for every row")
        if self.bundle.task != "multiclass":
            return list(found.tolist())
        classes = [str(value) for value in self.bundle.classes]
        return [dict(zip(classes, shares, strict=True)) for shares in found.tolist()]

    def about(self, rows: Sequence[Mapping[str, Any]], frame: pa.Table) -> list[About]:
        """What the rows are, as far as the caller said it."""
        from evergreen.features.signature import EVENT_TIME

        told = [row.get(EVENT_TIME) is not None for row in rows]
        moments = [
            moment if known else None for moment, known in zip(frame["_event_time"].to_pylist(), told, strict=True)
        ]
        columns: dict[str, list[Any]] = {}
        for name in self.identity:
            if name in self.signature.request:
                columns[name] = frame[name].to_pylist()
            elif name == self.event_column:
                columns[name] = moments
            else:
                return [About(None, moment) for moment in moments]
        keys = [row_id(dict(zip(columns, key, strict=True))) for key in zip(*columns.values(), strict=True)]
        return [About(key, moment) for key, moment in zip(keys, moments, strict=True)]

    def _warm(self) -> None:
        """Predicts the golden rows, and one of them as if a caller had sent it."""
        golden = self.bundle.document["golden"]
        if not golden["rows"]:
            return
        scale = max(1.0, *(abs(value) for value in _flat(golden["predictions"])))
        difference = self.bundle.golden_difference()
        if not difference <= GOLDEN_TOLERANCE * scale:
            rule = "must predict its golden rows as at training"
            raise DataError(f"bundle {self.bundle.folder}", rule, value=f"a difference of {difference:g}")
        sent = {**self.signature.request, **self.signature.looked_up}
        try:
            for count in (1, 2):
                rows = [{name: golden["rows"][0].get(name) for name in sent}] * count
                self.predict(self.frame(rows, datetime.now(UTC)))
            object.__setattr__(self, "is_warm", True)
        except Exception as error:  # columns that are no features are null here, which the views need not take
            log.info("Did not warm %s with a request: %s", self.bundle.model, error)


def _flat(values: Sequence[Any]) -> list[float]:
    return [each for value in values for each in (value if isinstance(value, list) else [value])]
