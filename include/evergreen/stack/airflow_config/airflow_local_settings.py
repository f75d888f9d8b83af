"""Imports once in the scheduler what every task needs: LocalExecutor's workers fork from it and have it at once.

Airflow imports this module by its name from PYTHONPATH in every process. Only the scheduler preloads. It imports and
nothing else: threads (OpenMP, Arrow, HTTP pools) that exist before a fork are missing after it.
"""

import gc
import importlib
import importlib.util
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterable

_MODULES = (
    "pandas",
    "pyarrow",
    "pyarrow.acero",
    "pyarrow.csv",
    "pyarrow.compute",
    "pyarrow.dataset",
    "pyarrow.fs",
    "pyarrow.parquet",
    "duckdb",
    "deltalake",
    "deltalake.fs",
    "sqlalchemy",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "psycopg2.extras",
    "alembic.command",
    "croniter",
    "httpcore",
    "httpx",
    "fsspec.implementations.chained",
    "lightgbm",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "skops.io",
    "mlflow",
    "mlflow.data.pandas_dataset",
    "mlflow.lightgbm",
    "mlflow.models",
    "mlflow.pyfunc",
    "mlflow.sklearn",
    "mlflow.tracking",
    "mlflow.tracking.request_header.registry",
    "great_expectations",
    "great_expectations.expectations",
    "evidently",
    "evidently.metrics",
    "evidently.presets",
    "plotly.graph_objects",
    "plotly.offline",
    "encodings.utf_8_sig",
    "netrc",
)
# Packages whose modules plotly loads one by one when a figure names them: two hundred for a drift report.
_DRAWING = (
    "plotly.graph_objs.layout",
    "plotly.validators",
    "plotly.validators.bar",
    "plotly.validators.layout",
    "plotly.validators.layout.xaxis",
    "plotly.validators.layout.yaxis",
    "plotly.validators.scatter",
)
# What is the same for all of its children and takes a training a second: which packages are installed, twice.
_LOOKED_UP = (
    ("evergreen.training.environment", "environment"),
    ("mlflow.utils.requirements_utils", "_init_modules_to_packages_map"),
)


def _preload() -> None:
    # What is missing here is imported by the task that needs it, which then says so in its own log.
    log = logging.getLogger(__name__)
    # It reports hundreds of facts about its own documentation at import.
    logging.getLogger("great_expectations._docs_decorators").setLevel(logging.WARNING)
    gc.disable()  # nothing of an import is garbage
    # The library's own steps draw in the rest; they stand last because a broken one must not keep others out.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skops asks every module in memory for every name, Airflow's old ones too
        for name in (*_MODULES, *_modules_of(_DRAWING), *_own_modules()):
            try:
                importlib.import_module(name)
            except Exception:
                log.exception("Preloading %s failed", name)
    for module, name in _LOOKED_UP:
        try:
            getattr(importlib.import_module(module), name)()
        except Exception:
            log.exception("Looking up %s.%s failed", module, name)
    # Airflow warns before a task begins; those who fork from here have the list of what is known already.
    importlib.import_module("evergreen_airflow.known_warnings").ignore_known()
    gc.freeze()  # keeps the collector of each fork from copying the shared pages
    gc.enable()


def _await_tables() -> None:
    # Importing and migrating take equally long: the stack starts both at once, and here the first waits for the second.
    gate = os.environ.get("EVERGREEN_PRELOAD_UNTIL")
    while gate and not os.path.exists(gate):
        time.sleep(0.05)


def _own_modules() -> list[str]:
    library = ("spec", "store", "lake", "ingest", "quality", "features", "tracking", "training", "evaluation")
    packages = [f"evergreen.{each}" for each in (*library, "registry", "monitoring", "steps")]
    # What each task runs through before its step, and the first look at a gateway.
    others = ("evergreen_airflow.fleet", "evergreen_airflow.plugin", "evergreen.serving.probe")
    return [*_modules_of(packages), *_modules_of(["evergreen_airflow.stages"]), *others]


def _modules_of(packages: Iterable[str]) -> list[str]:
    return [
        f"{package}.{file.removesuffix('.py')}"
        for package in packages
        for folder in _folders(package)
        for file in sorted(os.listdir(folder))
        if file.endswith(".py") and file != "__init__.py"
    ]


def _folders(package: str) -> list[str]:
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return []
    return list(spec.submodule_search_locations or []) if spec else []


if "scheduler" in sys.argv:
    _preload()
    _await_tables()
