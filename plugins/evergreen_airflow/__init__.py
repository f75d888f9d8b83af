"""Everything that knows Airflow: operators, links, DAG builders, and the plugin's routes."""
