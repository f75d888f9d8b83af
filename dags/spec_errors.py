"""Airflow wiring: no DAG, but every error of the workspace as an import error that people see."""

from evergreen_airflow.fleet import raise_spec_errors

raise_spec_errors()
