"""The only door to MLflow: runs, artifacts, registered versions, copies of aliases."""
