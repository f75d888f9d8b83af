"""The contract between Airflow and all of the library: idempotent commands with a key."""
