"""The same acts, carried out on Evergreen: its steps as plain calls, a real PostgreSQL, a lake in a folder."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import acts
import sqlalchemy
from declared import DATASETS, GAINED, SELECTS, TRANSFORMS, VIEWS, Dataset, View
from drill_world import BUILD, INGEST, World
from expected import FEATURES, LABELS
from rules import Identity, Known, content_of

from evergreen.errors import EvergreenError
from evergreen.lake import delta
from evergreen.registry.acts import Act, perform
from evergreen.registry.candidates import candidate_of, gate_key
from evergreen.registry.promotion import promote
from evergreen.registry.status import Status, status
from evergreen.spec.timing import format_duration, parse_key
from evergreen.steps.context import StepContext
from evergreen.steps.contract import digest
from evergreen.steps.tables import versions
from evergreen.store.decisions import Decisions
from evergreen.store.ledger import Ledger
from evergreen.store.requests import Requests
from evergreen.store.row_counts import RowCounts
from evergreen.store.schema import metadata
from evergreen.store.trainings import Trainings

MODEL = "sales"
SYSTEM = ("_event_time", "_known_at", "_row_id", "_row_hash", "_deleted", "_as_of", "_commit")


class Real:
    """One life's workspace, landing folder, lake and store.

    Args:
        folder: An empty one.
        store_url: Of a database that is emptied.
        life: Whose first files are laid.
    """

    def __init__(self, folder: Path, store_url: str, life: acts.Life) -> None:
        self.world = World(folder, store_url, "")
        self.refusal, self._order = "", list[str]()
        with self.world.store.transaction() as connection:
            names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
            connection.execute(sqlalchemy.text(f"truncate {names} restart identity"))
        self.declared: dict[str, Dataset | View] = {**DATASETS, **VIEWS}
        for resource in self.declared.values():
            self._write(resource)
        self.world.write(f"models/{MODEL}.yaml", _model(life))
        for lay in life.laid():
            self.do(lay)

    @singledispatchmethod
    def do(self, act: Any) -> bool:
        """Carries an act out; tells whether anything was done, or was refused or skipped."""
        raise TypeError(f"unknown act {act}")

    @do.register
    def _lay(self, act: acts.Lay) -> bool:
        out = io.StringIO()
        rows = csv.DictWriter(out, acts.COLUMNS[act.dataset], lineterminator="\n")
        rows.writeheader()
        rows.writerows(acts.file_of(act))
        self.world.lay(act.dataset, act.key, out.getvalue())
        return True

    @do.register
    def _lose(self, act: acts.Lose) -> bool:
        path = Path(self.world.settings.landing) / act.dataset / f"{act.key}.csv"
        there = path.exists()
        path.unlink(missing_ok=True)
        return there

    @do.register
    def _mend(self, act: acts.Mend) -> bool:
        from dataclasses import replace

        self.declared[act.resource] = replace(self.declared[act.resource], **{act.field: act.value})
        self._write(self.declared[act.resource])
        return True

    @do.register
    def _ingest(self, act: acts.Ingest) -> bool:
        return self._steps(act.dataset, "ingest", act.key, INGEST)

    @do.register
    def _build(self, act: acts.Build) -> bool:
        driver = self.declared[act.view].reads[0]
        newest = self.newest(driver)
        return newest is not None and self._steps(act.view, "build", newest, BUILD)

    def _steps(self, resource: str, stage: str, key: str, names: tuple[str, ...]) -> bool:
        self.refusal = ""
        try:
            results = self.world.open(resource, stage, key).steps(*names)
        except EvergreenError as error:
            self.refusal = str(error)
            return False
        last = list(results.values())[-1]
        self.refusal = last.skip or ""
        return last.skip is None

    @do.register
    def _tidy(self, act: acts.Tidy) -> bool:
        from evergreen.steps.housekeeping import expire, keep_tables

        keep_tables(self.world.lake, keep=timedelta(0))
        expire(self.world.lake, self.world.store, now=datetime.now(UTC) + timedelta(seconds=1), keep=timedelta(0))
        return True

    # Who serves

    @do.register
    def _train(self, act: acts.Train) -> bool:
        key = self.newest(LABELS)
        if key is None:
            return False
        step = self.world.open(MODEL, "train", key).input("train")
        ctx = StepContext(step, self.world.settings)
        tables = versions(ctx, ctx.model)
        if -1 in tables.values():
            return False
        store, at, workspace = self.world.store, parse_key(key, "UTC"), step.workspace
        trainings = Trainings(store)
        number = len(trainings.of(MODEL)) + 1
        training = digest([MODEL, number, workspace])
        request = Requests(store).open(MODEL, key, at, cause="manual", reason="a life", dedupe_key=training)
        trainings.start(
            training, MODEL, key, at, spec_digest=digest(MODEL), workspace=workspace, inputs={"tables": tables}, seed=1,
            request_ids=[request.id],
        )  # fmt: skip
        trainings.finish(training, run_id=training, trained_through=at, training_set=training, bundle=training)
        number = trainings.adopt(training)
        self._accept(training, key, number)
        return True

    def _accept(self, training: str, key: str, number: int) -> None:
        """What the gate says: bound to the ledger's number, so that it is said anew before a promotion."""
        seq = self.ledger.seq(MODEL)
        Decisions(self.world.store).record(
            kind="gate", resource=MODEL, as_of=key, as_of_time=parse_key(key, "UTC"), verdict="accept",
            key=gate_key(training, seq), version=number, figures={"memory": 3}, ledger_seq=seq,
        )  # fmt: skip

    @do.register
    def _promote(self, act: acts.Promote) -> bool:
        training = self._training(act.back)
        if training is None:
            return False
        candidate = candidate_of(training)
        assert candidate is not None
        self._accept(training.training_id, training.as_of, candidate.version)
        return self._acted(
            lambda: promote(
                self.world.store, candidate, expected_seq=self.ledger.seq(MODEL), actor="evergreen", reason="a life"
            )
        )

    @do.register
    def _name(self, act: acts.Name) -> bool:
        training = self._training(act.back)
        return training is not None and self._perform(Act("promote", "a life", training.adopted_version))

    @do.register
    def _roll_back(self, act: acts.RollBack) -> bool:
        return self._perform(Act("roll_back", "a life"))

    @do.register
    def _release(self, act: acts.Release) -> bool:
        return self._perform(Act("release", "a life"))

    def _perform(self, act: Act) -> bool:
        key = self.newest(LABELS) or acts.KEYS[0]
        at = parse_key(key, "UTC")
        return self._acted(lambda: perform(self.world.store, MODEL, act, actor="rita", as_of=key, as_of_time=at))

    def _acted(self, act: Any) -> bool:
        seq = self.ledger.seq(MODEL)
        try:
            act()
        except EvergreenError:
            return False
        return self.ledger.seq(MODEL) == seq + 1

    def _training(self, back: int) -> Any:
        trained = Trainings(self.world.store).of(MODEL)
        return trained[-1 - back] if back < len(trained) else None

    # What stands

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.world.store)

    def status(self) -> Status:
        return status(self.world.store, MODEL)

    def newest(self, dataset: str) -> str | None:
        """The newest key of a dataset that was ingested."""
        counts = RowCounts(self.world.store).of(dataset)
        return counts[-1].as_of if counts else None

    def counts(self, dataset: str) -> dict[str, tuple[int, int, int, int]]:
        """By key: rows read, good, quarantined, superseded."""
        return {
            each.as_of: (each.rows_read, each.good, each.quarantined, each.superseded)
            for each in RowCounts(self.world.store).of(dataset)
        }

    def quarantined(self, dataset: str, key: str) -> Counter[str]:
        """How many rows of a key are kept apart, by the rule that they broke."""
        table = self.world.lake.table(f"quarantine/{dataset}")
        if not table.exists():
            return Counter()
        return Counter(row["rule"] for row in table.read(match={"as_of": key}).to_pylist())

    def tables(self, name: str) -> list[str]:
        """The lake's tables of a resource's definitions, in the order in which they came to be."""
        from evergreen.store.definitions import Definitions

        there = {each.table for each in Definitions(self.world.store).of(name)} & set(self.versions())
        for table in sorted(there - set(self._order)):
            self._order.append(table)
        return [table for table in self._order if table in there]

    def as_known(self, name: str, table: str, at: datetime) -> dict[Identity, Known]:
        """What a table's reader gets as known at an instant."""
        resource = self.declared[name]
        rows = self.world.lake.table(table).read(known_by=at).to_pylist()
        found = {}
        for row in rows:
            content = content_of({column: value for column, value in row.items() if column not in SYSTEM})
            keys = resource.identity if isinstance(resource, Dataset) else (*resource.entity, resource.timestamp)
            found[tuple(row[key] for key in keys)] = Known(content, row["_known_at"])
        assert len(found) == len(rows), f"{table} has a row twice as known at {at}"
        return found

    def versions(self) -> dict[str, int]:
        """The last commit of every table of the lake."""
        return {
            table: max((row["_commit"] for row in self._rows(table)), default=0) for table in self.world.lake.tables()
        }

    def content_at(self, table: str, version: int) -> str:
        """A digest of all that a version of a table holds, as it lies there; columns that came later are left out."""
        rows = [row for row in self._rows(table) if row["_commit"] <= version]
        told = [{name: value for name, value in row.items() if value is not None} for row in rows]
        lines = sorted(json.dumps(row, default=str, sort_keys=True) for row in told)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _rows(self, table: str) -> list[dict[str, Any]]:
        snapshot = delta.load(self.world.lake.root, f"tables/{table}")
        assert snapshot is not None
        return list(snapshot.scan(snapshot.schema.names).to_pylist())

    def _write(self, resource: Dataset | View) -> None:
        if isinstance(resource, Dataset):
            self.world.write(f"datasets/{resource.name}.yaml", _dataset(resource))
            return
        transform = TRANSFORMS[resource.transform]
        self.world.write(f"features/{resource.name}.{transform.ending}", transform.text)
        self.world.write(f"features/{resource.name}.yaml", _view(resource))


