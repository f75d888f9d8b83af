"""Makes a named version the champion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from evergreen_airflow.failures import as_airflow_ends
from evergreen_airflow.operators.act import act
from evergreen_airflow.rows import whole_number

if TYPE_CHECKING:
    from airflow.sdk import Context


class MlflowPromoteOperator(BaseOperator):
    """Promotes a named version in the store and copies the decision to MLflow's aliases.

    It does not judge: the gate must have accepted the version before. It does not wait for gateways either; they
    follow by themselves within seconds.

    Args:
        model: Name of the model.
        version: Its number in Evergreen's store (not MLflow's own).
        reason: Kept in the ledger.
        as_of: Key of the data clock; the run's partition key by default.
        timezone: Time zone of the key.

    Returns:
        ``{"model", "action", "version", "seq"}``.
    """

    template_fields: Sequence[str] = ("model", "version", "reason", "as_of")
    ui_color = "#e8f5e9"

    def __init__(
        self, *, model: str, version: int | str, reason: str, as_of: str = "", timezone: str = "UTC", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model, self.version, self.reason = model, version, reason
        self.as_of, self.timezone = as_of, timezone

    def execute(self, context: Context) -> dict[str, Any]:
        """Promotes, once per task of a run."""
        with as_airflow_ends():
            version = whole_number("version", self.version)
        conf = {"action": "promote", "version": version, "reason": self.reason}
        return act(context, self.model, conf, self.as_of, self.timezone)
