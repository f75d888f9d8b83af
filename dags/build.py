"""Airflow wiring: One DAG per materialized feature view."""

from evergreen_airflow.fleet import Fleet
from evergreen_airflow.stages.build import build

fleet = Fleet.of("build")
for view in fleet.materialized_views():
    globals()[f"{view.name}.build"] = build(view, broken=fleet.is_broken(view.name))
