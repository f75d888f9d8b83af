"""Feature building: build -> publish. A build covers all that its table lacks, key by key, whoever woke it."""

from __future__ import annotations

import logging
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import UserError
from evergreen.lake.spill import Spill
from evergreen.spec.timing import interval_of, key_of
from evergreen.steps import closing, lookups, staging, tables
from evergreen.steps.context import StepContext
from evergreen.steps.contract import Outcome, Step, digest

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.lake.readings import Span
    from evergreen.spec.dataset import Dataset
    from evergreen.spec.feature_view import FeatureView
    from evergreen.store.coverage import Covered

log = logging.getLogger(__name__)

BULK = 3
"""Of more keys than this the inputs are read once for all."""
AT_ONCE = 500_000
"""Row versions of an input, about, that are in memory at once."""


class Target(NamedTuple):
    """A view under one definition.

    Attributes:
        workspace: Digest of the frozen files that define it.
        table: Its table.
        datasets: Those that it reads, by name, the first drives; ``sources`` are their tables.
    """

    view: FeatureView
    workspace: str
    table: str
    datasets: Mapping[str, Dataset]
    sources: Mapping[str, str]

    @property
    def driver(self) -> Dataset:
        """The dataset whose keys it follows."""
        return self.datasets[self.view.reads[0]]


class Key(NamedTuple):
    """A key to build: the interval that it ends, in UTC."""

    as_of: str
    start: datetime
    end: datetime


class Plan(NamedTuple):
    """What a table lacks: keys in their order, and the commit of each source that it will be up to date with."""

    keys: list[Key]
    commits: dict[str, int]


def target_of(ctx: StepContext, name: str, workspace: str) -> Target:
    """A view as a frozen workspace defines it."""
    declared = ctx.workspace if workspace == ctx.inp.workspace else ctx.declared(workspace, name)
    view = declared.views[name]
    return Target(
        view,
        workspace,
        tables.table_of(ctx, "feature_view", name, workspace),
        {each: declared.datasets[each] for each in view.reads},
        {each: tables.table_of(ctx, "dataset", each, workspace) for each in view.reads},
    )


def missing_sources(ctx: StepContext, target: Target) -> list[str]:
    """Datasets of which nothing is published yet."""
    return [name for name, table in target.sources.items() if tables.version_of(ctx, table) < 0]


def plan(ctx: StepContext, target: Target) -> Plan:
    """Every key that the table lacks, and every key whose inputs changed since it was built."""
    from evergreen.store.consumed import Consumed
    from evergreen.store.coverage import Coverage

    consumed, coverage = Consumed(ctx.store), Coverage(ctx.store)
    driver = target.sources[target.view.reads[0]]
    stale = {each.as_of for each in coverage.lacking(target.table, driver)}
    stale |= {key.as_of for key in _history(ctx, target)}
    commits = {}
    for name, table in target.sources.items():
        commits[table] = max(tables.version_of(ctx, table), 0)
        seen = int(consumed.watermark(target.table, table) or 0)
        if commits[table] > seen and coverage.first_done(target.table) is not None:
            changes = ctx.lake.table(table).changes(seen, commits[table])
            stale |= _touched(ctx, target, name, changes, stale)
    found = [_key(target, as_of) for as_of in stale]
    return Plan(sorted(found, key=lambda key: (key.end, key.as_of)), commits)


def _key(target: Target, as_of: str) -> Key:
    start, end = interval_of(target.driver.schedule.cron, target.driver.timezone, as_of)
    return Key(as_of, start, end)


