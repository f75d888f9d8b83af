"""A life, replayed: real data laid out period by period, the DAGs driven by Airflow's REST API, the story told."""
