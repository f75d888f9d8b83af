"""Fits one model on one frame: split, encode, train. Nothing is refitted afterwards: what is judged is what serves."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError, UserError
from evergreen.spec.model import Model
from evergreen.training.encode import Encoder
from evergreen.training.labels import LabelSummary, classes_of, encode_labels, summarize
from evergreen.training.predict import predict
from evergreen.training.shortage import shortage_of
from evergreen.training.split import Parts, time_split
from evergreen.training.trainer import Estimator, Problem, Rows, trainer_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitted:
    """A fitted model with all that is needed to serve it, judge it and do it again.

    Attributes:
        task: Of the spec.
        estimator: The library's model behind our interface.
        encoder: Learnt on the fitted rows.
        classes: Of classification, in the order of the probabilities.
        parts: Row indices and cuts of the frame.
        labels: Summary of the fitted rows' labels, for the naive baseline.
        params: What the library was really given.
        curves: Metric on the validation rows per iteration.
        best_iteration: Iterations kept, if it has any.
        importance: ``(feature, share)``, largest first; may be empty.
        seed: Seed used.
        threads: Threads used.
        seconds: How long fitting took.
    """

    task: str
    estimator: Estimator
    encoder: Encoder
    classes: list[Any]
    parts: Parts
    labels: LabelSummary
    params: dict[str, Any]
    curves: dict[str, list[float]]
    best_iteration: int | None
    importance: list[tuple[str, float]]
    seed: int
    threads: int
    seconds: float

    @property
    def trained_through(self) -> datetime:
        """Last event time that fit or validation used."""
        return self.parts.trained_through

    @property
    def library(self) -> str:
        """``lightgbm`` or ``sklearn``."""
        return self.estimator.library

    def predict(self, table: pa.Table) -> npt.NDArray[np.float64]:
        """Predicts the rows of a table that holds the feature columns."""
        return predict(self.estimator, self.encoder, table)


def split(model: Model, frame: pa.Table, as_of_time: datetime) -> Parts:
    """The parts of a frame as the model's spec wants them."""
    return time_split(
        frame,
        as_of_time=as_of_time,
        split=model.split,
        delay=model.label.delay,
        gap=model.gap,
        window=model.window,
    )


def fit(
    model: Model,
    frame: pa.Table,
    features: Sequence[str],
    *,
    as_of_time: datetime,
    seed: int | None = None,
    parts: Parts | None = None,
) -> Fitted:
    """Splits by time, encodes and trains.

    Args:
        model: The spec.
        frame: ``_row_id``, ``_event_time``, ``_label``, ``_label_known_at`` and the features.
        features: The feature columns, in the order that is kept from here on.
        as_of_time: The instant of the data clock.
        seed: Instead of ``trainer.seed``.
        parts: The frame as :func:`split` parts it, where that is known already.

    Raises:
        UserError: When the library refuses, naming the field.
        DataError: When a part holds too few rows (ask :func:`~evergreen.training.shortage.shortage_of` before), or a
            label or a feature has an impossible type or value.
    """
    place = f"models/{model.name}.yaml"
    if not features:
        raise UserError(place, "must have at least one feature", remedy="Name request columns or feature views.")
    spec = model.trainer if seed is None else model.trainer.model_copy(update={"seed": seed})
    trainer = trainer_of(spec)
    parts = split(model, frame, as_of_time) if parts is None else parts
    shortage = shortage_of(parts, model)
    if shortage is not None:
        raise DataError(f"{place} split", f"must leave enough rows to train on, but {shortage.reason}")
    learn, watch = _rows(frame, parts.fit), _rows(frame, parts.validation)
    if not trainer.stops_early:
        import pyarrow as pa

        learn = pa.concat_tables([learn, watch])
    encoder = Encoder.fit(learn, features)
    classes = classes_of(model.task, learn.column("_label"))
    fit_rows = _encoded(model.task, encoder, learn, classes)
    validation_rows = _encoded(model.task, encoder, watch, classes)
    problem = Problem(
        task=model.task,
        metric=model.gate_metric,
        n_classes=len(classes),
        features=encoder.names,
        categorical=encoder.categorical,
        place=place,
    )
    started = perf_counter()
    trained = trainer.fit(problem, fit_rows, validation_rows)
    seconds = perf_counter() - started
    shares = zip(encoder.names, trained.estimator.importance(), strict=False)
    _log.info("Fitted %s with %s on %d rows in %.2f s", model.name, spec.kind, len(fit_rows.y), seconds)
    return Fitted(
        task=model.task,
        estimator=trained.estimator,
        encoder=encoder,
        classes=classes,
        parts=parts,
        labels=summarize(model.task, fit_rows.y, classes),
        params=trained.params,
        curves=trained.curves,
        best_iteration=trained.best_iteration,
        importance=sorted(shares, key=lambda pair: -pair[1]),
        seed=spec.seed,
        threads=spec.threads,
        seconds=seconds,
    )


def _rows(frame: pa.Table, index: npt.NDArray[np.int64]) -> pa.Table:
    """Some rows of a frame; where they stand side by side, without a copy of them."""
    import numpy as np

    if len(index) and index[-1] - index[0] == len(index) - 1 and (np.diff(index) == 1).all():
        return frame.slice(int(index[0]), len(index))
    return frame.take(index)


def _encoded(task: str, encoder: Encoder, table: pa.Table, classes: list[Any]) -> Rows:
    X, y = encoder.transform(table), encode_labels(task, table.column("_label"), classes)
    known = y >= 0 if task == "multiclass" else slice(None)
    return Rows(X[known], y[known])
