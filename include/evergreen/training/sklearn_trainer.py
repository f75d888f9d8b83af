"""scikit-learn estimators by import path, behind imputation, one-hot encoding and, for linear kinds, scaling."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError, UserError
from evergreen.spec.model import SklearnEstimator
from evergreen.training.trainer import Problem, Rows, Trained

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FILE = "model.skops"
TRUSTED = frozenset({
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
})  # fmt: skip
"""Types that skops does not trust by itself but that only hold numbers."""
TRUSTED_PREFIXES = ("sklearn.metrics._dist_metrics.", "sklearn.gaussian_process.kernels.", "sklearn._loss.")
_SCALED = ("linear_model", "svm", "neural_network", "neighbors", "gaussian_process", "discriminant_analysis")
_PARALLEL = ("ensemble", "neighbors")
_MAX_ONE_HOT = 100
_ABSOLUTE = {"HistGradientBoostingRegressor": "loss", "GradientBoostingRegressor": "loss"}
"""The argument by which an estimator learns the absolute error at no more cost than the squared one."""
_OURS = {"random_state": "trainer.seed", "n_jobs": "trainer.threads"}


class PipelineEstimator:
    """A fitted scikit-learn pipeline of ``prepare`` and ``estimator``."""

    library = "sklearn"

    def __init__(self, pipeline: Any, *, task: str, n_classes: int) -> None:
        self._pipeline = pipeline
        self._task = task
        self._n_classes = n_classes

    @property
    def native(self) -> Any:
        """The pipeline."""
        return self._pipeline

    def predict(self, X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """See :class:`~evergreen.training.trainer.Estimator`."""
        import numpy as np

        if self._task == "regression":
            return np.asarray(self._pipeline.predict(X), dtype=np.float64)
        seen = self._pipeline.named_steps["estimator"].classes_.astype(int)
        full = np.zeros((len(X), self._n_classes))
        full[:, seen] = self._pipeline.predict_proba(X)
        return full[:, 1] if self._task == "binary" else full

    def importance(self) -> list[float]:
        """From ``feature_importances_`` or the size of ``coef_``, summed over a feature's one-hot columns."""
        import numpy as np

        estimator, prepare = self._pipeline.named_steps["estimator"], self._pipeline.named_steps["prepare"]
        weights = getattr(estimator, "feature_importances_", None)
        if weights is None:
            coefficients = getattr(estimator, "coef_", None)
            if coefficients is None:
                return []
            weights = np.abs(np.asarray(coefficients, dtype=float)).reshape(-1, np.shape(coefficients)[-1]).sum(axis=0)
        n = int(prepare.n_features_in_)
        names = prepare.get_feature_names_out([str(index) for index in range(n)])
        shares = np.zeros(n)
        for name, weight in zip(names, weights, strict=True):
            shares[int(str(name).split("__", 1)[1].split("_", 1)[0])] += float(weight)
        total = float(shares.sum())
        return [float(share) for share in shares / total] if np.isfinite(total) and total > 0 else [0.0] * n

    def save(self, folder: Path) -> None:
        """Writes skops' format.

        Raises:
            UserError: When the estimator holds types that could not be loaded without trusting code.
        """
        import skops.io

        content = skops.io.dumps(self._pipeline)
        foreign = _foreign(skops.io.get_untrusted_types(data=content))
        if foreign:
            raise UserError(
                "trainer.estimator",
                "must be one that loads without pickle, but it holds types that are not on the allow list",
                value=foreign,
                remedy="Choose another estimator.",
            )
        (folder / FILE).write_bytes(content)

    def trusted_types(self) -> list[str]:
        """See :class:`~evergreen.training.trainer.Estimator`."""
        import skops.io

        found: list[str] = skops.io.get_untrusted_types(data=skops.io.dumps(self._pipeline))
        return [name for name in found if name not in _foreign(found)]


