"""How the library's errors end a task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from evergreen.errors import Superseded, UserError


@contextmanager
def as_airflow_ends() -> Iterator[None]:
    """A person's mistake fails the task at once, what somebody else decided first skips it; the rest is retried."""
    try:
        yield
    except UserError as error:
        raise AirflowFailException(str(error)) from None
    except Superseded as error:
        raise AirflowSkipException(str(error)) from None