def _history(ctx: StepContext, target: Target) -> list[Key]:
    """The keys of the rows that a first load brought, from its own back to the first that is built."""
    import pyarrow.compute as pc

    from evergreen.store.coverage import Coverage

    coverage = Coverage(ctx.store)
    first = coverage.first_done(target.sources[target.view.reads[0]])
    if first is None or not first.details.get("first_load") or target.driver.event_time is None:
        return []
    cron, zone = target.driver.schedule.cron, target.driver.timezone
    start, _ = interval_of(cron, zone, first.as_of)
    last = coverage.get(target.table, key_of(cron, zone, start))
    if last is not None and last.done_at is not None:
        return []
    event_from = first.event_from
    if event_from is None and not first.reading:  # of a time before readings were noted
        rows = tables.read(ctx, first.table, [], known_by=first.as_of_time)
        event_from = pc.min(rows["_event_time"]).as_py()
    if event_from is None:
        return []
    built = {each.as_of for each in coverage.done(target.table)}
    found = []
    while start > event_from:
        key = key_of(cron, zone, start)
        if key in built:
            break
        before, end = interval_of(cron, zone, key)
        found.append(Key(key, before, end))
        start = before
    return found


def _touched(ctx: StepContext, target: Target, name: str, changes: pa.Table, stale: Collection[str]) -> set[str]:
    """Keys, beside the stale ones, whose look-back holds a changed row that was known at their end."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from evergreen.store.coverage import Coverage

    if not changes.num_rows:
        return set()
    is_whole = target.datasets[name].event_time is None
    least = [pc.min(changes["_known_at"]).as_py()] + ([] if is_whole else [pc.min(changes["_event_time"]).as_py()])
    coverage = Coverage(ctx.store)
    keys = {
        each.as_of: each.as_of_time
        for table in (target.sources[target.view.reads[0]], target.table)
        for each in coverage.done_from(table, max(least))
    }
    events, known = (changes[column].cast(pa.int64()).to_numpy() for column in ("_event_time", "_known_at"))
    stamp = pa.timestamp("us", tz="UTC")
    touched = set()
    for as_of, end in keys.items():
        if as_of in stale:
            continue
        until = pa.scalar(end, stamp).value
        seen = known <= until
        if not is_whole:
            begin = pa.scalar(_key(target, as_of).start - target.view.lookback, stamp).value
            seen &= (events >= begin) & (events < until)
        if seen.any():
            touched.add(as_of)
    return touched


def compute(ctx: StepContext, target: Target, keys: Sequence[Key], folder: Path) -> tuple[Spill, dict[str, UserError]]:
    """The rows of keys, each as of its own end, with ``__as_of``; and what was wrong with those that failed.

    Args:
        ctx: Of the step.
        target: The view.
        keys: In their order.
        folder: For rows that memory does not hold.
    """
    import pyarrow as pa

    made, failed = Spill(folder / "built"), dict[str, UserError]()
    nothing = pa.table({"__as_of": pa.array([], pa.string())})
    cuts = _cuts(ctx, target, keys)
    for group in _groups(target, keys, cuts):
        inputs = _Inputs(ctx, target, group, cuts)
        for key in group:
            try:
                parts = _run(ctx, target, inputs, key, folder)
            except UserError as error:
                failed[key.as_of] = error
                continue
            for rows in parts:
                keyed = rows.append_column("__as_of", pa.repeat(pa.scalar(key.as_of), rows.num_rows))
                if rows.num_rows:
                    made.add(keyed)
                nothing = keyed.slice(0, 0)
    if made.schema is None:  # no key gave any row, and a function's empty frame need not have the types of others
        made.add(nothing)
    return made, failed


def _run(ctx: StepContext, target: Target, inputs: _Inputs, key: Key, folder: Path) -> Iterable[pa.Table]:
    """The rows of one key: all of them are right before the first is given."""
    from evergreen.features.views import is_streamable, run, run_streamed

    view, root = target.view, ctx.thawed(target.workspace)
    if not (is_streamable(view) and inputs.is_large(key)):
        return [run(view, root, inputs.of(key), key.start, key.end)]
    own = Path(tempfile.mkdtemp(dir=folder))
    spilled = {name: inputs.spilled(name, key, own / name) for name in target.sources}
    return run_streamed(view, root, {name: each.dataset() for name, each in spilled.items()}, key.start, key.end, own)


Cuts = Mapping[str, Sequence[datetime]]
"""By dataset, the instants that cut its rows into parts of about :data:`AT_ONCE`."""


def _cuts(ctx: StepContext, target: Target, keys: Sequence[Key]) -> Cuts:
    """Where to cut all that some keys read."""
    found = {}
    for name, table in target.sources.items():
        if keys and target.datasets[name].event_time is not None:
            first, end = min(key.start for key in keys) - target.view.lookback, max(key.end for key in keys)
            version = tables.published(ctx, table)
            found[name] = ctx.lake.table(table).cuts(first, end, rows=AT_ONCE, version=version)
    return found


def _within(target: Target, cuts: Cuts, name: str, start: datetime, end: datetime) -> Sequence[datetime]:
    """The instants that cut what the keys of an interval read of a dataset."""
    instants = cuts.get(name, ())
    return instants[bisect_right(instants, start - target.view.lookback) : bisect_left(instants, end)]


def _groups(target: Target, keys: Sequence[Key], cuts: Cuts) -> Iterator[list[Key]]:
    """Keys that follow each other and whose inputs together are not many rows; at least one."""
    group: list[Key] = []
    for key in keys:
        start = min(each.start for each in (*group[:1], key))
        if group and any(len(_within(target, cuts, name, start, key.end)) > 1 for name in target.sources):
            yield group
            group = []
        group.append(key)
    if group:
        yield group


class _Inputs:
    """What a view reads, as it was known at each key's end."""

    def __init__(self, ctx: StepContext, target: Target, keys: Sequence[Key], cuts: Cuts) -> None:
        self._ctx, self._target, self._keys, self._cut_at = ctx, target, keys, cuts

    @cached_property
    def _bulk(self) -> dict[str, pa.Table] | None:
        if len(self._keys) <= BULK:
            return None
        whole = Key("", min(key.start for key in self._keys), max(key.end for key in self._keys))
        return {
            name: tables.read(self._ctx, table, latest=False, known_by=whole.end, **self._bounds(name, whole))
            for name, table in self._target.sources.items()
        }

    def is_large(self, key: Key) -> bool:
        """Whether the inputs of a key are too many rows to be in memory at once."""
        return any(self._cuts(name, key) for name in self._target.sources)

    def of(self, key: Key) -> dict[str, pa.Table]:
        """Rows by the dataset's name, in a team's own columns and ``known_at``."""
        from evergreen.lake.versions import as_known

        found = {}
        for name, table in self._target.sources.items():
            bounds = self._bounds(name, key)
            if self._bulk is None:
                rows = tables.read(self._ctx, table, known_by=key.end, **bounds)
            else:
                rows = as_known(self._bulk[name], key.end, **bounds)
            found[name] = tables.as_declared(rows)
        return found

    def spilled(self, name: str, key: Key, file: Path) -> Spill:
        """The same rows of one dataset, in a file."""
        bounds, rows = self._bounds(name, key), Spill(file)
        edges = [bounds.get("event_from"), *self._cuts(name, key), bounds.get("event_to")]
        for first, end in pairwise(edges):
            part = tables.read(self._ctx, self._target.sources[name], known_by=key.end, event_from=first, event_to=end)
            rows.add(tables.as_declared(part))
        return rows

    def _cuts(self, name: str, key: Key) -> Sequence[datetime]:
        return _within(self._target, self._cut_at, name, key.start, key.end)

    def _bounds(self, name: str, key: Key) -> dict[str, Any]:
        if self._target.datasets[name].event_time is None:
            return {}
        return {"event_from": key.start - self._target.view.lookback, "event_to": key.end}


