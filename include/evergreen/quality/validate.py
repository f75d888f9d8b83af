"""The only door to Great Expectations: checks rows, chunk by chunk where that is the same."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from evergreen.errors import SpecError, shorten
from evergreen.lake.spill import in_batches
from evergreen.quality.frames import form_of, frame_of
from evergreen.quality.mapping import Scope, columns_of, needs_values, rule_of, scope_of, to_gx
from evergreen.quality.verdict import Outcome, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import Expectation

_SHOWN = 5


class Rows(Protocol):
    """Rows that need not fit into memory."""

    @property
    def schema(self) -> pa.Schema:
        """Their columns."""

    @property
    def num_rows(self) -> int:
        """How many there are."""

    def tables(self, columns: list[str]) -> Iterator[pa.Table]:
        """Some columns of the rows, bit by bit, at least one table."""


class InMemory:
    """A table as :class:`Rows`."""

    def __init__(self, table: pa.Table) -> None:
        self._table, self.schema, self.num_rows = table, table.schema, table.num_rows

    def tables(self, columns: list[str]) -> Iterator[pa.Table]:
        """See :class:`Rows`."""
        yield self._table.select(columns)


@dataclass
class _Tally:
    """Sums over the chunks of one expectation; ``values`` are what the rows of ``indices`` hold."""

    looked_at: int = 0
    indices: list[int] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    observed: Any = None
    success: bool = True
    fault: str | None = None


def validate(rows: pa.Table | Rows, expectations: Sequence[Expectation], *, chunk_rows: int = 200_000) -> Verdict:
    """Checks rows against expectations.

    Expectations that look at one row at a time run chunk by chunk; those that compare rows or aggregate them see all
    rows at once, but no more than the columns that they need. A null passes what is not about nulls: rows without a
    value count neither as holding nor as breaking, except for ``not_be_null``, and of rules about several columns those
    of which the known values decide nothing (unless ``ignore_row_if`` says otherwise). Columns that begin with ``__``
    are left out. Without rows a column's aggregates are not judged, nor without a single value those that need one.
    Whole numbers are compared as such, however large and whether there are nulls beside them or not.

    Args:
        rows: User columns.
        expectations: As declared.
        chunk_rows: Rows of a chunk.

    Raises:
        SpecError: An expectation is unknown, has wrong arguments, or names a column that the rows do not have.
    """
    import pyarrow as pa

    given: Rows = InMemory(rows) if isinstance(rows, pa.Table) else rows
    schema = pa.schema([column for column in given.schema if not column.name.startswith("__")])
    for each in expectations:
        _refuse_unknown_columns(each, schema, given.num_rows)
    objects = [to_gx(each, temporal=_is_temporal(each, schema)) for each in expectations]
    for number, each in enumerate(objects):
        each.meta = {"number": number}
    scopes = [scope_of(each) for each in expectations]
    tallies = [_Tally() for _ in expectations]

    def chosen(*wanted: Scope) -> list[int]:
        return [number for number, scope in enumerate(scopes) if scope in wanted]

    for numbers in _alike(expectations, chosen("per_row")) if given.num_rows else ():
        start, some = 0, [expectations[n] for n in numbers]
        for part in in_batches(given.tables(_columns(schema.names, some)), chunk_rows):
            _run(part, some, [objects[n] for n in numbers], tallies, start)
            start += part.num_rows
    whole = _alike(expectations, chosen("rows_together", "aggregate"))
    if given.num_rows > chunk_rows:
        whole = [[number] for numbers in whole for number in numbers]  # one column after the other in memory
    for numbers in whole:
        some = [expectations[n] for n in numbers]
        part = _all_of(given, schema.names, some)
        judged = [number for number in numbers if _can_be_judged(expectations[number], part)]
        if judged:
            _run(part, [expectations[n] for n in judged], [objects[n] for n in judged], tallies)
    return _merge(given.num_rows, expectations, scopes, tallies)


def _all_of(rows: Rows, names: Sequence[str], expectations: Sequence[Expectation]) -> pa.Table:
    """All rows in the columns that some expectations need; of those about the columns themselves one row is enough."""
    import pyarrow as pa

    tables = rows.tables(_columns(names, expectations))
    if all(_is_about_columns(each) for each in expectations):
        return next(iter(tables)).slice(0, 1)
    return pa.concat_tables(tables)


def _refuse_unknown_columns(expectation: Expectation, schema: pa.Schema, count: int) -> None:
    if expectation.expect == "expect_column_to_exist" or not count:
        return
    missing = [name for name in columns_of(expectation) if name not in schema.names]
    if missing:
        raise SpecError(
            f"expectation {expectation.expect.removeprefix('expect_')} column", "must be one of the dataset's columns",
            value=missing[0], remedy=f"There are: {shorten(', '.join(schema.names), 300)}.",
        )  # fmt: skip


def _is_temporal(expectation: Expectation, schema: pa.Schema) -> bool:
    import pyarrow as pa

    kinds = [schema.field(name).type for name in columns_of(expectation) if name in schema.names]
    return bool(kinds) and all(pa.types.is_timestamp(kind) or pa.types.is_date(kind) for kind in kinds)


def _columns(names: Sequence[str], expectations: Iterable[Expectation]) -> list[str]:
    """The columns that some expectations need; all of them when one is about the columns themselves."""
    needed: set[str] = set()
    for each in expectations:
        if _is_about_columns(each):
            return list(names)
        needed.update(columns_of(each))
    return [name for name in names if name in needed] or list(names[:1])


def _is_about_columns(expectation: Expectation) -> bool:
    return expectation.expect == "expect_column_to_exist" or expectation.expect.startswith("expect_table_column")


def _can_be_judged(expectation: Expectation, rows: pa.Table) -> bool:
    """Whether there is anything to judge: a column's aggregates want rows, and most of them a value."""
    names = columns_of(expectation)
    if not rows.num_rows:
        return not names
    return not needs_values(expectation) or any(rows[name].null_count < rows.num_rows for name in names)


