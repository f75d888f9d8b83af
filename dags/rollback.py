"""Airflow wiring: One DAG per model."""

from evergreen_airflow.fleet import Fleet
from evergreen_airflow.stages.rollback import rollback

fleet = Fleet.of("rollback")
for model in fleet.models():
    globals()[f"{model.name}.rollback"] = rollback(model, broken=fleet.is_broken(model.name))
