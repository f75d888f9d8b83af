"""Airflow wiring: one DAG for the whole installation."""

from evergreen.settings import Settings
from evergreen_airflow.fleet import is_wanted
from evergreen_airflow.stages.housekeeping import DAG_ID, housekeeping

if is_wanted(DAG_ID):
    globals()[DAG_ID] = housekeeping(Settings.from_env().housekeeping)
