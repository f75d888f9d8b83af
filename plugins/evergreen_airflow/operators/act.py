"""What the operators share that decide what a model serves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evergreen.errors import UserError
from evergreen.settings import Settings
from evergreen.spec.timing import is_ahead, parse_key
from evergreen_airflow.failures import as_airflow_ends

if TYPE_CHECKING:
    from airflow.sdk import Context


def act(context: Context, model: str, conf: dict[str, Any], as_of: str, timezone: str) -> dict[str, Any]:
    """Acts once per task of a run, in the store, then heals MLflow's aliases from it, if MLflow can be had.

    Args:
        conf: As ``<model>.rollback`` takes it.
        as_of: Key of the data clock; the run's partition key when empty.

    Returns:
        ``{"model", "action", "version", "seq"}``.
    """
    from evergreen.registry.acts import parse_rollback_conf, perform
    from evergreen.registry.aliases import heal_aliases
    from evergreen.store.store import Store
    from evergreen.tracking.mlflow_client import Tracking

    settings, run = Settings.from_env(), context["dag_run"]
    with as_airflow_ends():
        key = as_of or run.partition_key
        if not key:
            raise UserError(f"{model}: as_of", "must be given in a run without a partition key")
        try:
            moment = parse_key(key, timezone)
        except ValueError:
            raise UserError(f"{model}: as_of", "must be an ISO date or date-time", value=key) from None
        if is_ahead(moment, datetime.now(UTC)):
            raise UserError(f"{model}: as_of", "must not lie in the future", value=key)
        store = Store(settings.store_url)
        entry = perform(
            store,
            model,
            parse_rollback_conf(conf),
            actor=run.triggering_user_name or f"dag:{run.dag_id}",
            as_of=key,
            as_of_time=moment,
            key=f"{run.dag_id}/{run.run_id}/{context['ti'].task_id}",
        )
        heal_aliases(store, Tracking(settings.mlflow_uri), model)
    return {"model": model, "action": entry.action, "version": entry.version, "seq": entry.seq}
