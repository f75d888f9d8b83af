"""Operators: those of the DAGs in ``work``, those for single use one per file."""
