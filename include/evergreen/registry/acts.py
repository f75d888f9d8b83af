"""What a person asks for by ``<model>.rollback``: read, checked, done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast, get_args

from evergreen.errors import UserError
from evergreen.registry.promotion import promote_named
from evergreen.registry.rollback import release, roll_back
from evergreen.store.history import Promotion
from evergreen.store.store import Store

ActionName = Literal["roll_back", "promote", "release"]
MAX_REASON = 500
"""Characters of a reason."""

_EXAMPLE = '{"action": "roll_back", "reason": "wrong fares since Monday"}'


@dataclass(frozen=True)
class Act:
    """A person's act; ``version`` is ``None`` for a release and for a rollback to the last good version."""

    action: ActionName
    reason: str
    version: int | None = None


def parse_rollback_conf(conf: Mapping[str, Any]) -> Act:
    """Reads ``{"action": "roll_back" | "promote" | "release", "version"?, "reason"}``.

    Raises:
        UserError: Naming every field that is wrong, its rule, its value and the remedy.
    """
    errors = [*_unknown_keys(conf), *_action_errors(conf), *_version_errors(conf), *_reason_errors(conf)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise UserError("conf", f"has {len(errors)} mistakes: " + " ".join(map(str, errors))[:-1])
    return Act(cast(ActionName, conf["action"]), _one_line(conf["reason"]), conf.get("version"))


def perform(
    store: Store, model: str, act: Act, *, actor: str, as_of: str, as_of_time: datetime, key: str | None = None
) -> Promotion:
    """Does what the person asked for, once per ``key``.

    Raises:
        UserError: When the ledger does not allow it.
        Superseded: When somebody else decided at the same moment.
    """
    if act.action == "promote" and act.version is not None:
        return promote_named(
            store, model, act.version, actor=actor, reason=act.reason, as_of=as_of, as_of_time=as_of_time, key=key
        )
    if act.action == "release":
        return release(store, model, actor=actor, reason=act.reason, as_of=as_of, as_of_time=as_of_time, key=key)
    return roll_back(
        store,
        model,
        to_version=act.version,
        actor=actor,
        reason=act.reason,
        as_of=as_of,
        as_of_time=as_of_time,
        key=key,
    )


def _unknown_keys(conf: Mapping[str, Any]) -> list[UserError]:
    known = ("action", "version", "reason")
    return [
        UserError(f"conf.{name}", f"is unknown, must be one of {', '.join(known)}", remedy=f"Write {_EXAMPLE}.")
        for name in conf
        if name not in known
    ]


def _action_errors(conf: Mapping[str, Any]) -> list[UserError]:
    action, names = conf.get("action"), get_args(ActionName)
    if action in names:
        return []
    return [UserError("conf.action", f"must be one of {', '.join(names)}", value=action, remedy=f"Write {_EXAMPLE}.")]


def _version_errors(conf: Mapping[str, Any]) -> list[UserError]:
    version, action = conf.get("version"), conf.get("action")
    if version is None:
        remedy = 'Add "version": NUMBER.'
        return [UserError("conf.version", "must be given to promote", remedy=remedy)] if action == "promote" else []
    if action == "release":
        return [UserError("conf.version", "must not be given to release", value=version, remedy="Leave it out.")]
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version < 2**31:
        return [UserError("conf.version", "must be a whole number from 1", value=version, remedy='Write "version": 3.')]
    return []


def _reason_errors(conf: Mapping[str, Any]) -> list[UserError]:
    reason = conf.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        rule, remedy = "must say why, for those who read the ledger later", f"Write {_EXAMPLE}."
        return [UserError("conf.reason", rule, value=reason, remedy=remedy)]
    line = _one_line(reason)
    if len(line) > MAX_REASON:
        rule = f"must have at most {MAX_REASON} characters"
        return [UserError("conf.reason", rule, value=f"{len(line)} characters", remedy="Shorten it.")]
    if not line.isprintable():
        return [UserError("conf.reason", "must be printable text", value=line, remedy="Remove control characters.")]
    return []


def _one_line(text: str) -> str:
    return " ".join(text.split())
