"""Spec: what a team declares in files, with every error of every file named by line and field."""
