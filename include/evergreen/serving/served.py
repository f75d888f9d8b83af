"""One version in memory: rows of JSON in, predictions out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.features.on_demand import OnDemand
    from evergreen.features.signature import Signature
    from evergreen.training.bundle import Loaded


@dataclass(frozen=True)
class Served:
    """A loaded bundle and its on-demand views. Safe to share between threads."""

    bundle: Loaded
    signature: Signature
    on_demand: tuple[OnDemand, ...]
    identity: tuple[str, ...]
    event_column: str | None

    @classmethod
    def load(cls, folder: Path) -> Served:
        """Loads a bundle's folder; every file's hash is checked.

        Raises:
            DataError: When the folder is missing or not as it was written.
        """
        from evergreen.features.on_demand import OnDemand
        from evergreen.features.signature import Signature
        from evergreen.spec.feature_view import FeatureView
        from evergreen.training.bundle import load

        bundle = load(folder)
        views = [FeatureView.model_validate(view) for view in bundle.document["on_demand"]]
        facts = bundle.document["facts"]
        return cls(
            bundle,
            Signature.from_dict(facts["signature"]),
            tuple(OnDemand(view, bundle.workspace) for view in views),
            tuple(facts["identity"]),
            facts["event_time"],
        )

    def frame(self, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        """The model's columns of rows that a caller sent.

        Raises:
            UserError: Naming every row and field that is not as the model takes it.
        """
        from evergreen.features.request import request_frame

        return request_frame(self.signature, rows, self.on_demand, now=datetime.now(UTC))

    def predict(self, frame: pa.Table) -> list[Any]:
        """Predictions as JSON values: a number a row, or a mapping of class to probability."""
        found = self.bundle.predict(frame).tolist()
        if self.bundle.task != "multiclass":
            return found
        classes = [str(value) for value in self.bundle.classes]
        return [dict(zip(classes, shares, strict=True)) for shares in found]

    def row_ids(self, rows: Sequence[Mapping[str, Any]], frame: pa.Table) -> list[str | None]:
        """The identities by which the rows' labels will be found in the label's dataset; ``None`` where one lacks."""
        import pyarrow as pa

        from evergreen.lake.rows import digest

        keys = {}
        for name in self.identity:
            if name == self.event_column:
                keys[name] = frame["_event_time"]
            elif name in frame.column_names:
                keys[name] = frame[name]
            else:
                return [None] * len(rows)
        ids = digest(pa.table(keys), list(keys)).to_pylist()
        complete = [all(key.slice(i, 1).null_count == 0 for key in keys.values()) for i in range(len(rows))]
        names = {"event_time", self.event_column}
        told = [self.event_column not in self.identity or bool(names & row.keys()) for row in rows]
        return [row_id if c and t else None for row_id, c, t in zip(ids, complete, told, strict=True)]
