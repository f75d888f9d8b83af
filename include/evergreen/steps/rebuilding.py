"""The history of a dataset whose definition changed: from what the source still has, known as it was first known."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import NotReady, UserError
from evergreen.steps import tables
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step, digest
from evergreen.steps.first_known import dated

if TYPE_CHECKING:
    from evergreen.store.coverage import Covered

log = logging.getLogger(__name__)


class Missing(NamedTuple):
    """Keys that other tables of the resource cover and its own does not, in their order.

    Attributes:
        table: The resource's own table.
        keys: Each as it stands in the newest other table that covers it.
    """

    table: str
    keys: list[Covered]


def missing(ctx: StepContext) -> Missing:
    """What the dataset's table lacks of the history that it has under other definitions.

    A source without keys has all of them in one place, so a new table loads what lies before its first key at once.
    """
    from evergreen.ingest.earlier import is_keyed
    from evergreen.store.coverage import Coverage
    from evergreen.store.definitions import Definitions

    own = tables.definition_of(ctx, "dataset", ctx.name)
    coverage = Coverage(ctx.store)
    found: dict[str, Covered] = {}
    for table in dict.fromkeys(each.table for each in Definitions(ctx.store).of(ctx.name)):
        if table != own.table:
            found |= {each.as_of: each for each in coverage.lacking(own.table, table)}
    for as_of in (*own.lost, ctx.as_of):
        found.pop(as_of, None)
    keys = sorted(found.values(), key=lambda each: (each.as_of_time, each.as_of))
    if keys and not is_keyed(ctx.dataset):
        have = coverage.first_done(own.table)
        first = ctx.as_of_time if have is None else min(ctx.as_of_time, have.as_of_time)
        keys = [each for each in keys if each.as_of_time > first]
    return Missing(own.table, keys)


def settle_history(ctx: StepContext) -> None:
    """Sees to it, before anything is read, that the history of a changed definition can be had, or goes on as declared.

    Raises:
        UserError: When the source no longer has all of it and ``on_change`` does not say what to do.
    """
    from evergreen.store.definitions import Definitions

    lacking = missing(ctx)
    if not lacking.keys:
        return
    if ctx.dataset.on_change == "continue":
        before = lacking.keys[-1].table
        own, other = tables.definition_of(ctx, "dataset", ctx.name), Definitions(ctx.store).of_table(before)
        seam = {"from": ctx.as_of, "before": None if other is None else other.digest, "after": own.digest}
        Definitions(ctx.store).share(ctx.name, own.digest, table=before, seam=seam)
        ctx.tables.clear()
        log.warning("%s goes on in %s under another definition from %s on: a seam", ctx.name, before, ctx.as_of)
        return
    gone = _gone(ctx, lacking.keys)
    if not gone or ctx.dataset.on_change == "rebuild":
        return
    raise UserError(
        f"datasets/{ctx.name}.yaml",
        f"has another definition now (entity, times, zone, select or types), so that its table is built anew, but the "
        f"source no longer has {len(gone)} of {len(lacking.keys)} keys: {_named(gone)}",
        remedy="Lay their files down again; or write `on_change: rebuild` to go on without them, or "
        "`on_change: continue` to go on in the old table, with a seam that training and reports will name.",
    )


def rebuild(ctx: StepContext) -> dict[str, Any]:
    """Ingests the keys that the dataset's table lacks, and notes what the source no longer has.

    Rows that are as they were when they were first read keep the known time that follows from that; what differs was
    not known before the run's own key.
    """
    lacking = missing(ctx)
    lost, approximate, rows = [], [], 0
    for covered in lacking.keys:
        if not _is_there(ctx, covered):
            lost.append(covered.as_of)
            continue
        figures, is_exact = _run(ctx, covered.as_of, ctx.inp.workspace, covered=covered)
        rows += figures["good"]
        if not is_exact:
            approximate.append(covered.as_of)
    built = len(lacking.keys) - len(lost)
    if lacking.keys:
        note(ctx, lost=lost, approximate=approximate)
        log.info("Built %d of %d keys of %s anew: %d rows", built, len(lacking.keys), ctx.name, rows)
    names = [each.as_of for each in lacking.keys if each.as_of not in lost]
    return {"built": names, "rows": rows, "lost": lost, "approximate": approximate}


def note(ctx: StepContext, *, lost: Sequence[str] = (), approximate: Sequence[str] = ()) -> None:
    """Notes, and says, what of the history the source no longer has and what is only roughly dated."""
    from evergreen.store.definitions import Definitions

    own = tables.definition_of(ctx, "dataset", ctx.name)
    for what, keys in (("The source no longer has", lost), ("Known times are only roughly right of", approximate)):
        if keys:
            log.warning("%s %s of %s", what, _named(keys), ctx.name)
    Definitions(ctx.store).note_history(
        ctx.name,
        own.digest,
        lost=sorted({*own.lost, *lost}),
        approximate=sorted({*own.approximate, *approximate}),
    )


def rebuild_all(ctx: StepContext) -> Outcome:
    """Ingests the dataset's whole history again, from what the source still has.

    A changed definition gets its table. Under an unchanged one repaired files are taken up; what differs is known from
    the newest key on, since nobody knew it before.
    """
    from evergreen.store.coverage import Coverage

    settle_history(ctx)
    made = rebuild(ctx)
    table = tables.table_of(ctx, "dataset", ctx.name)
    again, lost, changed = 0, list(made["lost"]), 0
    for covered in Coverage(ctx.store).done(table):
        if covered.as_of in made["built"]:
            continue
        if not _is_there(ctx, covered):
            lost.append(covered.as_of)
            continue
        figures, _ = _run(ctx, covered.as_of, ctx.inp.workspace, covered=covered, changed_known_at=ctx.as_of_time)
        again, changed = again + 1, changed + figures["appended"] + figures["withdrawn"]
    if lost:
        log.warning("The source no longer has %s of %s: their rows stay as they are", _named(lost), ctx.name)
    figures = {"built": len(made["built"]), "again": again, "changed": changed, "lost": len(lost)}
    log.info("Rebuilt %s as of %s: %s", ctx.name, ctx.as_of, figures)
    version = ctx.lake.table(table).version()
    named = {"lost_keys": lost[:50], "approximate_keys": made["approximate"][:50]}
    return Outcome({**figures, **named, "table": table}, event={"table": table, "version": version, **figures})


def follow(ctx: StepContext) -> None:
    """Ingests the key into the tables of earlier definitions that live versions of models read."""
    from evergreen.registry.live import live_tables
    from evergreen.store.coverage import Coverage

    own = tables.table_of(ctx, "dataset", ctx.name)
    coverage = Coverage(ctx.store)

    def declared(training: Any) -> Any:
        return ctx.declared(training.workspace, training.model)

    for table, workspace in live_tables(ctx.store, ctx.name, declared).items():
        if table == own:
            continue
        have = {each.as_of: each for each in coverage.done(table)}
        newest = max((each.as_of_time for each in have.values()), default=None)
        for each in coverage.done(own):
            late = newest is None or each.as_of_time > newest
            if each.as_of != ctx.as_of and (each.as_of in have or not late):
                continue
            try:
                _run(ctx, each.as_of, workspace, is_current=False)
            except (UserError, NotReady) as error:
                log.error(
                    "%s as of %s, which a live version reads, could not be ingested: %s", table, each.as_of, error
                )


def predecessor(ctx: StepContext) -> Covered | None:
    """The run's own key as another table of the resource has it, while its own lacks it: who knows its rows' past.

    Of a source without keys, whose new table loads the past at once, the newest key of such a table.
    """
    from evergreen.ingest.earlier import is_keyed
    from evergreen.store.coverage import Coverage
    from evergreen.store.definitions import Definitions

    own = tables.table_of(ctx, "dataset", ctx.name)
    coverage = Coverage(ctx.store)
    if coverage.get(own, ctx.as_of) is not None:
        return None
    names = dict.fromkeys(each.table for each in reversed(Definitions(ctx.store).of(ctx.name)) if each.table != own)
    for name in names:
        done = coverage.done(name)
        same = [each for each in done if each.as_of == ctx.as_of]
        if same or (done and not is_keyed(ctx.dataset)):
            return (same or done)[-1]
    return None


def _gone(ctx: StepContext, keys: Sequence[Covered]) -> list[str]:
    return [each.as_of for each in keys if not _is_there(ctx, each)]


def _is_there(ctx: StepContext, covered: Covered) -> bool:
    from evergreen.ingest.earlier import is_there

    return is_there(ctx.dataset, as_of=covered.as_of, landing=ctx.settings.landing)


def _run(
    ctx: StepContext,
    as_of: str,
    workspace: str,
    *,
    is_current: bool = True,
    covered: Covered | None = None,
    changed_known_at: datetime | None = None,
) -> tuple[dict[str, int], bool]:
    """Ingests one key under a frozen workspace's definition; gives figures, and whether known times are exact.

    Args:
        covered: The key as it stands in the table that knows when its rows were first read.
        changed_known_at: Known time of what changed; the key's own end by default.
    """
    from evergreen.steps import ingestion

    read = dict(ingestion.read_key(ctx.at(as_of, workspace=workspace), is_current=is_current).output)
    inputs = {"read": read}
    sub = ctx.at(as_of, workspace=workspace, inputs=inputs, key=digest([workspace, as_of, inputs]))
    inputs["validate"] = dict(ingestion.validate(sub).output)
    good, is_exact = inputs["validate"]["good"], True
    if covered is not None:
        good, is_exact = dated(sub, covered, good, newest=ctx.as_of_time)
    made = ctx.at(as_of, workspace=workspace, inputs=inputs)
    after = ingestion.published_after(made) if is_current else _standing(made)
    sub = ctx.at(as_of, workspace=workspace, inputs=inputs, key=digest([workspace, as_of, inputs, good, after]))
    figures = ingestion.publish_key(sub, good_rows=good, is_current=is_current, changed_known_at=changed_known_at)
    return figures, is_exact


def _standing(ctx: StepContext) -> str | None:
    """The last reading of the key in the table of an earlier definition."""
    from evergreen.store.coverage import Coverage

    standing = Coverage(ctx.store).get(tables.table_of(ctx, "dataset", ctx.name), ctx.as_of)
    return None if standing is None else standing.step_key


def _named(keys: Sequence[str]) -> str:
    return ", ".join(keys) if len(keys) <= 8 else f"{', '.join(keys[:4])}, …, {keys[-1]} ({len(keys)} keys)"


REBUILD = Step(rebuild_all)
