"""Which warnings of libraries a task's log leaves out, and that it leaves out no others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

from evergreen_airflow.known_warnings import CHATTER, WARNINGS, without_known

LOAD = "import airflow.sdk; from evergreen_airflow.known_warnings import ignore_known; {ignore}; import skops.io"


def said(script: str, folder: Path) -> str:
    """What a process of its own writes to its error stream under Python's and Airflow's own filters."""
    env = {**os.environ, "AIRFLOW_HOME": str(folder), "DO_NOT_TRACK": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env)
    return done.stdout + done.stderr


def test_what_is_known_is_said_without_the_list_and_not_with_it(tmp_path: Path) -> None:
    assert "The `airflow." in said(LOAD.format(ignore="pass"), tmp_path)
    assert "The `airflow." not in said(LOAD.format(ignore="ignore_known()"), tmp_path)


def test_a_warning_that_is_not_on_the_list_is_shown() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with without_known():
            warnings.warn("invalid value encountered in divide", RuntimeWarning, stacklevel=1)
            warnings.warn("something new", FutureWarning, stacklevel=1)
    assert [str(each.message) for each in caught] == ["invalid value encountered in divide", "something new"]


def test_every_entry_names_its_text_its_module_and_its_reason() -> None:
    for known in WARNINGS:
        assert len(known.message) > 10 and known.module and len(known.reason) > 30
        assert not re.match(known.message, "anything else") and not re.match(known.module, "evergreen.steps.run")
    assert all(CHATTER.values()) and not any(name.startswith("evergreen") for name in CHATTER)


def test_filters_end_with_the_step() -> None:
    before = list(warnings.filters)
    with without_known():
        assert len(warnings.filters) >= len(before)
    assert list(warnings.filters) == before
