"""Airflow wiring: One DAG per dataset."""

from evergreen_airflow.fleet import Fleet
from evergreen_airflow.stages.ingest import ingest

fleet = Fleet.of("ingest")
for dataset in fleet.datasets():
    globals()[f"{dataset.name}.ingest"] = ingest(dataset, start=fleet.start, broken=fleet.is_broken(dataset.name))
