"""The operators of Evergreen's own DAGs: one step each, by what it does; :class:`StepOperator` runs them all.

They add a name, a colour and links, and nothing that acts. The operators for single use in a DAG of one's own stand
beside this module and are of the same families.
"""

from __future__ import annotations

from evergreen_airflow.operators.families import Evidently, GreatExpectations, Mlflow
from evergreen_airflow.operators.step import StepOperator


class SourceReadOperator(StepOperator):
    """Reads a dataset's source for one interval and stages its rows."""

    ui_color = "#e6eef7"


class GreatExpectationsOperator(GreatExpectations, StepOperator):
    """Runs a dataset's expectations; rows that break one go to quarantine, a broken whole stops the run."""


class DeltaPublishOperator(StepOperator):
    """Appends new and changed rows to a Delta table of the lake, exactly once."""

    ui_color = "#d9f0e3"


class FeatureBuildOperator(StepOperator):
    """Computes a feature view's rows from what was known at the key."""

    ui_color = "#e6eef7"


class PerformanceOperator(StepOperator):
    """Scores a period with what served, and measures it on the labels that have come."""

    ui_color = "#f3eccb"


class EvidentlyDriftOperator(Evidently, StepOperator):
    """Compares a period's features with those that the champion was trained on."""


class RetrainingPolicyOperator(StepOperator):
    """Weighs all causes of a retraining and records the decision, the "no" too."""

    ui_color = "#eadcf5"


class RetrainingRequestOperator(StepOperator):
    """Passes open requests of a retraining on: rings for them, or claims them."""

    ui_color = "#eadcf5"


class MlflowTrainOperator(Mlflow, StepOperator):
    """Builds the training set, fits a model and logs it as an MLflow run."""


class GateOperator(StepOperator):
    """Judges a candidate against champions on the same rows, and records the verdict."""

    ui_color = "#eadcf5"


class MlflowVersionOperator(Mlflow, StepOperator):
    """Registers an accepted candidate as a version, one per training."""


class CandidateVerifyOperator(StepOperator):
    """Tries the newest candidate as the gateway would load it, and asks whether it may be promoted."""

    ui_color = "#eadcf5"


class MlflowRollOutOperator(Mlflow, StepOperator):
    """Promotes a version in the store and waits until every live gateway serves it."""


class MlflowSettleOperator(Mlflow, StepOperator):
    """Copies the decision to MLflow's aliases and checks that what was promoted serves."""


class MlflowActOperator(Mlflow, StepOperator):
    """Does what a person asks for: rolls back, promotes a named version, or lifts a hold."""
