"""MLflow's errors in our own types: whose mistake it is.

==================  ==================================================================================================
the caller's        it named a run or a version that MLflow does not have: ``DataError``, never retried
MLflow's            it does not answer, answers nonsense, refuses our credentials, or refuses what it should take:
                    ``TransientError``; whoever only keeps a copy there goes on without
this machine's      its disk: ``TransientError`` that does not name MLflow
the model's         MLflow's library cannot write it, before any server is asked: ``DataError``
==================  ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from evergreen.errors import DataError, EvergreenError, TransientError, shorten

_NOT_THERE = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE"})
_CREDENTIALS = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"})


@contextmanager
def translated(doing: str, *, named: str = "") -> Iterator[None]:
    """Turns what MLflow and its HTTP client raise into ``TransientError``, or ``DataError`` where the caller is wrong.

    Args:
        doing: What was being done, such as ``registering flights_late``.
        named: What the caller named, such as ``run 1a2b``; without it nothing that MLflow says is the caller's mistake.
    """
    import requests
    from google.protobuf.json_format import ParseError
    from mlflow.exceptions import MlflowException

    try:
        yield
    except EvergreenError:
        raise
    except MlflowException as error:
        said = shorten(str(error), 400)
        if named and error.error_code in _NOT_THERE:
            raise DataError(
                f"MLflow, {doing}", f"must have {named} ({error.error_code}: {said})", remedy=_GONE
            ) from error
        remedy = _ACCESS if error.error_code in _CREDENTIALS else ""
        raise TransientError(f"MLflow, {doing}: {said}{remedy}") from error
    except (requests.RequestException, ConnectionError, TimeoutError, ParseError) as error:
        raise TransientError(f"MLflow, {doing}: {shorten(str(error), 400)}") from error
    except OSError as error:
        raise TransientError(f"This machine, while {doing}: {shorten(str(error), 400)}") from error


@contextmanager
def written_here(model: str) -> Iterator[None]:
    """Around the writing of a model's flavor, which asks no server: what MLflow's library refuses there is the model.

    Args:
        model: Its name.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise DataError(
            f"models/{model}.yaml trainer",
            "must give a model that MLflow's flavor can hold",
            value=str(error),
            remedy="Choose another estimator or other parameters.",
        ) from error


_GONE = "Name one that MLflow has; what was deleted there can be brought back while it lies in its trash."
_ACCESS = " Check EVERGREEN_MLFLOW_URI and the credentials that it is used with."


def number(text: object, of: str) -> int:
    """A version's number as MLflow tells it.

    Raises:
        TransientError: When it is none.
    """
    try:
        return int(str(text))
    except ValueError:
        raise TransientError(f"MLflow must number {of} by whole numbers, got {shorten(repr(text))}.") from None
