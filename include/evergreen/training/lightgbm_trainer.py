"""LightGBM, by its native interface: gradient boosting with early stopping."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError, UserError
from evergreen.spec.model import LightGBM
from evergreen.training.trainer import Problem, Rows, Trained

if TYPE_CHECKING:
    import lightgbm
    import numpy as np
    import numpy.typing as npt

FILE = "model.txt"
OBJECTIVES = {
    "binary": ("binary", "cross_entropy"),
    "multiclass": ("multiclass", "multiclassova"),
    "regression": (
        "regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie",
    ),
}  # fmt: skip
_LEARNS = {"mean_absolute_error": "regression_l1"}
"""The objective that goes for a metric, where it is not the task's first."""
_STOP_ON = {
    "roc_auc": "auc",
    "average_precision": "average_precision",
    "mean_absolute_error": "l1",
    "root_mean_squared_error": "rmse",
    "r2": "rmse",
}
_OURS = {
    "num_iterations": "trainer.rounds", "early_stopping_round": "trainer.early_stopping_rounds",
    "seed": "trainer.seed", "num_threads": "trainer.threads", "metric": "gate.metric", "num_class": "task",
    "categorical_feature": "the columns' types",
}  # fmt: skip
_NEVER = (
    "data", "valid", "input_model", "output_model", "output_result", "forcedsplits_filename", "forcedbins_filename",
    "config", "task", "machine_list_filename", "machines", "initscore_filename", "valid_data_initscores",
    "convert_model", "save_binary", "snapshot_freq", "device_type", "parser_config_file",
)  # fmt: skip


