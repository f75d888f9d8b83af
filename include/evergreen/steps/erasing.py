"""A person's erasure: all rows of one entity key, from everything that the lake keeps; it beats pins, and is recorded.

A request is written first. Then all is gone through, again and again until a sweep finds nothing: what a step read
before a sweep began it may not write any more (:meth:`evergreen.steps.context.StepContext.refuse_overtaken`), so that
the last sweep is the end of it. Killed at any point, it is gone on with by the same call.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evergreen.errors import TransientError, UserError
from evergreen.faults import point as fault_point
from evergreen.lake.entity import EntityKey
from evergreen.steps import erased
from evergreen.steps.erased import Scope
from evergreen.steps.sweeping import Found, Sweep

if TYPE_CHECKING:
    from evergreen.lake.lake import Lake
    from evergreen.settings import Settings
    from evergreen.store.erasures import Erasures, Request
    from evergreen.store.store import Store

log = logging.getLogger(__name__)

_SWEEPS = 10
_SALT = "erasures/salt"


def erase(
    settings: Settings,
    given: Sequence[str],
    *,
    reason: str,
    actor: str,
    datasets: Sequence[str] = (),
    dry_run: bool = False,
) -> dict[str, Any]:
    """Takes every row of an entity key out of the lake; gives what went (or would), as small JSON.

    Does not touch source files, backups, MLflow, the disks of gateways, nor what a model has learnt: ``left`` says so.

    Args:
        settings: Of the installation.
        given: ``COLUMN=VALUE`` texts.
        reason: Why; recorded.
        actor: Who asks; recorded.
        datasets: Only these; see :func:`evergreen.steps.erased.scope_of`.
        dry_run: Only looks.

    Raises:
        UserError: When the key is no entity key, or the reason names its value.
        TransientError: Others kept on writing such rows.
    """
    from evergreen.lake.lake import Lake
    from evergreen.store.erasures import Erasures
    from evergreen.store.store import Store

    key = EntityKey.parse(given)
    if not reason.strip() or key.is_in(reason):
        rule = "must say why, without a value of the key" if reason.strip() else "must say why"
        raise UserError("evergreen erase --reason", rule, remedy="It is recorded; name a ticket instead.")
    lake, store = Lake(settings.lake), Store(settings.store_url)
    scope = erased.scope_of(lake, store, key, datasets)
    if dry_run:
        found = Sweep(lake, store, scope).run()
        left = _left(settings, lake, store, scope, found.lost)
        return _told(scope, found.rows, found.files, found.lost, left) | {"dry_run": True}
    erasures = Erasures(store)
    request = erasures.request(
        key.digest(_salt(lake)),
        key.columns,
        ",".join(sorted(set(datasets))),
        actor=actor,
        reason=" ".join(reason.split()),
    )
    request = _sweep(lake, store, scope, erasures, request)
    lost = _with_versions(store, request)
    done = erasures.finish(request.id, _left(settings, lake, store, scope, lost))
    log.info("Erasure %d is done after %d sweeps: %s", done.id, done.sweeps, done.rows)
    return _told(scope, done.rows, done.files, lost, done.left) | {"dry_run": False, "request": done.id}


def listed(settings: Settings) -> list[dict[str, Any]]:
    """All erasures, as small JSON."""
    from evergreen.store.erasures import Erasures
    from evergreen.store.store import Store

    store = Store(settings.store_url)
    return [
        {
            "request": each.id,
            "state": each.state,
            "key_digest": each.key_digest,
            "columns": list(each.columns),
            "datasets": each.scope.split(",") if each.scope else [],
            "actor": each.actor,
            "reason": each.reason,
            "requested_at": each.requested_at.isoformat(),
            "done_at": None if each.done_at is None else each.done_at.isoformat(),
            "rows": dict(each.rows),
            "files": dict(each.files),
            "lost": _with_versions(store, each),
            "left": list(each.left),
        }
        for each in Erasures(store).all()
    ]


def _sweep(lake: Lake, store: Store, scope: Scope, erasures: Erasures, request: Request) -> Request:
    """Notes what there is, then sweeps until nothing is found."""
    seen = Sweep(lake, store, scope, row_ids=set(request.row_ids or ())).run()
    request = _note(erasures, request, seen)
    total = Found()
    for _ in range(_SWEEPS):
        erasures.begin_sweep(request.id)
        found = Sweep(lake, store, scope, row_ids=set(request.row_ids or ()), request=request.id).run()
        for where, rows in found.rows.items():
            total.add(where, rows)
        for folder, files in found.files.items():
            total.files[folder] = total.files.get(folder, 0) + files
        total.row_ids |= found.row_ids
        request = _note(erasures, request, total)
        if not found:
            return request
        fault_point("erase.sweep:after")
    raise TransientError(f"Erasure {request.id}: others wrote such rows during {_SWEEPS} sweeps. Call it again.")


def _note(erasures: Erasures, request: Request, found: Found) -> Request:
    return erasures.note(request.id, rows=found.rows, files=found.files, row_ids=sorted(found.row_ids))


def _salt(lake: Lake) -> bytes:
    """The lake's own, so that who has the store alone cannot try values."""
    lake.blobs.put_if_absent(_SALT, secrets.token_bytes(32))
    return lake.blobs.get(_SALT)


