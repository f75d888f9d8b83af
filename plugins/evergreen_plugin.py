"""Registers Evergreen with Airflow."""

from evergreen_airflow.plugin import EvergreenPlugin

__all__ = ["EvergreenPlugin"]
