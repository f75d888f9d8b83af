"""Requests to the gateway: a sample of each period's rows, with the features that an online store would have had.

No online store exists yet, so the replay plays it: the period's files are read by the library in memory, before they
are ingested, and every row's features are joined as they were known at its own prediction time.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from evergreen.replay.example import Example
from evergreen.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import Dataset
    from evergreen.spec.loading import Workspace
    from evergreen.store.store import Store

log = logging.getLogger(__name__)

BATCH = 50


class Traffic:
    """Sends requests and, a period later, the labels that have become known.

    Args:
        root: The example's workspace folder.
    """

    def __init__(self, example: Example, workspace: Workspace, root: Path, settings: Settings, store: Store) -> None:
        self.example, self.workspace, self.root, self.settings, self.store = example, workspace, root, settings, store
        self.model = workspace.models[example.model]
        self._rows: dict[str, pa.Table] = {}
        self._waiting: list[tuple[str, Any]] = []
        self._client = httpx.Client(
            base_url=settings.gateway_url, headers={"Authorization": f"Bearer {settings.gateway_key}"}, timeout=30
        )

    def champion(self) -> int | None:
        """The version that the gateway serves, if any."""
        from evergreen.serving.probe import serving_version

        return serving_version(self.settings.gateway_url, self.model.name)

    def send(self, key: str) -> int:
        """Sends a sample of the period's rows, and labels of the period before; gives the number of requests."""
        datasets = {name: self._read(self.workspace.datasets[name], key) for name in self.example.datasets}
        if self.champion() is None:
            return 0
        self._tell()
        rows = self._sample(self._frame(key, datasets))
        sent = 0
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            body = {"rows": [row for row, _ in batch]}
            answer = self._client.post(f"/models/{self.model.name}/invocations", json=body).raise_for_status().json()
            for (_, label), told in zip(batch, answer["predictions"], strict=True):
                if label is not None:
                    self._waiting.append((told["request_id"], label))
            sent += len(batch)
        log.info("Sent %d requests of %s", sent, key)
        return sent

    def _tell(self) -> None:
        labels = [{"request_id": request_id, "label": label} for request_id, label in self._waiting]
        if labels:
            self._client.post(f"/models/{self.model.name}/feedback", json={"labels": labels}).raise_for_status()
        self._waiting = []

    def _sample(self, frame: pa.Table) -> list[tuple[dict[str, Any], Any]]:
        """Evenly spread rows as JSON, each with its label."""
        from evergreen.features.signature import views_of

        n = min(self.example.requests_per_period, frame.num_rows)
        chosen = [index * frame.num_rows // n for index in range(n)] if n else []
        looked_up = [
            output
            for view in views_of(self.model, self.workspace).values()
            if view.kind == "materialized"
            for output in view.outputs
        ]
        rows = []
        for row in frame.take(chosen).to_pylist():
            sent = {name: row[name] for name in [*self.model.request, *looked_up]}
            rows.append(({**sent, "event_time": row["_event_time"].isoformat()}, row["_label"]))
        return rows

    def _frame(self, key: str, datasets: dict[str, pa.Table]) -> pa.Table:
        """Features of the period's rows, from this period's files and the one's before."""
        import pyarrow.compute as pc

        from evergreen.features import views
        from evergreen.features.frame import build
        from evergreen.features.signature import views_of
        from evergreen.lake.rows import with_system_columns
        from evergreen.spec.timing import interval_of

        driver = self.workspace.datasets[self.model.label.dataset]
        start, end = interval_of(driver.schedule.cron, driver.timezone, key)
        tables: dict[str, pa.Table] = {}
        for name, view in views_of(self.model, self.workspace).items():
            if view.kind == "on_demand" or not set(view.reads) <= datasets.keys():
                continue
            made = views.run(view, self.root, {n: datasets[n] for n in view.reads}, start, end)
            known = made["known_at"]
            tables[name] = _committed(
                with_system_columns(
                    made.drop_columns(["known_at"]),
                    identity=(*view.entity, view.timestamp),
                    event_time=view.timestamp,
                    known_at=known,
                    as_of=key,
                )
            )
        labels = datasets[driver.name]
        rows = with_system_columns(
            labels.drop_columns(["known_at"]),
            identity=driver.identity,
            event_time=driver.event_time,
            known_at=labels["known_at"],
            as_of=key,
        )
        inside = pc.greater_equal(rows["_event_time"], _scalar(rows["_event_time"], start))
        return build(
            self.model,
            self.workspace,
            self.root,
            rows=rows.filter(inside),
            read_versions=lambda n: self._view(n, tables),
        )

    def _view(self, name: str, made: dict[str, pa.Table]) -> pa.Table | None:
        """A view's rows: those just made, or, of another cadence, what the lake has published."""
        if name in made:
            return made[name]
        from evergreen.lake.lake import Lake

        table = Lake(self.settings.lake).table(f"features/{name}")
        return table.read_versions() if table.exists() else None

    def _read(self, dataset: Dataset, key: str) -> pa.Table:
        """Good rows of this period and the one before, the newest of each identity, with ``known_at``."""
        import pyarrow as pa
        import pyarrow.compute as pc

        from evergreen.ingest.read import read
        from evergreen.spec.timing import interval_of

        start, end = interval_of(dataset.schedule.cron, dataset.timezone, key)
        got = read(
            dataset, as_of=key, start=start, end=end, first_load=dataset.name not in self._rows,
            landing=self.settings.landing,
        ).good  # fmt: skip
        columns = [name for name in got.column_names if not name.startswith("__")]
        fresh = got.select(columns).append_column("known_at", got["__known_at"])
        before = self._rows.get(dataset.name)
        both = fresh if before is None else pa.concat_tables([before, fresh], promote_options="default")
        keys = list(dataset.identity)
        both = both.append_column("_at", pa.array(range(both.num_rows)))
        newest = both.group_by(keys).aggregate([("_at", "max")])["_at_max"]
        both = both.take(newest).drop_columns(["_at"])
        if dataset.event_time is not None:
            oldest = _scalar(both[dataset.event_time], start - (end - start) - timedelta(days=1))
            self._rows[dataset.name] = both.filter(pc.greater_equal(both[dataset.event_time], oldest))
        return both


def _committed(rows: pa.Table) -> pa.Table:
    import pyarrow as pa

    return rows.append_column("_commit", pa.array([1] * rows.num_rows, pa.int64()))


def _scalar(column: pa.ChunkedArray, moment: Any) -> Any:
    import pyarrow as pa

    return pa.scalar(moment, column.type)
