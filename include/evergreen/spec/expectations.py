"""The Great Expectations a dataset may declare, known without importing it; a test compares them with the real ones.

Left out: those that need SQL on a server (``…_like_pattern``), another table, or a query of their own.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from evergreen.spec.dataset import Expectation
from evergreen.spec.explain import did_you_mean
from evergreen.spec.source import Problem

Shape = Literal["column", "pair", "columns", "table"]
_COLUMN_ARGS: dict[Shape, tuple[str, ...]] = {"pair": ("column_A", "column_B"), "columns": ("column_list",)}


class Declared(NamedTuple):
    """What an expectation is about, and its arguments beyond the column."""

    shape: Shape
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


_BOUNDS = ("min_value", "max_value", "strict_min", "strict_max")
_IGNORE = ("ignore_row_if",)
_BETWEEN = Declared("column", (), _BOUNDS)
_SET = Declared("column", ("value_set",))
_PLAIN = Declared("column")

EXPECTATIONS: dict[str, Declared] = {
    # of each row
    "expect_column_values_to_not_be_null": _PLAIN,
    "expect_column_values_to_be_null": _PLAIN,
    "expect_column_values_to_be_between": _BETWEEN,
    "expect_column_values_to_be_in_set": _SET,
    "expect_column_values_to_not_be_in_set": _SET,
    "expect_column_values_to_be_unique": _PLAIN,
    "expect_column_values_to_be_increasing": Declared("column", (), ("strictly",)),
    "expect_column_values_to_be_decreasing": Declared("column", (), ("strictly",)),
    "expect_column_values_to_be_of_type": Declared("column", ("type_",)),
    "expect_column_values_to_be_in_type_list": Declared("column", ("type_list",)),
    "expect_column_values_to_be_dateutil_parseable": _PLAIN,
    "expect_column_values_to_be_json_parseable": _PLAIN,
    "expect_column_values_to_match_json_schema": Declared("column", ("json_schema",)),
    "expect_column_values_to_match_regex": Declared("column", ("regex",)),
    "expect_column_values_to_match_regex_list": Declared("column", ("regex_list",), ("match_on",)),
    "expect_column_values_to_match_strftime_format": Declared("column", ("strftime_format",)),
    "expect_column_values_to_not_match_regex": Declared("column", ("regex",)),
    "expect_column_values_to_not_match_regex_list": Declared("column", ("regex_list",)),
    "expect_column_values_to_not_be_outliers": Declared("column", (), ("method", "multiplier")),
    "expect_column_value_lengths_to_be_between": _BETWEEN,
    "expect_column_value_lengths_to_equal": Declared("column", ("value",)),
    "expect_column_value_z_scores_to_be_less_than": Declared("column", ("threshold", "double_sided")),
    "expect_column_pair_values_a_to_be_greater_than_b": Declared("pair", (), ("or_equal", *_IGNORE)),
    "expect_column_pair_values_to_be_equal": Declared("pair", (), _IGNORE),
    "expect_column_pair_values_to_be_in_set": Declared("pair", ("value_pairs_set",), _IGNORE),
    "expect_compound_columns_to_be_unique": Declared("columns", (), _IGNORE),
    "expect_select_column_values_to_be_unique_within_record": Declared("columns", (), _IGNORE),
    "expect_multicolumn_sum_to_equal": Declared("columns", ("sum_total",), _IGNORE),
    "expect_multicolumn_values_to_be_equal": Declared("columns", (), _IGNORE),
    # of a column as a whole
    "expect_column_to_exist": Declared("column", (), ("column_index",)),
    "expect_column_type_to_be": Declared("column", ("type_",)),
    "expect_column_min_to_be_between": _BETWEEN,
    "expect_column_max_to_be_between": _BETWEEN,
    "expect_column_mean_to_be_between": _BETWEEN,
    "expect_column_median_to_be_between": _BETWEEN,
    "expect_column_sum_to_be_between": _BETWEEN,
    "expect_column_stdev_to_be_between": _BETWEEN,
    "expect_column_quantile_values_to_be_between": Declared("column", ("quantile_ranges",), ("allow_relative_error",)),
    "expect_column_unique_value_count_to_be_between": _BETWEEN,
    "expect_column_proportion_of_unique_values_to_be_between": _BETWEEN,
    "expect_column_proportion_of_non_null_values_to_be_between": _BETWEEN,
    "expect_column_distinct_values_to_be_in_set": _SET,
    "expect_column_distinct_values_to_contain_set": _SET,
    "expect_column_distinct_values_to_equal_set": _SET,
    "expect_column_most_common_value_to_be_in_set": Declared("column", ("value_set",), ("ties_okay",)),
    "expect_column_kl_divergence_to_be_less_than": Declared(
        "column",
        ("partition_object", "threshold"),
        ("internal_weight_holdout", "tail_weight_holdout", "bucketize_data", "min_value", "max_value"),
    ),
    # of the rows as a whole
    "expect_table_row_count_to_be_between": Declared("table", (), _BOUNDS),
    "expect_table_row_count_to_equal": Declared("table", ("value",)),
    "expect_table_column_count_to_be_between": Declared("table", (), ("min_value", "max_value")),
    "expect_table_column_count_to_equal": Declared("table", ("value",)),
    "expect_table_columns_to_match_set": Declared("table", ("column_set",), ("exact_match",)),
    "expect_table_columns_to_match_ordered_list": Declared("table", ("column_list",)),
}


def ignores_rows(name: str) -> bool:
    """Whether an expectation compares columns of a row and so may pass over rows with nulls (``ignore_row_if``)."""
    return name in EXPECTATIONS and _IGNORE[0] in EXPECTATIONS[name].optional


def problems_of(expectation: Expectation) -> list[Problem]:
    """What is wrong with an expectation's name, column and arguments; fields count from the expectation itself."""
    declared = EXPECTATIONS.get(expectation.expect)
    if declared is None:
        short = {name.removeprefix("expect_") for name in EXPECTATIONS}
        word = expectation.expect.removeprefix("expect_")
        remedy = did_you_mean(word, short)
        remedy = remedy if remedy.startswith("Did") else "Its gallery lists their names."
        return [Problem(("expect",), "must be an expectation that Great Expectations has for files", word, remedy)]
    found = []
    if declared.shape == "column" and expectation.column is None:
        found.append(Problem(("expect",), "must have a column beside it", expectation.expect, "Add column: NAME."))
    if declared.shape != "column" and expectation.column is not None:
        instead = " and ".join(f"args.{name}" for name in _COLUMN_ARGS.get(declared.shape, ()))
        remedy = f"Name the columns in {instead}." if instead else "Delete it: the expectation is about all rows."
        found.append(Problem(("column",), f"must not stand beside {expectation.expect}", expectation.column, remedy))
    required = (*_COLUMN_ARGS.get(declared.shape, ()), *declared.required)
    known = (*required, *declared.optional)
    for name in expectation.args:
        if name not in known:
            rule = f"is not an argument of {expectation.expect}"
            found.append(Problem(("args", name), rule, remedy=did_you_mean(name, known)))
    for name in required:
        if name not in expectation.args:
            found.append(Problem(("args",), f"must hold {name}, which {expectation.expect} needs"))
    if declared.optional[:2] == _BOUNDS[:2]:
        found += _bounds(expectation)
    return found


def _bounds(expectation: Expectation) -> list[Problem]:
    low, high = expectation.args.get("min_value"), expectation.args.get("max_value")
    if low is None and high is None:
        return [Problem(("args",), "must hold min_value or max_value, or both")]
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        return [Problem(("args", "min_value"), f"must be at most max_value ({high:g})", low)]
    return []
