"""Drift, performance on late labels, and the retraining policy."""
