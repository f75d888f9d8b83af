"""Alembic, called from the program."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

_LOCK = 0x65766572  # "ever"


def upgrade(connection: Connection) -> None:
    """Upgrades to the newest revision inside the caller's transaction, which holds an advisory lock until its end."""
    connection.execute(text("SET LOCAL lock_timeout = '300s'"))
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config()
    config.set_main_option("script_location", "evergreen.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
