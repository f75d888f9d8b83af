"""`<model>.rollback`: a person's act on what serves or is asked for, by the trigger form or REST."""

from __future__ import annotations

from airflow.sdk import DAG, Param, PartitionedAtRuntime

from evergreen.spec.model import Model
from evergreen_airflow import assets
from evergreen_airflow.stages.frame import Work, stage_dag

DOC = """Acts at once on what the model serves, or on a request for a training; give `reason`.

| action | what it does |
|---|---|
| `roll_back` | serves the last good version, or `version`, and holds the model: nothing trained before promotes |
| `promote` | serves `version`, which the gate has accepted, also when the model is held |
| `release` | lifts the hold |
| `withdraw` | ends `request` unanswered; `evergreen requests MODEL` lists them with their numbers |

By REST: `{"conf": {"action": "roll_back", "reason": "..."}}`, with a partition key or without; or
`{"conf": {"action": "withdraw", "request": 12, "reason": "..."}}`."""


def rollback(model: Model, *, broken: bool = False) -> DAG:
    """The DAG of one task that no asset and no calendar ever starts."""
    return stage_dag(
        "model",
        model,
        "rollback",
        (Work("act", outlet=assets.champion(model.name)),),
        broken=broken,
        doc=DOC,
        schedule=PartitionedAtRuntime(),
        params={
            "action": Param("roll_back", type="string", enum=["roll_back", "promote", "release", "withdraw"]),
            "version": Param(
                None,
                type=["null", "integer"],
                minimum=1,
                description="Evergreen's number; needed to promote; to roll back, the last good one when empty.",
            ),
            "request": Param(
                None,
                type=["null", "integer"],
                minimum=1,
                description="Number of the request to withdraw; only for that.",
            ),
            "reason": Param(
                type="string", minLength=1, maxLength=500, description="Kept with the act for good, in your name."
            ),
        },
        max_active_runs=4,
    )
