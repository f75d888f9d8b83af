"""The assets that join the DAGs; each event is a doorbell, the truth stands in the store and the lake.

Every function gives the same object for the same name: a fleet of a thousand models shares its datasets' assets.
"""

from __future__ import annotations

from functools import cache

from airflow.sdk import Asset


@cache
def _asset(resource: str, part: str) -> Asset:
    return Asset(name=f"{resource}.{part}", uri=f"evergreen://{resource}/{part}", group="evergreen")


def table(resource: str) -> Asset:
    """The published table of a dataset or a feature view."""
    return _asset(resource, "table")


def retrain_request(model: str) -> Asset:
    """Rings when the model has an open request."""
    return _asset(model, "retrain_request")


def candidate(model: str) -> Asset:
    """Rings when a version has passed the model's gate."""
    return _asset(model, "candidate")


def champion(model: str) -> Asset:
    """Rings when what the model serves was decided anew."""
    return _asset(model, "champion")