def _dataset(dataset: Dataset) -> dict[str, Any]:
    gained = f", {GAINED[0]}" if GAINED in dataset.columns else ""
    document: dict[str, Any] = {
        "source": {"path": f"{dataset.name}/{{as_of}}.csv"},
        "schedule": {"cron": "0 0 * * *"},
        "timezone": dataset.zone,
        "columns": dict(dataset.columns),
        "select": SELECTS[dataset.select].sql.format(gained=gained) or None,
        "event_time": dataset.event_time,
        "entity": list(dataset.entity),
        "known_at": dataset.known_at,
        "availability_delay": dataset.delay and format_duration(dataset.delay),
        "late_window": format_duration(dataset.late_window),
        "expectations": [],
        "max_quarantined": 1.0,
        "on_change": dataset.on_change,
    }
    if "max_lost" in _known_keys():
        document["max_lost"] = 1.0
    if dataset.most is not None:
        between = {"expect": "column_values_to_be_between", "column": "sold", "args": {"max_value": dataset.most}}
        document["expectations"] = [between]
    return {name: value for name, value in document.items() if value is not None}


def _known_keys() -> Mapping[str, Any]:
    from evergreen.spec.dataset import Dataset as Spec

    return Spec.model_fields


def _view(view: View) -> dict[str, Any]:
    transform = TRANSFORMS[view.transform]
    return {
        "reads": list(view.reads),
        "entity": list(view.entity),
        "timestamp": view.timestamp,
        "transform": f"{view.name}.{transform.ending}" + (":compute" if transform.ending == "py" else ""),
        "lookback": format_duration(view.lookback),
        "availability_delay": format_duration(view.delay),
        "outputs": {name: {"type": kind} for name, kind in transform.outputs.items()},
    }


def _model(life: acts.Life) -> dict[str, Any]:
    return {
        "task": "regression",
        "label": {"dataset": LABELS, "column": "sold"},
        "request": ["shop"],
        "features": list(FEATURES),
        "split": {"test": "1d", "validation": "1d"},
        "retraining": {"min_history": "3d"},
        "monitoring": {"reference_versions": list(life.references)},
    }
