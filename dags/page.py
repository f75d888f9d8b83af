"""Airflow wiring: one DAG for the whole installation."""

from evergreen_airflow.fleet import is_wanted
from evergreen_airflow.stages.page import DAG_ID, page

if is_wanted(DAG_ID):
    globals()[DAG_ID] = page()
