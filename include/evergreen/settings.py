"""Where Evergreen runs: read once from the environment, passed down, never a spec's business."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from evergreen.errors import UserError

LEAST_KEPT_DAYS = 1.0
"""A task that was retried for a day must still find what it reads."""


@dataclass(frozen=True)
class Settings:
    """The environment of one installation; each field is the variable ``EVERGREEN_<FIELD>``.

    Attributes:
        home: Folder of local state (caches, logs, gateway copies).
        workspace: Folder with ``datasets/``, ``features/`` and ``models/``.
        landing: Root, path or fsspec URI, below which file sources are read; specs cannot leave it.
        lake: Root, path or fsspec URI, of the lake.
        store_url: SQLAlchemy URL of the store's database (a secret: it holds a password).
        mlflow_uri: MLflow tracking URI.
        mlflow_ui: Address of MLflow's pages as a person's browser reaches them.
        gateway_url: Address of a gateway, for checks after a promotion; empty if there is none.
        gateway_key: API key of the gateway (a secret).
        calendar_from: First day (ISO) of the ingestion calendars; a day in the future keeps them quiet for a replay.
        gateway_ack_seconds: How long a deployment waits for live gateways to acknowledge.
        gateway_log_seconds: A gateway's log of answers goes to the lake about so often, or when it has 4 MB.
        keep_days: So long is kept what nothing refers to any more; the unit of all that housekeeping deletes.
        housekeeping: When ``evergreen.housekeeping`` runs, as cron in UTC; empty for by hand only.
        gateway_versions_in_memory: So many versions a gateway holds in memory; others are loaded when they are asked.
    """

    home: Path = Path(".evergreen")
    workspace: Path = Path("include/workspace")
    landing: str = ".evergreen/landing"
    lake: str = ".evergreen/lake"
    store_url: str = field(default="", repr=False)
    mlflow_uri: str = ""
    mlflow_ui: str = ""
    gateway_url: str = ""
    gateway_key: str = field(default="", repr=False)
    calendar_from: str = "2020-01-01"
    gateway_ack_seconds: float = 30.0
    gateway_versions_in_memory: int = 256
    gateway_log_seconds: float = 60.0
    keep_days: float = 30.0
    housekeeping: str = "17 2 * * *"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Reads ``EVERGREEN_*``; unknown variables are left alone, a bad number is a UserError."""
        environ = os.environ if environ is None else environ
        values: dict[str, object] = {}
        for each in fields(cls):
            name = f"EVERGREEN_{each.name.upper()}"
            if name not in environ:
                continue
            text = environ[name]
            if each.name in ("home", "workspace"):
                values[each.name] = Path(text)
            elif each.name in ("gateway_ack_seconds", "gateway_log_seconds"):
                try:
                    values[each.name] = float(text)
                except ValueError:
                    raise UserError(name, "must be a number of seconds", value=text) from None
            elif each.name == "keep_days":
                try:
                    values[each.name] = float(text)
                except ValueError:
                    values[each.name] = math.nan
                if not values[each.name] >= LEAST_KEPT_DAYS:  # type: ignore[operator]
                    raise UserError(name, f"must be a number of days, at least {LEAST_KEPT_DAYS:g}", value=text)
            elif each.name == "gateway_versions_in_memory":
                if not text.isdecimal() or int(text) < 1:
                    raise UserError(name, "must be a whole number of versions, at least 1", value=text)
                values[each.name] = int(text)
            else:
                values[each.name] = text
        return cls(**values)  # type: ignore[arg-type]