def _with_versions(store: Store, request: Request) -> list[dict[str, Any]]:
    """What is lost, with versions that were made of a training since."""
    from evergreen.store.trainings import Trainings

    trainings, found = Trainings(store), []
    for each in request.lost:
        training = trainings.get(each["training_id"])
        found.append({**each, "version": None if training is None else training.adopted_version})
    return found


def _left(settings: Settings, lake: Lake, store: Store, scope: Scope, lost: Sequence[Mapping[str, Any]]) -> list[str]:
    """What stays and names the key, or may, in sentences without its value."""
    from evergreen.store.erasures import Erasures

    left = [
        f"Source files below {settings.landing} are the team's own: one that still has the key brings it back when it "
        "is read again.",
        f"Answers that a gateway has not shipped yet come to the lake within about {settings.gateway_log_seconds:g} s, "
        "and a task that was running may have left staged rows that nothing refers to: call this again then.",
    ]
    left += [f"{name} has these columns, but {why}: its rows stay." for name, why in scope.elsewhere.items()]
    left += [
        f"{rows} rows of {table} say the key by no name that is known, nor hold its value: they stay."
        for table, rows in erased.untold(lake, scope).items()
    ]
    left += [text for each in lost if (text := _kept_by(each))]
    if not scope.key.stands_out:
        return [*left, "The value is too short to be looked for in results of steps, reports, and texts of the store."]
    mentions = Erasures(store).mentions([value for _, value in scope.key.values])
    return left + [f"{where} of the store names it in {rows} rows, which stay." for where, rows in mentions.items()]


def _kept_by(lost: Mapping[str, Any]) -> str | None:
    if lost["version"] is None:
        return None
    named = " and names its value" if lost["names_key"] else ""
    return (
        f"{lost['model']} version {lost['version']} goes on with what it learnt; its bundle keeps "
        f"{lost['golden_rows']} of the rows as golden rows{named}, its MLflow run up to 5 rows as example. Train anew "
        "and retire it to be rid of them."
    )


def _told(
    scope: Scope,
    rows: Mapping[str, int],
    files: Mapping[str, int],
    lost: Sequence[Mapping[str, Any]],
    left: Sequence[str],
) -> dict[str, Any]:
    return {
        "columns": list(scope.key.columns),
        "tables": list(scope.tables),
        "rows": dict(sorted(rows.items())),
        "files": dict(sorted(files.items())),
        "lost": sorted((dict(each) for each in lost), key=lambda each: (each["model"], each["training_id"])),
        "left": list(left),
    }
