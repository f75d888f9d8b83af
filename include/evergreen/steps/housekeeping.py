"""What keeps an installation small and fast: merged files, and the end of what nothing refers to any more.

Any part of it may run at any time, beside everything else and beside itself, and may be killed at any point: what was
done stands, what was not is done next time. What is looked for and what is done about it are apart, so that a dry run
says exactly what a run would do.

What goes, and when (``EVERGREEN_KEEP_DAYS`` is the unit):

- entries of a table's log after one, and data files that a merge replaced, after three days at most;
- results of steps (manifests) after one; a step that is called again then does its work again, which changes nothing;
- staged rows after two, unless the store names them: they outlive every result that does;
- training sets and bundles after two, unless a version or a younger training was made of them; with them go the
  training's pins;
- files that a killed writer left half-written after one day.

Rows of tables, versions, workspaces, reports and what the store holds stay.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from evergreen.errors import EvergreenError, TransientError, UserError, shorten
from evergreen.lake.blobs import TEMPORARY, Blob
from evergreen.lake.delta import Conflict
from evergreen.lake.upkeep import Merged, Unused
from evergreen.lake.workspace import path_of

if TYPE_CHECKING:
    from evergreen.lake.lake import Lake
    from evergreen.settings import Settings
    from evergreen.store.store import Store

log = logging.getLogger(__name__)

HALF_WRITTEN = timedelta(days=1)
_FOLDERS = ("manifests", "staging", "trainingsets", "runs", "workspaces", "reports")


@dataclass
class Kept:
    """What was done, or of a dry run would be.

    Attributes:
        tables: That were looked at.
        merged: Files that were merged into fewer, and of how many tables.
        removed: By folder, how many files went.
        freed_bytes: Of all that went.
        log_entries: Entries of tables' logs that went; of a dry run how many there are.
        released: Trainings whose pins went.
        busy: Tables that others wrote at each try; their turn comes next time.
    """

    tables: int = 0
    merged: dict[str, int] = field(default_factory=lambda: {"files": 0, "tables": 0})
    removed: dict[str, int] = field(default_factory=dict)
    freed_bytes: int = 0
    log_entries: int = 0
    released: int = 0
    busy: list[str] = field(default_factory=list)

    def remove(self, folder: str, files: int, size_bytes: int) -> None:
        """Counts files that went."""
        if files:
            self.removed[folder] = self.removed.get(folder, 0) + files
            self.freed_bytes += size_bytes

    def told(self) -> dict[str, Any]:
        """As small JSON."""
        return {**asdict(self), "busy": self.busy[:20]}


def keep_tables(lake: Lake, *, keep: timedelta, dry_run: bool = False) -> Kept:
    """Merges the files of all tables where that is due, then deletes what no state of the last while refers to.

    Args:
        keep: Whoever began to read or write within so long finds all that he needs.
        dry_run: Only looks.

    Raises:
        EvergreenError: The fault of one table, or one that names several, after all were tried.
    """
    kept, faults = Kept(), []
    for name in lake.tables():
        kept.tables += 1
        try:
            _keep_table(lake, name, kept, keep, dry_run=dry_run)
        except EvergreenError as error:
            log.error("%s", error)
            faults.append(error)
    _raise(faults)
    return kept


def _keep_table(lake: Lake, name: str, kept: Kept, keep: timedelta, *, dry_run: bool) -> None:
    upkeep = lake.upkeep(name)
    merged = Merged(sum(run.files for run in upkeep.due()), False) if dry_run else upkeep.merge()
    kept.merged["files"] += merged.files
    kept.merged["tables"] += bool(merged.files)
    try:
        unused = upkeep.unused(keep) if dry_run else upkeep.clean(keep)
    except Conflict as conflict:
        log.info("%s was written while it was cleaned: %s", name, conflict)
        merged, unused = merged._replace(is_busy=True), Unused(0, 0, 0)
    if merged.is_busy:
        kept.busy.append(name)
    kept.remove("tables", unused.files, unused.size_bytes)
    kept.log_entries += unused.log_entries


def expire(lake: Lake, store: Store, *, now: datetime, keep: timedelta, dry_run: bool = False) -> Kept:
    """Deletes results, staged rows and training sets that are old and that nothing refers to.

    Args:
        now: By the clock that files are dated by.
        keep: See the module.
        dry_run: Only looks.

    Raises:
        TransientError: A file could not be deleted.
    """
    from evergreen.store.checkpoints import Checkpoints
    from evergreen.store.coverage import Coverage
    from evergreen.store.pins import Pins
    from evergreen.store.trainings import Trainings

    kept, long_ago = Kept(), now - 2 * keep
    pins, trainings = Pins(store), Trainings(store)
    # Files are listed first and what refers to them is asked for then: who refers to one later makes it young again,
    # and a file that is young when it is about to go stays. A training that was done again has a young set, too.
    young = {each.path for each in lake.blobs.entries("trainingsets") if each.modified >= long_ago}
    bundles = list(lake.blobs.entries("workspaces"))
    spent = [each for each in trainings.unadopted(long_ago) if each.inputs.get("training_set") not in young]
    for training in spent:
        if pins.of(training.training_id):
            kept.released += 1
            if not dry_run:
                pins.release(training.training_id)
    parts: list[tuple[str, datetime, Callable[[], Set[str]]]] = [
        ("manifests", now - keep, set),
        ("staging", long_ago, lambda: Coverage(store).readings() | Checkpoints(store).paths()),
        ("trainingsets", long_ago, lambda: trainings.sets(long_ago)),
    ]
    for folder, before, spared in parts:
        for blob in expired(lake.blobs.entries(folder), before, spared):
            _remove(lake, folder, blob, kept, dry_run=dry_run)
    theirs = {each.bundle for each in spent if each.bundle is not None} - trainings.bundles(long_ago)
    gone = {path_of(digest) for digest in theirs}
    for blob in bundles:
        if blob.path in gone and blob.modified < long_ago:
            _remove(lake, "bundles", blob, kept, dry_run=dry_run)
    for folder in _FOLDERS:
        for blob in lake.blobs.entries(folder):
            if _is_half_written(blob) and blob.modified < now - HALF_WRITTEN:
                _remove(lake, "half-written", blob, kept, dry_run=dry_run)
    return kept


def housekeep(settings: Settings, *, now: datetime, dry_run: bool = False) -> dict[str, Any]:
    """Both parts on one installation; gives what was done (or would be) as small JSON.

    Raises:
        EvergreenError: After both parts were tried.
    """
    from evergreen.lake.lake import Lake
    from evergreen.store.store import Store

    lake, keep = Lake(settings.lake), timedelta(days=settings.keep_days)
    faults: list[EvergreenError] = []
    told: dict[str, Any] = {"dry_run": dry_run, "keep_days": settings.keep_days}
    parts: dict[str, Callable[[], Kept]] = {
        "tables": lambda: keep_tables(lake, keep=keep, dry_run=dry_run),
        "files": lambda: expire(lake, Store(settings.store_url), now=now, keep=keep, dry_run=dry_run),
    }
    for name, part in parts.items():
        try:
            told[name] = part().told()
            log.info("%s of %s: %s", "A dry run" if dry_run else "Housekeeping", name, told[name])
        except EvergreenError as error:
            faults.append(error)
    _raise(faults)
    return told


def expired(blobs: Iterable[Blob], before: datetime, spared: Callable[[], Set[str]]) -> Iterator[Blob]:
    """Blobs from before an instant that are not spared; who is spared is asked when all are listed."""
    old = [each for each in blobs if each.modified < before and not _is_half_written(each)]
    names = spared() if old else frozenset()
    return (each for each in old if each.path not in names)


def _remove(lake: Lake, what: str, blob: Blob, kept: Kept, *, dry_run: bool) -> None:
    if dry_run or lake.blobs.remove(blob):
        kept.remove(what, 1, blob.size_bytes)


def _is_half_written(blob: Blob) -> bool:
    return blob.path.rsplit("/", 1)[-1].startswith(TEMPORARY)


def _raise(faults: list[EvergreenError]) -> None:
    """Raises the fault, or of several one that tells of all: a mistake only where no retry can help any."""
    if len(faults) == 1:
        raise faults[0]
    if faults:
        text = " ".join(shorten(str(each), 300) for each in faults[:10])
        if all(isinstance(each, UserError) for each in faults):
            raise UserError("housekeeping", f"failed for {len(faults)}: {text}")
        raise TransientError(f"Housekeeping failed for {len(faults)}: {text}")
