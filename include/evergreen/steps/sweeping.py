"""One sweep of an erasure: everything that the lake keeps is gone through, and what is a person's goes.

The same code looks only, so that a dry run says what a sweep would do. What is taken out of one place is found again
from no other: identities are noted in the store before anything goes (:mod:`evergreen.steps.erasing`).
"""

from __future__ import annotations

import html
import json
import logging
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError
from evergreen.faults import point as fault_point
from evergreen.lake import trainingsets
from evergreen.lake.blobs import TEMPORARY
from evergreen.lake.erasure import Doomed, Erasure
from evergreen.steps import erased, staging
from evergreen.steps.erased import Scope

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.lake.lake import Lake
    from evergreen.store.store import Store
    from evergreen.store.trainings import Training

log = logging.getLogger(__name__)


@dataclass
class Found:
    """What a sweep found, and took out unless it only looked.

    Attributes:
        rows: Where -> rows.
        files: Folder -> files that go, or are written anew.
        lost: See :class:`evergreen.store.erasures.Request`.
        row_ids: Identities of the rows.
    """

    rows: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    lost: list[dict[str, Any]] = field(default_factory=list)
    row_ids: set[str] = field(default_factory=set)

    def add(self, where: str, rows: int) -> None:
        """Counts rows."""
        if rows:
            self.rows[where] = self.rows.get(where, 0) + rows

    def add_file(self, folder: str) -> None:
        """Counts a file."""
        self.files[folder] = self.files.get(folder, 0) + 1

    def __bool__(self) -> bool:
        return bool(self.rows or self.files)


