"""Keeps machine-learning models fresh in production. Imports no Airflow, ever."""

__version__ = "0.1.0"