def _alike(expectations: Sequence[Expectation], numbers: Iterable[int]) -> list[list[int]]:
    """Expectations that can be handed the same frame; those of which it depends on their columns stand alone."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for number in numbers:
        form = form_of(expectations[number])
        alone = columns_of(expectations[number]) if form in ("next_known", "told_apart") else ()
        groups.setdefault((form, *alone), []).append(number)
    return list(groups.values())


def _run(
    rows: pa.Table,
    expectations: Sequence[Expectation],
    objects: list[Any],
    tallies: list[_Tally],
    start: int = 0,
) -> None:
    """Checks rows of which the first has the number ``start``."""
    from great_expectations import ExpectationSuite

    part = rows.select(_columns(rows.column_names, expectations))
    frame = frame_of(part, start, form_of(expectations[0]))
    suite = ExpectationSuite(name="rows", expectations=objects)
    batch = _batch_definition().get_batch({"dataframe": frame})
    result_format = {
        "result_format": "COMPLETE", "return_unexpected_index_query": False, "partial_unexpected_count": 0,
    }  # fmt: skip
    by_number = {each.meta["number"]: expectation for each, expectation in zip(objects, expectations, strict=True)}
    for result in batch.validate(suite, result_format=result_format).results:
        number = result.expectation_config.meta["number"]
        tally = tallies[number]
        tally.success &= bool(result.success)
        fault = _exception_of(result.exception_info)
        tally.fault = tally.fault or fault
        found = result.result or {}
        tally.looked_at += int(found.get("element_count") or 0) - int(found.get("missing_count") or 0)
        indices = [int(index) for index in found.get("unexpected_index_list") or ()]
        tally.indices += indices
        tally.values += _values(part, by_number[number], [index - start for index in indices])
        tally.observed = found.get("observed_value", tally.observed)


@functools.cache
def _batch_definition() -> Any:
    """One ephemeral context per process: nothing is written, nothing calls home, nothing draws progress bars."""
    import logging

    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)  # each fault comes back in its outcome
    context = great_expectations.get_context(mode="ephemeral")
    context.config.analytics_enabled = False
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("rows")
    return source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("rows")


def _exception_of(info: Any) -> str | None:
    """The first message of what Great Expectations caught, in either of the two shapes it reports."""
    if not info or info.get("raised_exception") is False:
        return None
    parts = [info] if "exception_message" in info else list(info.values())
    message = next((part.get("exception_message") for part in parts if isinstance(part, dict)), None)
    return shorten(str(message or "unknown fault").splitlines()[0], 160)


def _merge(
    count: int, expectations: Sequence[Expectation], scopes: Sequence[Scope], tallies: Sequence[_Tally]
) -> Verdict:
    results = []
    bad_rows: dict[int, list[str]] = {}
    rules: dict[int, str] = {}
    for expectation, scope, tally in zip(expectations, scopes, tallies, strict=True):
        outcome = _outcome(expectation, scope, tally)
        results.append(outcome)
        if scope == "aggregate" or expectation.severity != "error":
            continue
        for index, value in zip(tally.indices, tally.values, strict=True):
            bad_rows.setdefault(index, []).append(f"{outcome.rule}, got {value}")
            rules.setdefault(index, expectation.expect)
    success = not any(each.stops for each in results)
    return Verdict(success, count, tuple(results), dict(sorted(bad_rows.items())), rules)


def _outcome(expectation: Expectation, scope: Scope, tally: _Tally) -> Outcome:
    rule = rule_of(expectation)
    unexpected, observed = len(tally.indices), tally.observed
    if tally.fault is not None:
        success, share, stops, observed = False, 0.0, True, f"could not be checked: {tally.fault}"
    elif scope == "aggregate":
        success = tally.success
        share, stops, unexpected = float(success), not success, 0
    else:
        share = 1 - unexpected / tally.looked_at if tally.looked_at else 1.0
        stops = share < expectation.mostly
        success = not stops if expectation.mostly > 0 else unexpected == 0
        observed = ", ".join(tally.values[:_SHOWN]) or None
    return Outcome(
        expect=expectation.expect,
        column=expectation.column,
        severity=expectation.severity,
        success=success,
        stops=stops and expectation.severity == "error",
        observed=_plain(observed),
        unexpected=unexpected,
        share=share,
        rule=rule,
    )


def _values(rows: pa.Table, expectation: Expectation, indices: Sequence[int]) -> list[str]:
    import pyarrow as pa

    if not indices:
        return []
    names = list(dict.fromkeys(columns_of(expectation)))
    picked = rows.select(names).take(pa.array(indices, type=pa.int64())).to_pylist()
    return [shorten(", ".join(_show(row[name]) for name in names), 80) for row in picked]


def _show(value: Any) -> str:
    from datetime import date

    return value.isoformat() if isinstance(value, date) else "null" if value is None else repr(value)


def _plain(value: Any) -> Any:
    """Numbers of numpy as plain ones."""
    return value.item() if hasattr(value, "item") else value
