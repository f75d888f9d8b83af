"""Airflow wiring: One DAG per model."""

from evergreen_airflow.fleet import Fleet
from evergreen_airflow.stages.train import train

fleet = Fleet.of("train")
for model in fleet.models():
    globals()[f"{model.name}.train"] = train(model, broken=fleet.is_broken(model.name))
