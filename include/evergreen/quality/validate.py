"""The only door to Great Expectations: checks rows, chunk by chunk where that is the same."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evergreen.errors import SpecError, shorten
from evergreen.quality.frames import form_of, frame_of
from evergreen.quality.mapping import Scope, columns_of, needs_values, rule_of, scope_of, to_gx
from evergreen.quality.verdict import Outcome, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import Expectation

_SHOWN = 5


@dataclass
class _Tally:
    """Sums over the chunks of one expectation."""

    looked_at: int = 0
    indices: list[int] = field(default_factory=list)
    observed: Any = None
    success: bool = True
    fault: str | None = None


def validate(rows: pa.Table, expectations: Sequence[Expectation], *, chunk_rows: int = 200_000) -> Verdict:
    """Checks rows against expectations.

    Expectations that look at one row at a time run chunk by chunk; those that compare rows or aggregate them see all
    rows at once (of the columns that they need). A null passes what is not about nulls: rows without a value count
    neither as holding nor as breaking, except for ``not_be_null``, and of rules about several columns those of which
    the known values decide nothing (unless ``ignore_row_if`` says otherwise). Columns that begin with ``__`` are left
    out. Without rows a column's aggregates are not judged, nor without a single value those that need one. Whole
    numbers are compared as such, however large and whether there are nulls beside them or not.

    Args:
        rows: User columns.
        expectations: As declared.
        chunk_rows: Rows of a chunk.

    Raises:
        SpecError: An expectation is unknown, has wrong arguments, or names a column that the rows do not have.
    """
    rows = rows.select([name for name in rows.column_names if not name.startswith("__")])
    for each in expectations:
        _refuse_unknown_columns(each, rows)
    objects = [to_gx(each, temporal=_is_temporal(each, rows)) for each in expectations]
    for number, each in enumerate(objects):
        each.meta = {"number": number}
    scopes = [scope_of(each) for each in expectations]
    tallies = [_Tally() for _ in expectations]

    def chosen(*wanted: Scope) -> list[int]:
        return [number for number, scope in enumerate(scopes) if scope in wanted]

    for numbers in _alike(expectations, chosen("per_row")) if rows.num_rows else ():
        for start in range(0, rows.num_rows, chunk_rows):
            _run(rows, [expectations[n] for n in numbers], [objects[n] for n in numbers], tallies, start, chunk_rows)
    whole = [number for number in chosen("rows_together", "aggregate") if _can_be_judged(expectations[number], rows)]
    for numbers in _alike(expectations, whole):
        _run(rows, [expectations[n] for n in numbers], [objects[n] for n in numbers], tallies)
    return _merge(rows, expectations, scopes, tallies)


def _refuse_unknown_columns(expectation: Expectation, rows: pa.Table) -> None:
    if expectation.expect == "expect_column_to_exist" or not rows.num_rows:
        return
    missing = [name for name in columns_of(expectation) if name not in rows.column_names]
    if missing:
        raise SpecError(
            f"expectation {expectation.expect.removeprefix('expect_')} column", "must be one of the dataset's columns",
            value=missing[0], remedy=f"There are: {shorten(', '.join(rows.column_names), 300)}.",
        )  # fmt: skip


def _is_temporal(expectation: Expectation, rows: pa.Table) -> bool:
    import pyarrow as pa

    named = [name for name in columns_of(expectation) if name in rows.column_names]
    kinds = [rows.schema.field(name).type for name in named]
    return bool(kinds) and all(pa.types.is_timestamp(kind) or pa.types.is_date(kind) for kind in kinds)


def _columns(rows: pa.Table, expectations: Iterable[Expectation]) -> list[str]:
    """The columns that some expectations need; all of them when one is about the columns themselves."""
    needed: set[str] = set()
    for each in expectations:
        if each.expect == "expect_column_to_exist" or each.expect.startswith("expect_table_column"):
            return list(rows.column_names)
        needed.update(columns_of(each))
    return [name for name in rows.column_names if name in needed] or list(rows.column_names[:1])


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
    count: int | None = None,
) -> None:
    from great_expectations import ExpectationSuite

    part = rows.select(_columns(rows, expectations)).slice(start, count)
    frame = frame_of(part, start, form_of(expectations[0]))
    suite = ExpectationSuite(name="rows", expectations=objects)
    batch = _batch_definition().get_batch({"dataframe": frame})
    result_format = {
        "result_format": "COMPLETE", "return_unexpected_index_query": False, "partial_unexpected_count": 0,
    }  # fmt: skip
    for result in batch.validate(suite, result_format=result_format).results:
        tally = tallies[result.expectation_config.meta["number"]]
        tally.success &= bool(result.success)
        fault = _exception_of(result.exception_info)
        tally.fault = tally.fault or fault
        found = result.result or {}
        tally.looked_at += int(found.get("element_count") or 0) - int(found.get("missing_count") or 0)
        tally.indices += [int(index) for index in found.get("unexpected_index_list") or ()]
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
    rows: pa.Table, expectations: Sequence[Expectation], scopes: Sequence[Scope], tallies: Sequence[_Tally]
) -> Verdict:
    results = []
    bad_rows: dict[int, list[str]] = {}
    rules: dict[int, str] = {}
    for expectation, scope, tally in zip(expectations, scopes, tallies, strict=True):
        outcome = _outcome(rows, expectation, scope, tally)
        results.append(outcome)
        if scope == "aggregate" or expectation.severity != "error":
            continue
        for index, value in zip(tally.indices, _values(rows, expectation, tally.indices), strict=True):
            bad_rows.setdefault(index, []).append(f"{outcome.rule}, got {value}")
            rules.setdefault(index, expectation.expect)
    success = not any(each.stops for each in results)
    return Verdict(success, rows.num_rows, tuple(results), dict(sorted(bad_rows.items())), rules)


def _outcome(rows: pa.Table, expectation: Expectation, scope: Scope, tally: _Tally) -> Outcome:
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
        observed = ", ".join(_values(rows, expectation, tally.indices[:_SHOWN])) or None
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
