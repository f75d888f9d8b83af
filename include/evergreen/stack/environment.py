"""The environment of the components: pure functions from an instance and its ports to variables."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from evergreen.stack.instance import Config, Instance
from evergreen.stack.passwords import Passwords
from evergreen.stack.ports import LOOPBACK

ADMIN = "admin"
# Settings of other installations in the caller's shell must not leak into this stack; PG* would steer libpq.
_DROPPED = ("AIRFLOW", "MLFLOW_", "_MLFLOW_", "PG")
_DROPPED_EXACTLY = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "EVERGREEN_STACK_MARK", "VIRTUAL_ENV")


def url(port: int) -> str:
    """Address of a server of this stack."""
    return f"http://{LOOPBACK}:{port}"


def base(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what would steer components, telemetry off, no proxy for the loopback."""
    kept = {
        name: value for name, value in environ.items() if not name.startswith(_DROPPED) and name not in _DROPPED_EXACTLY
    }
    direct = [part for part in kept.get("NO_PROXY", kept.get("no_proxy", "")).split(",") if part]
    for host in (LOOPBACK, "localhost"):
        if host not in direct:
            direct.append(host)
    programs = str(Path(sys.executable).parent)
    return {
        **kept,
        "PATH": os.pathsep.join([programs, kept.get("PATH", "/usr/bin:/bin")]),
        "NO_PROXY": ",".join(direct),
        "no_proxy": ",".join(direct),
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # The scheduler's children are forks: no thread pool of a preloaded numpy may exist before the fork.
        "OPENBLAS_NUM_THREADS": "1",
        # OpenMP's threads spin while they wait: on cores that are taken, two of them were 80 times slower than asleep.
        "OMP_WAIT_POLICY": "PASSIVE",
        # Airflow gives its processes titles, which would overwrite the mark in their environment as others see it.
        "SPT_NOENV": "1",
    }


def library(
    instance: Instance, config: Config, passwords: Passwords, ports: Mapping[str, int], store_url: str
) -> dict[str, str]:
    """``EVERGREEN_*``: what :class:`evergreen.settings.Settings` reads."""
    values = {
        "EVERGREEN_HOME": str(instance.folder),
        "EVERGREEN_WORKSPACE": config.workspace,
        "EVERGREEN_LANDING": str(instance.landing),
        "EVERGREEN_LAKE": str(instance.lake),
        "EVERGREEN_STORE_URL": store_url,
        "EVERGREEN_MLFLOW_URI": url(ports["mlflow"]),
        "EVERGREEN_MLFLOW_UI": url(ports["mlflow"]),
        "EVERGREEN_CALENDAR_FROM": config.calendar_from,
        "MLFLOW_TRACKING_URI": url(ports["mlflow"]),
    }
    if config.gateway:
        values["EVERGREEN_GATEWAY_LOG_SECONDS"] = "5"  # a laptop's traffic is small, and its user waits
        values["EVERGREEN_GATEWAY_URL"] = url(ports["gateway"])
        values["EVERGREEN_GATEWAY_KEY"] = passwords.gateway
    return {**values, **config.extra_env}


def gateway(ports: Mapping[str, int]) -> dict[str, str]:
    """Where the gateway listens."""
    return {"EVERGREEN_GATEWAY_HOST": LOOPBACK, "EVERGREEN_GATEWAY_PORT": str(ports["gateway"])}


def mlflow(instance: Instance, backend_url: str, port: int) -> dict[str, str]:
    """The MLflow server; its database's URL stands here and not in the command, which every user could read."""
    return {
        "MLFLOW_BACKEND_STORE_URI": backend_url,
        "MLFLOW_ARTIFACTS_DESTINATION": instance.artifacts.as_uri(),
        "MLFLOW_HOST": LOOPBACK,
        "MLFLOW_PORT": str(port),
        "MLFLOW_WORKERS": "1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def airflow(
    instance: Instance, config: Config, passwords: Passwords, ports: Mapping[str, int], database_url: str
) -> dict[str, str]:
    """``AIRFLOW__*``: LocalExecutor, quick reactions, one user, nothing that calls home."""
    address = url(ports["airflow"])
    sections = {
        "core": {
            "load_examples": "False",
            "executor": "LocalExecutor",
            "parallelism": str(config.parallelism),
            "max_active_tasks_per_dag": str(config.parallelism),
            "dags_folder": str(Path(config.project) / "dags"),
            "plugins_folder": str(Path(config.project) / "plugins"),
            "dags_are_paused_at_creation": "False",
            "simple_auth_manager_users": f"{ADMIN}:admin",
            "simple_auth_manager_passwords_file": str(instance.airflow_home / "simple_auth_passwords.json"),
            "execution_api_server_url": f"{address}/execution/",
            "fernet_key": passwords.fernet,
        },
        "database": {"sql_alchemy_conn": database_url},
        "api": {
            "host": LOOPBACK,
            "port": str(ports["airflow"]),
            "base_url": address,
            "workers": "1",
            "secret_key": passwords.session,
        },
        "api_auth": {"jwt_secret": passwords.jwt},
        # A changed YAML file is seen when the Python file that reads it is parsed again.
        "dag_processor": {"refresh_interval": "5", "min_file_process_interval": "30"},
        "scheduler": {
            "scheduler_idle_sleep_time": "0.1",
            "task_instance_heartbeat_sec": "5",
            "task_instance_heartbeat_timeout": "20",
            "task_instance_heartbeat_timeout_detection_interval": "5",
        },
        # At the default of 5 s, a task that fails, skips or is retried ends 5 s later: its supervisor sleeps on.
        "workers": {"min_heartbeat_interval": "1"},
        "logging": {"base_log_folder": str(instance.logs / "tasks")},
        "metrics": {"statsd_on": "False", "otel_on": "False"},
        "traces": {"otel_on": "False"},
    }
    values = {
        f"AIRFLOW__{section.upper()}__{key.upper()}": value
        for section, keys in sections.items()
        for key, value in keys.items()
    }
    # airflow_local_settings.py stands there: what the scheduler preloads.
    return {
        "AIRFLOW_HOME": str(instance.airflow_home),
        "PYTHONPATH": str(Path(__file__).parent / "airflow_config"),
        **values,
        **config.extra_env,  # also where it names one of these
    }
