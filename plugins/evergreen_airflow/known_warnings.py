"""What libraries say in a task's log that nobody who reads it can act on: each by name, and why.

Whatever is not on this list is shown, so that a new warning is noticed once and either heeded or added.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Known(NamedTuple):
    """A warning that is known: the beginning of its text and the module that it is laid to, as patterns, and why."""

    message: str
    module: str
    category: type[Warning]
    reason: str


WARNINGS = (
    Known(
        r"GitWildMatchPattern \('gitwildmatch'\) is deprecated",
        r"airflow\.(sdk\.)?_shared\.module_loading\.file_discovery",
        DeprecationWarning,
        "Airflow itself reads .airflowignore by pathspec's old name, in every task, before the task begins.",
    ),
    Known(
        r"\s*The `airflow\.",
        r"skops\.io\._utils",
        Warning,
        "At its import skops asks every module in memory for every ufunc of SciPy by name, Airflow's moved ones too.",
    ),
)

CHATTER = {
    "great_expectations.data_context.types.base": "It tells where its folder for a site lies that nobody opens.",
}
"""Loggers that are heard from warnings on."""


def ignore_known() -> None:
    """Ignores what is known, for the rest of the process."""
    for known in WARNINGS:
        warnings.filterwarnings("ignore", known.message, known.category, known.module)
    for name in CHATTER:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def without_known() -> Iterator[None]:
    """Ignores what is known while a step runs."""
    with warnings.catch_warnings():
        ignore_known()
        yield
