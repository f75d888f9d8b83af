"""Airflow wiring: One DAG per dataset."""

from evergreen_airflow.fleet import Fleet
from evergreen_airflow.stages.rebuild import rebuild

fleet = Fleet.of("rebuild")
for dataset in fleet.datasets():
    globals()[f"{dataset.name}.rebuild"] = rebuild(dataset, broken=fleet.is_broken(dataset.name))
