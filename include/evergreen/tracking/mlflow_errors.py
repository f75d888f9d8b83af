"""MLflow's errors in our own types: what may pass by itself is transient, the rest is somebody's to mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from evergreen.errors import DataError, EvergreenError, TransientError, shorten

_MENDABLE = frozenset({
    "BAD_REQUEST", "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "NOT_FOUND",
    "PERMISSION_DENIED", "UNAUTHENTICATED", "ENDPOINT_NOT_FOUND", "INVALID_STATE", "MALFORMED_REQUEST",
    "NOT_IMPLEMENTED", "CUSTOMER_UNAUTHORIZED",
})  # fmt: skip


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns what MLflow and its HTTP client raise into ``TransientError`` or ``DataError``.

    Args:
        doing: What was being done, such as ``registering flights_late``.
    """
    import requests
    from mlflow.exceptions import MlflowException

    try:
        yield
    except EvergreenError:
        raise
    except MlflowException as error:
        said = shorten(str(error), 400)
        if error.error_code in _MENDABLE:
            raise DataError(f"MLflow, {doing}", f"refused it ({error.error_code}: {said})") from error
        raise TransientError(f"MLflow, {doing}: {said}") from error
    except (requests.RequestException, ConnectionError, TimeoutError) as error:
        raise TransientError(f"MLflow, {doing}: {shorten(str(error), 400)}") from error
    except OSError as error:
        raise TransientError(f"MLflow, {doing}: {error}") from error
