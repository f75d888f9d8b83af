"""Rows as Great Expectations gets them: whole numbers whole, and nulls where they break no rule about values.

The type of a column never depends on whether it holds nulls. By default whole numbers and truth values are pandas'
nullable ``Int64`` and ``boolean``; a few expectations cannot take these and get another form.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal

from evergreen.spec.expectations import ignores_rows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from evergreen.spec.dataset import Expectation

Form = Literal["nullable", "filled", "objects", "floats", "next_known", "told_apart"]
"""
``nullable``: the default.
``filled``: nulls filled, for what looks at nothing but the type.
``objects``: Python's numbers, which don't overflow in a sum; nulls are NaN, which equals nothing.
``floats``: as pandas likes them best, for statistics in bins.
``next_known``: nulls are what the row's other columns hold, so that only known values can differ.
``told_apart``: each null is a value of its own, so that only known values can be the same.
"""

_FORMS: dict[str, Form] = {
    "expect_column_values_to_be_of_type": "filled",
    "expect_column_values_to_be_in_type_list": "filled",
    "expect_column_type_to_be": "filled",
    "expect_column_sum_to_be_between": "objects",
    "expect_multicolumn_sum_to_equal": "objects",
    "expect_column_kl_divergence_to_be_less_than": "floats",
    "expect_multicolumn_values_to_be_equal": "next_known",
    "expect_select_column_values_to_be_unique_within_record": "told_apart",
}


def form_of(expectation: Expectation) -> Form:
    """The form in which an expectation gets its rows; who names ``ignore_row_if`` gets the nulls as they are."""
    if ignores_rows(expectation.expect) and "ignore_row_if" in expectation.args:
        return "objects"
    return _FORMS.get(expectation.expect, "nullable")


def frame_of(rows: pa.Table, start: int, form: Form) -> pd.DataFrame:
    """Rows as pandas, indexed by their number from ``start``; instants and dates without zone, in UTC."""
    import pandas as pd

    columns = {name: _series(rows[name], form) for name in rows.column_names}
    index = pd.RangeIndex(start, start + rows.num_rows)
    if not columns:
        return pd.DataFrame(index=index)
    frame = pd.DataFrame(columns, copy=False).set_axis(index)
    if form == "next_known":
        return _next_known(frame)
    if form == "told_apart":
        values = frame.astype(object)
        return values.where(values.notna(), values.map(lambda _: object()))
    return frame


def _next_known(frame: pd.DataFrame) -> pd.DataFrame:
    """Fills each null with a value that the row holds elsewhere; a row of nothing but nulls keeps them."""
    values = frame.astype(object)
    first: pd.Series[Any] = values.iloc[:, 0]
    for name in values.columns[1:]:
        first = first.where(first.notna(), values[name])
    return values.apply(lambda column: column.where(column.notna(), first))


def _series(column: pa.ChunkedArray, form: Form) -> pd.Series[Any]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz=kind.tz)).cast(pa.int64()).cast(pa.timestamp("us"))
    countable = pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    if form == "filled" and countable:
        column = column.fill_null(False if pa.types.is_boolean(kind) else 0)
    series: pd.Series[Any]
    if form in ("filled", "floats"):
        series = column.to_pandas(date_as_object=False)
    else:
        series = column.to_pandas(date_as_object=False, types_mapper=_nullable().get)
    if form == "objects" and countable:
        series = series.astype(object).where(series.notna(), float("nan"))
    return series


@functools.cache
def _nullable() -> dict[Any, Any]:
    import pandas as pd
    import pyarrow as pa

    return {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