class BoosterEstimator:
    """A LightGBM booster cut to its best iteration."""

    library = "lightgbm"

    def __init__(self, booster: lightgbm.Booster, *, task: str, n_classes: int, threads: int) -> None:
        self._booster = booster
        self._columns = n_classes if task == "multiclass" else None
        self._threads = threads

    @property
    def native(self) -> lightgbm.Booster:
        """The booster."""
        return self._booster

    def predict(self, X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """See :class:`~evergreen.training.trainer.Estimator`."""
        import numpy as np

        predicted = np.asarray(self._booster.predict(X, num_threads=self._threads), dtype=np.float64)
        # LightGBM wants two classes even where the labels had one.
        return predicted if self._columns is None else predicted[:, : self._columns]

    def importance(self) -> list[float]:
        """Shares of the total gain."""
        gain = self._booster.feature_importance(importance_type="gain")
        total = float(gain.sum())
        return [float(value) / total for value in gain] if total > 0 else [0.0] * len(gain)

    def save(self, folder: Path) -> None:
        """Writes LightGBM's text format."""
        (folder / FILE).write_text(self._booster.model_to_string(), encoding="utf-8")

    def trusted_types(self) -> list[str]:
        """None: it is text."""
        return []


class LightGBMTrainer:
    """Fits a booster on the fit rows and stops when the validation rows' metric no longer improves."""

    stops_early = True

    def __init__(self, spec: LightGBM) -> None:
        self._spec = spec

    def fit(self, problem: Problem, fit: Rows, validation: Rows) -> Trained:
        """See :class:`~evergreen.training.trainer.Trainer`."""
        import lightgbm as lgb

        params = self._params(problem, validation)
        curves: dict[str, dict[str, list[float]]] = {}
        callbacks: list[Any] = [
            lgb.early_stopping(self._spec.early_stopping_rounds, first_metric_only=True, verbose=False),
            lgb.record_evaluation(curves),
        ]
        try:
            data = lgb.Dataset(
                fit.X, fit.y, feature_name=problem.features, categorical_feature=problem.categorical, params=params
            )
            watched = data.create_valid(validation.X, validation.y)
            booster = lgb.train(
                params, data, self._spec.rounds, valid_sets=[watched], valid_names=["validation"], callbacks=callbacks
            )
        except (lgb.basic.LightGBMError, TypeError, ValueError) as error:
            raise UserError(
                f"{problem.place} trainer.params",
                f"must be parameters that LightGBM accepts, but it said: {error}",
                value=self._spec.params or None,
                remedy="See LightGBM's list of parameters.",
            ) from error
        best = booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()
        # Read back from the text that is served, so that what is judged is what is served.
        cut = lgb.Booster(model_str=booster.model_to_string(num_iteration=best))
        return Trained(
            BoosterEstimator(cut, task=problem.task, n_classes=problem.n_classes, threads=self._spec.threads),
            params | {"rounds": self._spec.rounds, "early_stopping_rounds": self._spec.early_stopping_rounds},
            {f"validation_{name}": [float(v) for v in values] for name, values in curves["validation"].items()},
            best,
        )

    def _params(self, problem: Problem, validation: Rows) -> dict[str, Any]:
        given = _checked(self._spec.params, problem)
        objective = given.pop("objective", _LEARNS.get(problem.metric, OBJECTIVES[problem.task][0]))
        if objective not in OBJECTIVES[problem.task]:
            raise UserError(
                f"{problem.place} trainer.params.objective",
                f"must be one of {', '.join(OBJECTIVES[problem.task])} since the task is {problem.task}",
                value=objective,
            )
        params: dict[str, Any] = {
            "objective": objective,
            "metric": _metrics(problem, validation),
            "seed": self._spec.seed,
            "num_threads": self._spec.threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        if problem.task == "multiclass":
            params["num_class"] = max(2, problem.n_classes)
        return params | given


def trainer(spec: LightGBM) -> LightGBMTrainer:
    """The trainer of a spec."""
    return LightGBMTrainer(spec)


def load(folder: Path, *, task: str, n_classes: int, threads: int) -> BoosterEstimator:
    """Reads LightGBM's text format.

    Raises:
        DataError: When the file is not one.
    """
    import lightgbm as lgb

    try:
        text = (folder / FILE).read_text(encoding="utf-8")
        booster = lgb.Booster(model_str=text)
    except (OSError, UnicodeDecodeError, lgb.basic.LightGBMError) as error:
        raise DataError(str(folder / FILE), f"must be a LightGBM model: {error}") from error
    return BoosterEstimator(booster, task=task, n_classes=n_classes, threads=threads)


def _metrics(problem: Problem, validation: Rows) -> list[str]:
    import numpy as np

    if problem.task == "regression":
        first, others = _STOP_ON[problem.metric], ["l1", "rmse"]
    elif problem.task == "multiclass":
        first, others = "multi_logloss", ["multi_error"]
    else:
        ranked = len(np.unique(validation.y)) > 1  # AUC says nothing, and would stop at once, with one class
        first = _STOP_ON.get(problem.metric, "binary_logloss") if ranked else "binary_logloss"
        others = ["binary_logloss"]
    return [first, *(name for name in others if name != first)]


def _checked(params: dict[str, Any], problem: Problem) -> dict[str, Any]:
    """The team's parameters under LightGBM's main names; LightGBM itself ignores unknown ones silently."""
    from lightgbm.basic import _ConfigAliases

    main_name = {alias: name for name, aliases in _ConfigAliases._get_all_param_aliases().items() for alias in aliases}
    checked: dict[str, Any] = {}
    for given, value in params.items():
        place = f"{problem.place} trainer.params.{given}"
        name = main_name.get(given)
        if name is None:
            near = difflib.get_close_matches(given, main_name, n=1)
            raise UserError(
                place, "must be a parameter of LightGBM", value=given, remedy=f"Write {near[0]}." if near else ""
            )
        if name in _OURS:
            raise UserError(place, "must not be set there", value=value, remedy=f"It follows from {_OURS[name]}.")
        if name in _NEVER or name.startswith("output_"):
            raise UserError(place, "must not be set: it reads or writes files or changes the run", value=value)
        checked[name] = value
    return checked
