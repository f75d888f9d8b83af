"""Airflow for tests that need no Airflow server: a home of its own."""

from __future__ import annotations

import os
import tempfile

# Before the first import of airflow, which reads its home then.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="evergreen-airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