class Sweep:
    """One sweep.

    Args:
        lake: To sweep.
        store: Its store.
        scope: Where the key is looked for.
        row_ids: Identities that earlier sweeps found.
        request: Number of the erasure; ``None`` only looks.
    """

    def __init__(
        self, lake: Lake, store: Store, scope: Scope, *, row_ids: Set[str] = frozenset(), request: int | None = None
    ) -> None:
        from evergreen.store.erasures import Erasures

        self._lake, self._store, self._scope, self._request = lake, store, scope, request
        self._erasures = Erasures(store)
        self._found = Found(row_ids=set(row_ids))

    def run(self) -> Found:
        """Goes through all; what others are made of goes last."""
        own = erased.by_columns(self._scope.key)
        for name in self._scope.identifying:
            self._found.row_ids |= Erasure(self._lake.root, name).find(own, "_row_id")
        self._logs()
        self._training_sets()
        self._staged()
        self._reports()
        for name, names in self._scope.quarantines.items():
            self._table(name, erased.set_aside(self._scope.key, names))
        for name in self._scope.tables:
            self._table(name, own)
            if self._request is not None:
                self._erasures.forget_counts(name)
        return self._found

    def _table(self, name: str, doomed: Doomed) -> None:
        erasure = Erasure(self._lake.root, name)
        self._found.add(name, erasure.count(doomed) if self._request is None else erasure.erase(doomed))

    def _logs(self) -> None:
        """Answers, what callers said of them, and scores."""
        for model in self._scope.models:
            about = erased.answered(self._scope.key, self._found.row_ids)
            log_of = f"predictions/{model}"
            asked = Erasure(self._lake.root, log_of).find(about, "request_id")
            self._table(f"feedback/{model}", erased.by_identity("request_id", asked))
            self._table(log_of, about)
            self._table(f"scores/{model}", erased.by_identity("_row_id", self._found.row_ids))

    def _training_sets(self) -> None:
        from evergreen.store.trainings import Trainings

        trainings = Trainings(self._store).all()
        for path in self._files("trainingsets"):
            if not path.endswith(".parquet"):
                continue
            sha256 = path.rpartition("/")[2].removesuffix(".parquet")
            users = [
                each for each in trainings if path == each.inputs.get("training_set") or sha256 == each.training_set
            ]
            if not self._is_meant(users):
                continue
            with self._unless_gone(path):
                doomed = self._doomed(path)
                if doomed is not None:
                    self._training_set(sha256, doomed, users)

    def _training_set(self, sha256: str, doomed: Doomed, users: list[Training]) -> None:
        """Keeps what is left of a set under the address of its own content; whoever named the old one names it then."""
        rows = trainingsets.get(self._lake, sha256)
        left = doomed.spare(rows)
        gone = rows.filter(doomed.mask(rows))
        self._found.add("trainingsets", gone.num_rows)
        self._found.add_file("trainingsets")
        lost = [self._lost(each, gone, rows.num_rows) for each in users]
        self._found.lost += lost
        if self._request is None:
            return
        fault_point("erase.set:before")
        path, new = trainingsets.put(self._lake, left)
        fault_point("erase.set:within")
        old_path = trainingsets.path_of(sha256)
        self._erasures.replace_set(self._request, (old_path, sha256), (path, new), lost)
        self._rename_in_recipes(sha256, new)
        fault_point("erase.set:after")
        self._lake.blobs.erase(old_path)
        log.info("Erased %d of %d rows of training set %s, which is %s now", gone.num_rows, rows.num_rows, sha256, new)

    def _lost(self, training: Training, gone: pa.Table, of: int) -> dict[str, Any]:
        """What is lost with the rows, and what a version goes on keeping of them."""
        names = {"training_id": training.training_id, "model": training.model, "version": training.adopted_version}
        kept = {"golden_rows": 0, "names_key": False}
        if training.bundle is not None:
            from evergreen.lake.workspace import read

            text = read(self._lake, training.bundle)["bundle.json"].decode()
            kept = {"golden_rows": _golden(json.loads(text), gone), "names_key": self._scope.key.is_named(text)}
        return {**names, "rows": gone.num_rows, "of": of, **kept}

    def _rename_in_recipes(self, old: str, new: str) -> None:
        """Lets pages of drift reports that are yet to be drawn compare with what is left."""
        for path, text in self._texts("reports"):
            if path.endswith(".json") and old in text:
                with self._lake.blobs.open_output(path) as stream:
                    stream.write(text.replace(old, new).encode())

    def _staged(self) -> None:
        """Files between two steps: those that the store names are written anew, others go, with the results that name
        them, so that a task which is cleared does its work again.
        """
        from evergreen.store.checkpoints import Checkpoints
        from evergreen.store.coverage import Coverage

        found = {}
        for path in self._files("staging"):
            with self._unless_gone(path):
                if (doomed := self._doomed(path)) is not None:
                    found[path] = doomed
        named = Coverage(self._store).readings() | Checkpoints(self._store).paths()
        if not self._scope.whole:
            meant = self._erasures.naming(list(self._scope.tables))
            found = {path: doomed for path, doomed in found.items() if path not in named or path in meant}
        self._results(set(found))
        for path, doomed in found.items():
            with self._unless_gone(path):
                rows = staging.get(self._lake, path)
                self._found.add_file("staging")
                self._found.add("staging", doomed.count(rows))
                if self._request is not None:
                    self._restage(path, doomed.spare(rows))

    def _restage(self, path: str, left: pa.Table) -> None:
        fault_point("erase.staged:before")
        if self._erasures.is_staged(path):
            new = staging.put(self._lake, left)
            self._erasures.replace_staged(path, new, rows=left.num_rows)
        fault_point("erase.staged:after")
        self._lake.blobs.erase(path)

    def _results(self, staged: Set[str]) -> None:
        """Results of steps that name staged files which go, or went, or the key."""
        key = self._scope.key
        results = [(path, _staged_in(text), key.is_named(text)) for path, text in self._texts("manifests")]
        there = set(self._files("staging")) - staged  # listed later: what a result names was there before it
        for path, named, is_told in results:
            if is_told or named - there:
                self._erase("manifests", path)

    def _reports(self) -> None:
        for path, text in self._texts("reports"):
            if self._scope.key.is_named(html.unescape(text)):
                self._erase("reports", path)

    def _erase(self, folder: str, path: str) -> None:
        self._found.add_file(folder)
        if self._request is not None:
            self._lake.blobs.erase(path)

    def _doomed(self, path: str) -> Doomed | None:
        """What goes of a Parquet file of the lake; ``None`` where nothing does."""
        import pyarrow.parquet as pq

        with self._lake.blobs.open_input(path) as stream:
            file = pq.ParquetFile(stream)
            doomed = erased.staged(self._scope.key, self._found.row_ids, self._scope.names, file.schema_arrow.names)
            return doomed if doomed.is_in(file) else None

    def _is_meant(self, users: list[Training]) -> bool:
        """Whether a training set is of the scope; one that no training names may be."""
        tables = set(self._scope.tables)
        return self._scope.whole or not users or any(tables & set(each.inputs.get("tables", {})) for each in users)

    def _texts(self, folder: str) -> Iterator[tuple[str, str]]:
        for path in self._files(folder):
            with self._unless_gone(path):
                yield path, self._lake.blobs.get(path).decode(errors="replace")

    @contextmanager
    def _unless_gone(self, path: str) -> Iterator[None]:
        """Passes over a file that went since it was listed: housekeeping, or another call of this erasure, took it."""
        try:
            yield
        except DataError:
            if self._lake.blobs.exists(path):
                raise

    def _files(self, folder: str) -> Iterator[str]:
        """Whole files, listed before any goes."""
        listed = sorted(each.path for each in self._lake.blobs.entries(folder))
        return (path for path in listed if not path.rpartition("/")[2].startswith(TEMPORARY))


def _staged_in(text: str) -> set[str]:
    """Paths of staged files that a result names."""
    return {f"staging/{each.partition('.parquet')[0]}.parquet" for each in text.split("staging/")[1:]}


def _golden(document: dict[str, Any], gone: pa.Table) -> int:
    """How many of the rows that a bundle keeps to be checked by are among those that went, by their features."""
    from evergreen.training.encode import json_value

    names = [name for name in document["features"] if name in gone.column_names]
    went = {json.dumps([json_value(row[name]) for name in names]) for row in gone.select(names).to_pylist()}
    return sum(json.dumps([row.get(name) for name in names]) in went for row in document["golden"]["rows"])
