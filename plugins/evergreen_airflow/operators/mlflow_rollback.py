"""Takes the champion off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from evergreen_airflow.failures import as_airflow_ends
from evergreen_airflow.operators.act import act
from evergreen_airflow.rows import whole_number

if TYPE_CHECKING:
    from airflow.sdk import Context


class MlflowRollbackOperator(BaseOperator):
    """Rolls a model back in the store and copies the decision to MLflow's aliases.

    The model is then held: what was trained before never promotes, until a person releases it or a training that is
    asked for afterwards passes the gate.

    Args:
        model: Name of the model.
        reason: Kept in the ledger.
        version: A version that has served, by its number in Evergreen's store; the last good one by default.
        as_of: Key of the data clock; the run's partition key by default.
        timezone: Time zone of the key.

    Returns:
        ``{"model", "action", "version", "seq"}``.
    """

    template_fields: Sequence[str] = ("model", "version", "reason", "as_of")
    ui_color = "#e8f5e9"

    def __init__(
        self,
        *,
        model: str,
        reason: str,
        version: int | str | None = None,
        as_of: str = "",
        timezone: str = "UTC",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model, self.reason, self.version = model, reason, version
        self.as_of, self.timezone = as_of, timezone

    def execute(self, context: Context) -> dict[str, Any]:
        """Rolls back, once per task of a run."""
        conf: dict[str, Any] = {"action": "roll_back", "reason": self.reason}
        if self.version not in (None, "", "None"):
            with as_airflow_ends():
                conf["version"] = whole_number("version", self.version)
        return act(context, self.model, conf, self.as_of, self.timezone)
