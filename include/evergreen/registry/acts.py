"""What a person asks for by ``<model>.rollback``: read, checked, and, in the ledger, done."""

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

ActionName = Literal["roll_back", "promote", "release", "withdraw"]
MAX_REASON = 500
"""Characters of a reason."""

_EXAMPLE = '{"action": "roll_back", "reason": "wrong fares since Monday"}'


@dataclass(frozen=True)
class Act:
    """A person's act.

    Attributes:
        version: ``None`` for a release, a withdrawal, and a rollback to the last good version.
        request: Id of the request to withdraw.
    """

    action: ActionName
    reason: str
    version: int | None = None
    request: int | None = None


def parse_rollback_conf(conf: Mapping[str, Any]) -> Act:
    """Reads ``{"action": "roll_back" | "promote" | "release" | "withdraw", "version"?, "request"?, "reason"}``.

    Raises:
        UserError: Naming every field that is wrong, its rule, its value and the remedy.
    """
    errors = [
        *_unknown_keys(conf),
        *_action_errors(conf),
        *_version_errors(conf),
        *_request_errors(conf),
        *_reason_errors(conf),
    ]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise UserError("conf", f"has {len(errors)} mistakes: " + " ".join(map(str, errors))[:-1])
    return Act(cast(ActionName, conf["action"]), _one_line(conf["reason"]), conf.get("version"), conf.get("request"))


def perform(
    store: Store, model: str, act: Act, *, actor: str, as_of: str, as_of_time: datetime, key: str | None = None
) -> Promotion:
    """Does what the person asked for in the ledger, once per ``key``.

    Raises:
        UserError: When the ledger does not allow it, or knows no such act.
        Superseded: When somebody else decided at the same moment.
    """
    if act.action == "promote" and act.version is not None:
        return promote_named(
            store, model, act.version, actor=actor, reason=act.reason, as_of=as_of, as_of_time=as_of_time, key=key
        )
    if act.action == "release":
        return release(store, model, actor=actor, reason=act.reason, as_of=as_of, as_of_time=as_of_time, key=key)
    if act.action == "withdraw":
        raise UserError("conf.action", "must be one on the ledger", value=act.action, remedy="Withdraw by Requests.")
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
    known = ("action", "version", "request", "reason")
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
    if action in ("release", "withdraw"):
        return [UserError("conf.version", f"must not be given to {action}", value=version, remedy="Leave it out.")]
    if not _is_whole(version, below=2**31):
        return [UserError("conf.version", "must be a whole number from 1", value=version, remedy='Write "version": 3.')]
    return []


def _request_errors(conf: Mapping[str, Any]) -> list[UserError]:
    request, action = conf.get("request"), conf.get("action")
    if request is None:
        remedy = 'Add "request": NUMBER; `evergreen requests MODEL` lists them.'
        return [UserError("conf.request", "must be given to withdraw", remedy=remedy)] if action == "withdraw" else []
    if action in get_args(ActionName) and action != "withdraw":
        return [UserError("conf.request", f"must not be given to {action}", value=request, remedy="Leave it out.")]
    if not _is_whole(request, below=2**63):
        rule, remedy = "must be a whole number from 1", 'Write "request": 12.'
        return [UserError("conf.request", rule, value=request, remedy=remedy)]
    return []


def _is_whole(value: object, *, below: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < below


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
