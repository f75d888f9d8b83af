"""Airflow wiring: One DAG per model."""

from evergreen_airflow.fleet import Fleet
from evergreen_airflow.stages.monitor import monitor

fleet = Fleet.of("monitor")
for model in fleet.models():
    globals()[f"{model.name}.monitor"] = monitor(
        model, fleet.workspace.datasets, fleet.workspace.views, broken=fleet.is_broken(model.name)
    )
