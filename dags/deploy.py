"""Airflow wiring: One DAG per model."""

from evergreen_airflow.fleet import Fleet
from evergreen_airflow.stages.deploy import deploy

fleet = Fleet.of("deploy")
for model in fleet.models():
    globals()[f"{model.name}.deploy"] = deploy(model, broken=fleet.is_broken(model.name))
