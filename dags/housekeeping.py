"""Airflow wiring: one DAG for the whole installation."""

from evergreen.settings import Settings
from evergreen_airflow.fleet import is_wanted
from evergreen_airflow.stages.housekeeping import housekeeping

if is_wanted("evergreen.housekeeping"):
    globals()["evergreen.housekeeping"] = housekeeping(Settings.from_env().housekeeping)