def build_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on what its table lacks and on the versions of the tables it reads."""
    target = target_of(ctx, ctx.name, ctx.inp.workspace)
    if missing_sources(ctx, target):
        return {"missing": missing_sources(ctx, target)}
    return {"table": target.table, **plan(ctx, target)._asdict()}


def build(ctx: StepContext) -> Outcome:
    """Runs the transform for every key that the table lacks, and checks and stages its output."""
    _ = ctx.interval  # a wrong key is told as such
    target = target_of(ctx, ctx.name, ctx.inp.workspace)
    missing = missing_sources(ctx, target)
    if missing:
        reason = f"{ctx.name} cannot be built as of {ctx.as_of}: nothing of {', '.join(missing)} is there"
        return closing.skipped(ctx, reason)
    wanted = plan(ctx, target)
    with tempfile.TemporaryDirectory(prefix="evergreen-build-") as folder:
        rows, failed = compute(ctx, target, wanted.keys, Path(folder))
        if ctx.as_of in failed or (failed and len(failed) == len(wanted.keys)):
            raise failed.get(ctx.as_of) or next(iter(failed.values()))
        for as_of, error in failed.items():
            log.error("%s could not be built as of %s: %s", ctx.name, as_of, error)
        keys = [key.as_of for key in wanted.keys if key.as_of not in failed]
        count = rows.num_rows
        log.info("Built %d rows of %s for %s: %s", count, ctx.name, ctx.as_of, _named(keys))
        return Outcome({"count": count, **_staged(ctx, target, wanted, rows, failed)})


def _staged(
    ctx: StepContext, target: Target, wanted: Plan, rows: Spill, failed: Mapping[str, UserError]
) -> dict[str, Any]:
    """What `publish` needs; the keys travel in the lake, since there may be thousands."""
    import pyarrow as pa

    keys = [key for key in wanted.keys if key.as_of not in failed]
    listed = pa.table(
        {
            "as_of": pa.array([key.as_of for key in keys], pa.string()),
            "end": pa.array([key.end for key in keys], pa.timestamp("us", tz="UTC")),
        }
    )
    return {
        "table": target.table,
        "rows": staging.put_all(ctx.lake, rows.tables()),
        "keys": staging.put(ctx.lake, listed),
        "commits": wanted.commits,
        "built": len(keys),
        "failed": sorted(failed)[:20],
    }


def publish_depends(ctx: StepContext) -> Mapping[str, Any]:
    """Depends on what was built."""
    if (reason := closing.why_nothing(ctx, "build")) is not None:
        return {"skipped": reason}
    return ctx.inp.inputs["build"]


def publish(ctx: StepContext) -> Outcome:
    """Appends the new and changed rows of all keys, exactly once; then those of definitions that live on."""
    from evergreen.store.resources import Seen

    if (reason := closing.why_nothing(ctx, "build")) is not None:
        return closing.nothing(ctx, reason)
    target = target_of(ctx, ctx.name, ctx.inp.workspace)
    figures = append(ctx, target, ctx.inp.inputs["build"])
    Seen(ctx.store).note_as_of(ctx.name, ctx.as_of, ctx.as_of_time)
    closing.published(ctx)
    log.info("Published %s as of %s: %s", ctx.name, ctx.as_of, figures)
    catch_up_living(ctx)
    return Outcome(figures, event={"table": target.table, **figures})


def append(ctx: StepContext, target: Target, staged: Mapping[str, Any]) -> dict[str, int]:
    """Writes staged keys into their table and notes what they cover.

    A key that was published from a later state of its inputs meanwhile stays as it is.
    """
    from evergreen.steps.readings import Key, Publication, StagedReadings, Write
    from evergreen.store.consumed import Consumed
    from evergreen.store.coverage import Coverage

    commits: dict[str, int] = staged["commits"]
    listed = staging.get(ctx.lake, staged["keys"]).to_pylist()
    standing = Coverage(ctx.store).of_keys(target.table, [key["as_of"] for key in listed])
    keys, others = [], []
    for key in listed:
        known = standing.get(key["as_of"])
        if known is not None and _is_newer(known, commits):
            others.append(known)
        else:
            keys.append(Key(key["as_of"], key["end"], key["end"]))
    version, figures = ctx.lake.table(target.table).version(), {"appended": 0, "unchanged": 0, "withdrawn": 0}
    with staging.opened(ctx.lake, staged["rows"]) as rows:
        given = keys if "known_at" in rows.schema.names else []  # no key gave any row, so not even columns are known
        if given:
            publication = Publication(
                ctx,
                target.table,
                StagedReadings(
                    rows,
                    given,
                    event_time=target.view.timestamp,
                    key_column="__as_of",
                    finish=partial(_finished, target),
                ),
                Write(
                    reading=staged["rows"],
                    tag=digest([target.table, staged["rows"], [key.as_of for key in keys], commits]),
                    rows_of=partial(_reading, ctx, target),
                    expected={as_of: each.step_key for as_of, each in standing.items()},
                    details={"commits": commits},
                    source=(rows.schema.metadata or {}).get(b"known_at") == b"transform",
                ),
            )
            publication.plan()
            appended = publication.append()
            publication.finish()
            version = appended.version
            withdrawn = appended.tombstones + appended.restored
            figures = {"appended": appended.appended, "unchanged": appended.unchanged, "withdrawn": withdrawn}
    if given:
        lookups.ensure(ctx, target.table, target.view)
    if not staged["failed"]:
        consumed = Consumed(ctx.store)
        for table, commit in commits.items():  # another's key may know more of one input and less of this one
            seen = min([commit, *(each.details.get("commits", {}).get(table, commit) for each in others)])
            consumed.mark(target.table, table, str(seen))
    return {"version": version, **figures, "keys": len(given)}


def _is_newer(standing: Covered, commits: Mapping[str, int]) -> bool:
    """Whether a key stands from a later state of its inputs than ours."""
    theirs = standing.details.get("commits", {})
    return any(theirs.get(table, 0) > commit for table, commit in commits.items())


def _reading(ctx: StepContext, target: Target, covered: Covered, span: Span | None) -> pa.Table:
    """What a key of the view said last, of some event times if they are given."""
    import pyarrow.compute as pc

    from evergreen.steps.readings import staged_rows

    rows = staged_rows(ctx, covered.reading, target.view.timestamp, span)
    return _finished(target, rows.filter(pc.equal(rows["__as_of"], covered.as_of)))


def _finished(target: Target, rows: pa.Table) -> pa.Table:
    """Staged rows with the lake's system columns."""
    from evergreen.lake.rows import with_system_columns

    made = with_system_columns(
        rows.drop_columns(["known_at", "__as_of"]).replace_schema_metadata(None),
        identity=(*target.view.entity, target.view.timestamp),
        event_time=target.view.timestamp,
        known_at=rows["known_at"].combine_chunks(),
        as_of="",
    )
    return made.set_column(made.schema.get_field_index("_as_of"), "_as_of", rows["__as_of"].combine_chunks())


