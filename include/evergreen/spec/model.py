"""Model: what is predicted, from what, how it is judged, watched and renewed."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from evergreen.spec.amounts import Amount, History
from evergreen.spec.base import At, Column, Frozen, Resource, Share
from evergreen.spec.timing import Duration

Metric = Literal[
    "roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1_macro",
    "mean_absolute_error", "root_mean_squared_error", "r2",
]  # fmt: skip
METRICS_OF_TASK: dict[str, tuple[str, ...]] = {
    "binary": ("roc_auc", "average_precision", "log_loss", "brier", "accuracy"),
    "multiclass": ("accuracy", "f1_macro", "log_loss"),
    "regression": ("mean_absolute_error", "root_mean_squared_error", "r2"),
}
GREATER_IS_BETTER = frozenset({"roc_auc", "average_precision", "accuracy", "f1_macro", "r2"})


class Label(Frozen):
    """The column to predict.

    Attributes:
        dataset: A dataset with an event time; its calendar is the model's.
        column: The column to predict; a row without a value has no label (yet).
        delay: A row counts as mature this long after its event time; younger labels are left out, since those that
            come first are not like the others.
    """

    dataset: str
    column: Column
    delay: Duration = timedelta(0)


MIN_FIT_ROWS, MIN_VALIDATION_ROWS = 30, 10
"""With fewer labelled rows in these parts nothing is trained."""


class Split(Frozen):
    """Time-ordered parts of the labelled rows: fit, then validation (early stopping), then a gap, then test.

    Attributes:
        test: The last part, which only the gate sees: ``14d``, ``500 rows``, or ``20%`` of the labelled rows.
        validation: The part before it, likewise.
        gap: Time between validation and test that neither uses, since whoever serves was trained at least that long
            ago; every judged version's training ends at least so long before the judged rows. Absent, the label's
            delay.
    """

    test: Amount = timedelta(days=14)
    validation: Amount = timedelta(days=7)
    gap: Duration | None = None


class LightGBM(Frozen):
    """Gradient boosting by LightGBM.

    Attributes:
        kind: Names the trainer.
        params: LightGBM's own parameters, such as ``learning_rate``; none that reads or writes files. Without
            ``objective`` it follows from the gate's metric: ``regression_l1`` where that is the mean absolute error.
        rounds: At most so many trees.
        early_stopping_rounds: Stops when the validation rows' metric has not improved for so many.
        seed: Of all that is random.
        threads: Of LightGBM; recorded, since the result may depend on them.
    """

    kind: Literal["lightgbm"] = "lightgbm"
    params: dict[str, Any] = Field(default_factory=dict)
    rounds: int = Field(default=300, ge=1)
    early_stopping_rounds: int = Field(default=30, ge=1)
    seed: int = 7
    threads: int = Field(default=2, ge=1)


class SklearnEstimator(Frozen):
    """A scikit-learn estimator by import path, behind imputation and one-hot encoding.

    Attributes:
        kind: Names the trainer.
        estimator: Import path of the class.
        params: Arguments of the class. A gradient boosting regressor without ``loss`` learns the absolute error where
            the gate's metric is that.
        seed: Its ``random_state``.
        threads: Its ``n_jobs``.
    """

    kind: Literal["sklearn"]
    estimator: str = Field(
        pattern=r"^sklearn\.[a-z_.]+\.[A-Z][A-Za-z0-9]*$", examples=["sklearn.linear_model.LogisticRegression"]
    )
    params: dict[str, Any] = Field(default_factory=dict)
    seed: int = 7
    threads: int = Field(default=2, ge=1)


def _kind_of_trainer(value: Any) -> str | None:
    if isinstance(value, dict):
        return str(value.get("kind", "lightgbm"))
    return getattr(value, "kind", None)


Trainer = Annotated[
    Annotated[LightGBM, Tag("lightgbm")] | Annotated[SklearnEstimator, Tag("sklearn")], Discriminator(_kind_of_trainer)
]


class Bound(Frozen):
    """Closed bounds of a metric.

    Attributes:
        min: Least value.
        max: Largest value.
    """

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Bound:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise At(("min",), f"must be at most max ({self.max:g})", f"{self.min:g}")
        return self


class Gate(Frozen):
    """When a candidate may be promoted.

    Attributes:
        metric: The one that decides; absent, the task's first (AUC, accuracy, mean absolute error).
        floors: Bounds that hold whatever the champion does.
        tolerance: How much worse than the best of the remembered champions a candidate may be, as a share of that
            champion's figure (0.01 = 1 %).
        memory: How many distinct champions are remembered.
        min_rows: Fewer judged rows than this is "cannot judge".
        suspicious: A candidate whose figure leaves these bounds looks too good to be true, like a leak, and is refused:
            ``{max: 0.95}`` of an AUC, ``{min: 1.0}`` of an error.
    """

    metric: Metric | None = None
    floors: dict[Metric, Bound] = Field(default_factory=dict)
    tolerance: Share = 0.0
    memory: int = Field(default=3, ge=1)
    min_rows: int = Field(default=200, ge=1)
    suspicious: Bound | None = None


class Approval(Frozen):
    """Who says yes after the gate.

    Attributes:
        policy: Only ``auto`` so far: what the gate accepts is promoted.
    """

    policy: Literal["auto"] = "auto"


class Deployment(Frozen):
    """How a promoted version takes over.

    Attributes:
        strategy: Only ``direct`` so far: all requests at once.
        max_latency_ms: A candidate whose median time for one row is above this is not deployed.
    """

    strategy: Literal["direct"] = "direct"
    max_latency_ms: float = Field(default=250.0, gt=0)


class Drift(Frozen):
    """Drift by effect size, never by a bare p-value.

    Attributes:
        threshold: Effect size of one column (Jensen-Shannon distance to base 2 without what sampling brings about, 0
            to 1) from which it counts as drifted.
        share: Share of the columns that must drift for the window to count; where so many have lost their values, it
            is broken data and not judged.
        min_rows: Fewer rows on either side is "cannot judge".
        windows: ``(k, n)``: k of the last n windows must count before drift is a cause.
        sample: At most so many rows of each side are compared.
    """

    threshold: Share = 0.2
    share: Share = 0.3
    min_rows: int = Field(default=300, ge=1)
    windows: tuple[int, int] = (2, 3)
    sample: int = Field(default=5000, ge=100)

    @field_validator("windows")
    @classmethod
    def _k_of_n(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1]:
            raise ValueError("must be [k, n] with 1 <= k <= n")
        return value


class Monitoring(Frozen):
    """What is watched.

    Attributes:
        metric: The one that is followed; absent, the gate's.
        min_labels: With fewer mature labels a period has no figure.
        drift: When the features of a period count as drifted.
        reference_versions: Versions that are scored beside the champion; ``first`` is the first ever promoted.
    """

    metric: Metric | None = None
    min_labels: int = Field(default=100, ge=1)
    drift: Drift = Drift()
    reference_versions: tuple[Literal["first"] | int, ...] = ()


class Retraining(Frozen):
    """Which causes ask for a new training; an absent one never does. What a request was made of asks no second time.

    Attributes:
        drift: Whether drift (see monitoring) is a cause.
        decay: Relative loss of the metric against what the champion had at its gate, such as 0.1.
        new_rows: New rows of the label's dataset since the champion's training, or since the last request for them.
        new_labels: New labelled rows since then.
        every: Age, in data time, of the champion's training, or of the calendar's last request.
        code: Whether changed files of the model are a cause.
        upstream: Whether rows that changed below what the champion was trained on are a cause.
        cool_down: Least data time between two requests (a first champion and a person's wish are exempt).
        min_history: No request before that much labelled time (``28d``: as_of minus the local midnight of the first
            labelled day) or that many labelled rows (``5000 rows``).
    """

    drift: bool = True
    decay: float | None = Field(default=0.1, gt=0)
    new_rows: int | None = Field(default=None, ge=1)
    new_labels: int | None = Field(default=None, ge=1)
    every: Duration | None = None
    code: bool = True
    upstream: bool = False
    cool_down: Duration = timedelta(days=1)
    min_history: History = timedelta(days=28)


class Compute(Frozen):
    """Where a step runs.

    Attributes:
        kind: Only ``local`` so far: in an Airflow worker.
    """

    kind: Literal["local"] = "local"


class Model(Resource):
    """A model's whole life.

    Attributes:
        description: For people.
        owner: Whom to ask; becomes a tag and the tasks' owner in Airflow.
        team: For people.
        task: What kind of label it is.
        label: What is predicted.
        prediction_lead: A prediction is asked this long before the event time.
        request: Columns of the label's dataset that a caller sends. They are features unless in ``exclude``; the
            known-time cut does not apply to them; any other column of that dataset is refused as a leak.
        features: Feature views whose outputs are features.
        exclude: Request columns or outputs that are sent or computed but not fed to the model (keys, mostly).
        window: Only labelled rows this recent are trained on; absent, all.
        max_null: A training is refused where a larger share of a feature's values is null in the rows that it learns
            from. Absent, 0.95, and only for features whose source has rows.
        max_null_of: The same by feature.
        split: How the labelled rows are parted by time.
        trainer: What learns.
        gate: When a candidate may be promoted.
        approval: Who says yes after the gate.
        deployment: How a promoted version takes over.
        monitoring: What is watched.
        retraining: Which causes ask for a new training.
        compute: Where a step runs, by the step's name.
    """

    team: str = ""
    task: Literal["binary", "multiclass", "regression"]
    label: Label
    prediction_lead: Duration = timedelta(0)
    request: tuple[Column, ...] = ()
    features: tuple[str, ...] = ()
    exclude: tuple[Column, ...] = ()
    window: Duration | None = None
    max_null: Share | None = None
    max_null_of: dict[Column, Share] = Field(default_factory=dict)
    split: Split = Split()
    trainer: Trainer = LightGBM()
    gate: Gate = Gate()
    approval: Approval = Approval()
    deployment: Deployment = Deployment()
    monitoring: Monitoring = Monitoring()
    retraining: Retraining = Retraining()
    compute: dict[str, Compute] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _coherent(self) -> Model:
        if not self.request and not self.features:
            raise At(("features",), "must name feature views, or request columns: there is nothing to predict from")
        allowed = METRICS_OF_TASK[self.task]
        named = [(("gate", "metric"), self.gate.metric), (("monitoring", "metric"), self.monitoring.metric)]
        for field, metric in [*named, *((("gate", "floors", each), each) for each in self.gate.floors)]:
            if metric is not None and metric not in allowed:
                raise At(field, f"must be a metric of task {self.task}: {', '.join(allowed)}", metric)
        return self

    @property
    def gate_metric(self) -> str:
        """The metric that the gate decides by."""
        return self.gate.metric or METRICS_OF_TASK[self.task][0]

    @property
    def gap(self) -> timedelta:
        """Time that lies free between the end of a training and the rows that it is judged on."""
        return self.label.delay if self.split.gap is None else self.split.gap

    @property
    def kept_back(self) -> timedelta:
        """Time before as_of that is never fitted on: delay, test, gap and validation, as far as these are times."""
        parts = (self.split.test, self.split.validation)
        return sum((each for each in parts if isinstance(each, timedelta)), self.label.delay + self.gap)

    @property
    def monitoring_metric(self) -> str:
        """The metric that monitoring follows."""
        return self.monitoring.metric or self.gate_metric