class SklearnTrainer:
    """Fits a pipeline; it does not stop early."""

    stops_early = False

    def __init__(self, spec: SklearnEstimator) -> None:
        self._spec = spec

    def fit(self, problem: Problem, fit: Rows, validation: Rows) -> Trained:
        """See :class:`~evergreen.training.trainer.Trainer`."""
        import numpy as np
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        estimator = self._estimator(problem)
        if problem.task != "regression" and len(np.unique(fit.y)) == 1:
            from sklearn.dummy import DummyClassifier

            # Most classifiers refuse one class; its constant goes on to the gate, which says so.
            estimator = DummyClassifier(strategy="prior")
        pipeline = _pipeline(problem, estimator, scaled=self._spec.estimator.split(".")[1] in _SCALED)
        target = fit.y if problem.task == "regression" else fit.y.astype(int)
        try:
            with threadpool_limits(limits=self._spec.threads):
                pipeline.fit(fit.X, target)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{problem.place} trainer.params",
                f"must be parameters that {self._spec.estimator} can be fitted with, but it said: {error}",
                value=self._spec.params or None,
            ) from error
        params = {"estimator": self._spec.estimator, "seed": self._spec.seed, "threads": self._spec.threads}
        used = estimator.get_params(deep=False)
        fitted = PipelineEstimator(pipeline, task=problem.task, n_classes=problem.n_classes)
        return Trained(fitted, params | used, {}, None)

    def _estimator(self, problem: Problem) -> Any:
        from sklearn.base import ClassifierMixin, RegressorMixin

        place = f"{problem.place} trainer.estimator"
        module, name = self._spec.estimator.rsplit(".", 1)
        try:
            kind = getattr(import_module(module), name)
        except (ImportError, AttributeError):
            raise UserError(place, "must be a class of scikit-learn", value=self._spec.estimator) from None
        wanted, word = (
            (RegressorMixin, "regressor") if problem.task == "regression" else (ClassifierMixin, "classifier")
        )
        if not (inspect.isclass(kind) and issubclass(kind, wanted)):
            raise UserError(place, f"must be a {word} since the task is {problem.task}", value=self._spec.estimator)
        params = dict(self._spec.params)
        for param, instead in _OURS.items():
            if param in params:
                raise UserError(
                    f"{problem.place} trainer.params.{param}",
                    "must not be set there",
                    value=params[param],
                    remedy=f"Write {instead}.",
                )
        if problem.metric == "mean_absolute_error" and name in _ABSOLUTE:
            params.setdefault(_ABSOLUTE[name], "absolute_error")
        accepted = inspect.signature(kind).parameters
        if "random_state" in accepted:
            params["random_state"] = self._spec.seed
        if "n_jobs" in accepted and module.split(".")[1] in _PARALLEL:
            params["n_jobs"] = self._spec.threads
        try:
            estimator = kind(**params)
        except TypeError as error:
            raise UserError(
                f"{problem.place} trainer.params",
                f"must be parameters of {name}, but it said: {error}",
                value=self._spec.params or None,
                remedy=f"It takes {', '.join(accepted)}.",
            ) from None
        if problem.task != "regression" and not hasattr(estimator, "predict_proba"):
            raise UserError(
                place,
                "must give probabilities (predict_proba)",
                value=self._spec.estimator,
                remedy="Choose another class, or the parameters with which it has them.",
            )
        return estimator


def trainer(spec: SklearnEstimator) -> SklearnTrainer:
    """The trainer of a spec."""
    return SklearnTrainer(spec)


def load(folder: Path, *, task: str, n_classes: int, threads: int) -> PipelineEstimator:
    """Reads skops' format, with types on the allow list only.

    Raises:
        DataError: When the file is broken or holds another type.
    """
    import skops.io

    path = folder / FILE
    try:
        foreign = _foreign(skops.io.get_untrusted_types(file=path))
        if foreign:
            raise DataError(str(path), "must hold only types on the allow list", value=foreign)
        pipeline = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    except DataError:
        raise
    except Exception as error:  # skops raises whatever its zip, JSON and type readers raise
        raise DataError(str(path), f"must be a model in skops' format: {error}") from error
    estimator = pipeline.named_steps["estimator"]
    if "n_jobs" in estimator.get_params(deep=False) and getattr(estimator, "n_jobs", None) is not None:
        estimator.set_params(n_jobs=threads)
    return PipelineEstimator(pipeline, task=task, n_classes=n_classes)


def _foreign(types: list[str]) -> list[str]:
    return [name for name in types if name not in TRUSTED and not name.startswith(TRUSTED_PREFIXES)]


def _pipeline(problem: Problem, estimator: Any, *, scaled: bool) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric = [index for index in range(len(problem.features)) if index not in set(problem.categorical)]
    steps: list[tuple[str, Any]] = [("impute", SimpleImputer(strategy="median", keep_empty_features=True))]
    if scaled:
        steps.append(("scale", StandardScaler()))
    one_hot = OneHotEncoder(handle_unknown="ignore", max_categories=_MAX_ONE_HOT, sparse_output=False)
    prepare = ColumnTransformer([("number", Pipeline(steps), numeric), ("category", one_hot, problem.categorical)])
    return Pipeline([("prepare", prepare), ("estimator", estimator)])