def catch_up(ctx: StepContext, name: str, workspace: str) -> None:
    """Builds what a view's table lacks under a frozen workspace, so that nobody reads an unbuilt table."""
    target = target_of(ctx, name, workspace)
    if missing_sources(ctx, target):
        return
    wanted = plan(ctx, target)
    if not wanted.keys:
        return
    with tempfile.TemporaryDirectory(prefix="evergreen-build-") as folder:
        rows, failed = compute(ctx, target, wanted.keys, Path(folder))
        if len(failed) == len(wanted.keys):
            raise next(iter(failed.values()))
        staged = _staged(ctx, target, wanted, rows, failed)
    figures = append(ctx, target, staged)
    log.info("Caught up with %s: %s", target.table, figures)


def catch_up_views(ctx: StepContext) -> None:
    """Builds what the tables of the model's views lack, so that an edited or new view has its history when read."""
    for name in tables.materialized(ctx.workspace, ctx.model):
        catch_up(ctx, name, ctx.inp.workspace)


def catch_up_living(ctx: StepContext) -> None:
    """Builds this view's tables of earlier definitions that live versions read."""
    from evergreen.registry.live import live_tables

    def declared(training: Any) -> Any:
        return ctx.declared(training.workspace, training.model)

    own = tables.view_table(ctx, ctx.name)
    for table, workspace in live_tables(ctx.store, ctx.name, declared).items():
        if table == own:
            continue
        try:
            catch_up(ctx, ctx.name, workspace)
        except UserError as error:
            log.error("%s, which a live version of a model reads, could not be built: %s", table, error)


def _named(keys: Sequence[str]) -> str:
    return ", ".join(keys) if len(keys) <= 5 else f"{len(keys)} keys from {keys[0]} to {keys[-1]}"


BUILD = Step(build, build_depends, keeps_rows=True)
PUBLISH = Step(publish, publish_depends)
