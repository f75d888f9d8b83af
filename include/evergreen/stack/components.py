"""The components of the stack: what each runs, after what, and when it is well."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evergreen.stack import environment, health
from evergreen.stack.instance import Config, Instance
from evergreen.stack.passwords import Passwords

Probe = Callable[[dict[str, Any], float], bool]
"""Airflow's health report and the component's start time, to whether it is well."""


@dataclass(frozen=True)
class Component:
    """One process of the stack.

    Attributes:
        name: Also the name of its log.
        command: Program and arguments.
        env: Its whole environment.
        after: Components that must be well (or done) before it starts.
        probe: Whether it is well.
        once: It runs to its end (a migration) and is never restarted.
        opens: File to make when it is done or well, for others that wait for it by themselves.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    after: tuple[str, ...]
    probe: Probe
    once: bool = False
    opens: Path | None = None


POSTGRES = "postgres"
GATEWAY = "gateway"
_MIGRATE_STORE = (
    "import os; from evergreen.store.store import Store; Store(os.environ['EVERGREEN_STORE_URL']).migrate()"
)


def plan(
    instance: Instance,
    config: Config,
    passwords: Passwords,
    ports: Mapping[str, int],
    urls: Mapping[str, str],
    environ: Mapping[str, str],
    migrated: frozenset[str],
) -> list[Component]:
    """All components but the gateway and PostgreSQL, in start order.

    Args:
        instance: Where state stands.
        config: What is to run.
        passwords: The instance's secrets.
        ports: Port per server.
        urls: SQLAlchemy URL per database.
        environ: The caller's environment.
        migrated: Names of :func:`schemas` that need no migration any more.
    """
    base = environment.base(environ)
    library = {**base, **environment.library(instance, config, passwords, ports, urls["evergreen"])}
    airflow = {**library, **environment.airflow(instance, config, passwords, ports, urls["airflow"])}
    mlflow = {**base, **environment.mlflow(instance, urls["mlflow"], ports["mlflow"])}
    programs = Path(sys.executable).parent  # not resolved: the environment's own programs stand beside its link
    components: list[Component] = []

    def migration(schema: str, *command: str, env: Mapping[str, str], opens: Path | None = None) -> tuple[str, ...]:
        if schema in migrated:
            return (POSTGRES,)
        name = f"migrate-{schema}"
        components.append(Component(name, command, env, (POSTGRES,), _never, once=True, opens=opens))
        return (name,)

    gate = instance.airflow_home / "migrated"
    gate.unlink(missing_ok=True)
    after = migration("airflow", str(programs / "airflow"), "db", "migrate", env=airflow, opens=gate)
    for program, key in (
        # Without their log servers: those would listen on fixed ports of all interfaces.
        (("scheduler", "--skip-serve-logs"), "scheduler"),
        (("api-server",), "metadatabase"),
        (("dag-processor",), "dag_processor"),
        (("triggerer", "--skip-serve-logs"), "triggerer"),
    ):
        command = (str(programs / "airflow"), *program)
        if program[0] == "scheduler" and "airflow" not in migrated:
            # Its preloading takes as long as the migration: it starts at once and waits for the gate by itself.
            env = {**airflow, "EVERGREEN_PRELOAD_UNTIL": str(gate)}
            components.append(Component(program[0], command, env, (POSTGRES,), _airflow_probe(key)))
        else:
            components.append(Component(program[0], command, airflow, after, _airflow_probe(key)))
    address, secret = _without_password(urls["mlflow"])
    after = migration("mlflow", str(programs / "mlflow"), "db", "upgrade", address, env={**mlflow, **secret})
    address = f"{environment.url(ports['mlflow'])}/health"
    components.append(Component("mlflow", (str(programs / "mlflow"), "server"), mlflow, after, _http_probe(address)))
    migration("evergreen", sys.executable, "-c", _MIGRATE_STORE, env=library)
    return components


def gateway(
    instance: Instance,
    config: Config,
    passwords: Passwords,
    ports: Mapping[str, int],
    store_url: str,
    environ: Mapping[str, str],
) -> Component:
    """The gateway, which waits for nothing: it answers from its local copies and follows the store when that is there.

    Args:
        store_url: SQLAlchemy URL of the store's database, which need not exist yet.
    """
    library = environment.library(instance, config, passwords, ports, store_url)
    env = {**environment.base(environ), **library, **environment.gateway(ports)}
    address = f"{environment.url(ports['gateway'])}/health"
    return Component(GATEWAY, (sys.executable, "-m", "evergreen.serving"), env, (), _http_probe(address))


def schemas() -> dict[str, str]:
    """Per database, what its schema follows from: a change of it asks for a migration."""
    import hashlib

    versions = {
        "airflow": importlib.metadata.version("apache-airflow-core"),
        "mlflow": importlib.metadata.version("mlflow"),
    }
    spec = importlib.util.find_spec("evergreen.store")
    digest = hashlib.sha256()
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return {**versions, "evergreen": digest.hexdigest()[:16]}


def _never(report: dict[str, Any], since: float) -> bool:
    return False


def _http_probe(address: str) -> Probe:
    return lambda report, since: health.fetch(address, timeout_seconds=1.0) is not None


def _airflow_probe(key: str) -> Probe:
    return lambda report, since: health.is_well(report, key, since)


def _without_password(address: str) -> tuple[str, dict[str, str]]:
    from sqlalchemy import make_url

    parsed = make_url(address)
    secret = str(parsed.password)
    bare = parsed._replace(password=None).render_as_string(hide_password=False)
    return bare, {"PGPASSWORD": secret}
