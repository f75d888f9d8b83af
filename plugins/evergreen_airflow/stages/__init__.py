"""DAG builders, one per stage of a resource's life."""
