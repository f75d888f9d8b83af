"""The bundle: a folder with everything that serving needs, which gate, monitor and gateway load alike.

manifest.json     sha256 of every other file
bundle.json       model, features, encoder, request, on_demand views, golden rows, where it came from
environment.json  what it was trained in
model/            LightGBM's text or skops; never a pickle
workspace/        files of the on_demand views
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError
from evergreen.training.encode import Encoder, json_value
from evergreen.training.environment import environment
from evergreen.training.fit import Fitted
from evergreen.training.labels import LabelSummary
from evergreen.training.predict import predict, predict_rows
from evergreen.training.trainer import Estimator, load_estimator

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

FORMAT = 1
GOLDEN_ROWS = 20


@dataclass(frozen=True)
class Loaded:
    """A bundle in memory. Predicting is safe from several threads.

    Attributes:
        folder: Where it lies.
        document: ``bundle.json``.
        encoder: Features in order.
        estimator: The model.
        digest: sha256 of the manifest: two bundles are the same when these are.
    """

    folder: Path
    document: Mapping[str, Any]
    encoder: Encoder
    estimator: Estimator
    digest: str

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.document["model"])

    @property
    def task(self) -> str:
        """The model's task."""
        return str(self.document["task"])

    @property
    def features(self) -> list[str]:
        """Feature columns, in order."""
        return self.encoder.names

    @property
    def classes(self) -> list[Any]:
        """Classes in the order of the probabilities; empty in regression."""
        return list(self.document["classes"])

    @property
    def trained_through(self) -> datetime:
        """Last event time that training used."""
        return datetime.fromisoformat(self.document["trained_through"])

    @property
    def labels(self) -> LabelSummary:
        """Of the fitted rows."""
        return LabelSummary.from_dict(self.document["labels"])

    @property
    def workspace(self) -> Path:
        """Root of the on_demand views' files."""
        return self.folder / "workspace"

    def predict(self, table: pa.Table) -> npt.NDArray[np.float64]:
        """Predicts the rows of a table that holds the feature columns: (rows,), or (rows, classes)."""
        return predict(self.estimator, self.encoder, table)

    def predict_rows(self, rows: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64]:
        """Predicts a few rows of Python or JSON values, in the time of one LightGBM call."""
        return predict_rows(self.estimator, self.encoder, rows)

    def golden_difference(self) -> float:
        """Largest absolute difference between the golden rows' predictions now and at training; 0 if all is well."""
        import numpy as np

        golden = self.document["golden"]
        if not golden["rows"]:
            return 0.0
        then = np.asarray(golden["predictions"], dtype=np.float64)
        now = self.predict_rows(golden["rows"])
        if now.shape != then.shape:
            return math.inf
        same = (now == then) | (np.isnan(now) & np.isnan(then))
        difference = np.where(same, 0.0, np.abs(now - then))
        return float(np.where(np.isnan(difference), np.inf, difference).max())


def save(
    folder: Path,
    fitted: Fitted,
    *,
    model: str,
    training_id: str,
    golden: pa.Table,
    nulls: Mapping[str, float] | None = None,
    request: Mapping[str, str] | None = None,
    on_demand: Sequence[Mapping[str, Any]] = (),
    files: Mapping[str, bytes] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> str:
    """Writes a bundle into a folder that is new or empty.

    Args:
        folder: The bundle's root, such as ``scratch/bundle``.
        fitted: What to serve.
        model: The model's name.
        training_id: Of the training.
        golden: Rows of the test part (or any) with the feature columns; the first 20 are kept with their predictions.
        nulls: Share of nulls of each feature in the rows that were learnt from.
        request: Columns that a caller sends, with their spec types.
        on_demand: The on_demand views, in JSON form.
        files: Their files, by path relative to the workspace.
        facts: Anything else, JSON, kept under ``facts``.

    Returns:
        The bundle's digest.

    Raises:
        DataError: When a path leaves the workspace.
        UserError: When the estimator could not be loaded without pickle.
    """
    (folder / "model").mkdir(parents=True)
    fitted.estimator.save(folder / "model")
    for name, content in sorted((files or {}).items()):
        target = folder / "workspace" / _inside(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    now = environment()
    sample = golden.select(fitted.encoder.names).slice(0, GOLDEN_ROWS)
    rows = [{name: json_value(value) for name, value in row.items()} for row in sample.to_pylist()]
    document = {
        "format": FORMAT,
        "model": model,
        "task": fitted.task,
        "library": fitted.library,
        "features": fitted.encoder.names,
        "encoder": fitted.encoder.to_dict(),
        "classes": fitted.classes,
        "labels": fitted.labels.to_dict(),
        "training_id": training_id,
        "trained_through": fitted.trained_through.isoformat(),
        "test_from": fitted.parts.test_from.isoformat(),
        "test_through": fitted.parts.test_through.isoformat(),
        "rows": fitted.parts.sizes,
        "nulls": dict(nulls or {}),
        "best_iteration": fitted.best_iteration,
        "seed": fitted.seed,
        "threads": fitted.threads,
        "importance": [[name, share] for name, share in fitted.importance],
        "environment": now.digest,
        "request": dict(request or {}),
        "on_demand": [dict(view) for view in on_demand],
        "golden": {"rows": rows, "predictions": predict_rows(fitted.estimator, fitted.encoder, rows).tolist()},
        "facts": dict(facts or {}),
    }
    _write(folder / "bundle.json", document)
    _write(folder / "environment.json", asdict(now))
    manifest = {path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in _files(folder)}
    _write(folder / "manifest.json", manifest)
    return _digest(folder)


def load(folder: Path, *, threads: int = 1) -> Loaded:
    """Loads a bundle after comparing every file with the manifest.

    Args:
        folder: The bundle's root.
        threads: For predicting; one is right for a gateway, where rows come one by one.

    Raises:
        DataError: When a file is missing, changed, foreign or of an unknown format.
    """
    manifest, digest = _verified(folder)
    if "bundle.json" not in manifest:
        raise _broken(folder, "must hold bundle.json")
    document = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    if document.get("format") != FORMAT:
        raise DataError(f"bundle {folder}", f"must be of format {FORMAT}", value=document.get("format"))
    estimator = load_estimator(
        document["library"],
        folder / "model",
        task=document["task"],
        n_classes=len(document["classes"]),
        threads=threads,
    )
    return Loaded(folder, document, Encoder.from_dict(document["encoder"]), estimator, digest)


def _verified(folder: Path) -> tuple[dict[str, str], str]:
    try:
        manifest: dict[str, str] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _broken(folder, f"must have a readable manifest.json ({error})") from error
    there = set(_files(folder))
    if there != set(manifest):
        changed = sorted(there ^ set(manifest))
        raise _broken(folder, f"must hold exactly the files of its manifest, but these differ: {', '.join(changed)}")
    for path, expected in manifest.items():
        if hashlib.sha256((folder / path).read_bytes()).hexdigest() != expected:
            raise _broken(folder, f"must be as it was written, but {path} has changed")
    return manifest, _digest(folder)


def _broken(folder: Path, rule: str) -> DataError:
    return DataError(f"bundle {folder}", rule, remedy="Remove the folder so that it is downloaded anew.")


def _files(folder: Path) -> list[str]:
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in paths if path != "manifest.json" and "__pycache__" not in path)


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise DataError(f"bundle file {name}", "must be a path inside the workspace")
    return path


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
