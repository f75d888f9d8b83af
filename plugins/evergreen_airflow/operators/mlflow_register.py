"""Registers the model of an MLflow run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from evergreen.settings import Settings
from evergreen_airflow.failures import as_airflow_ends
from evergreen_airflow.links import MlflowRunLink

if TYPE_CHECKING:
    from airflow.sdk import Context


class MlflowRegisterOperator(BaseOperator):
    """Registers the model of an MLflow run as a version of a registered model, once per training.

    A training of Evergreen that the gate accepted gets its version number from the store: the number that promotion,
    rollback, ``evergreen show`` and the gateway take. MLflow's own number is beside it, and may be another. The run of
    anything else is registered in MLflow alone and has no version that could be promoted.

    It does not promote: no alias is set and nothing serves it yet.

    Args:
        model: Name of the model.
        run_id: MLflow run that holds the model.
        training_id: What a retry is recognized by; the training of the run, or the run's id, by default.

    Returns:
        ``{"model", "version", "mlflow_version", "run_id"}``; ``version`` is ``None`` for what Evergreen did not train.
    """

    template_fields: Sequence[str] = ("model", "run_id", "training_id")
    operator_extra_links = (MlflowRunLink(),)
    ui_color = "#e8f5e9"

    def __init__(self, *, model: str, run_id: str, training_id: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model, self.run_id, self.training_id = model, run_id, training_id
        self.made: dict[str, str] = {}

    def execute(self, context: Context) -> dict[str, Any]:
        """Registers, or finds what was registered before."""
        from evergreen.registry.copies import register_run
        from evergreen.store.store import Store
        from evergreen.tracking.mlflow_client import Tracking

        settings = Settings.from_env()
        tracking = Tracking(settings.mlflow_uri, ui=settings.mlflow_ui)
        with as_airflow_ends():
            training_id = self.training_id or tracking.run_tags(self.run_id).get("training_id") or self.run_id
            store = Store(settings.store_url) if settings.store_url else None
            version, number = register_run(store, tracking, self.model, self.run_id, training_id)
            self.made = {"mlflow_run": tracking.run_url(self.run_id)}
        return {"model": self.model, "version": version, "mlflow_version": number, "run_id": self.run_id}
