"""Passwords and keys of an instance: generated at its first start, kept with mode 600."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from evergreen.stack.instance import write_private


@dataclass(frozen=True)
class Passwords:
    """One instance's secrets; no representation shows them.

    Attributes:
        airflow: Password of Airflow's user ``admin``.
        gateway: The gateway's API key.
        jwt: Signs the tokens of Airflow's API and tasks.
        session: Signs Airflow's sessions.
        fernet: Encrypts the connections that are stored in Airflow.
        databases: Password per database.
    """

    airflow: str = field(repr=False)
    gateway: str = field(repr=False)
    jwt: str = field(repr=False)
    session: str = field(repr=False)
    fernet: str = field(repr=False)
    databases: dict[str, str] = field(repr=False)


DATABASES = ("airflow", "mlflow", "evergreen")


def load_or_generate(path: Path) -> tuple[Passwords, bool]:
    """The instance's secrets, and whether they were generated just now."""
    if path.exists():
        document = json.loads(path.read_text())
        return Passwords(**{each.name: document[each.name] for each in fields(Passwords)}), False
    made = Passwords(
        airflow=secrets.token_urlsafe(12),
        gateway=secrets.token_urlsafe(24),
        jwt=secrets.token_urlsafe(48),
        session=secrets.token_urlsafe(24),
        fernet=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),  # the format that Fernet asks for
        databases={name: secrets.token_urlsafe(24) for name in DATABASES},
    )
    write_private(path, asdict(made))
    return made, True
