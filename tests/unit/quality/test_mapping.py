"""The static list of expectations against the installed Great Expectations, and rules in words."""

import great_expectations.expectations as gxe
import pytest

from evergreen.quality.mapping import gx_class, rule_of, scope_of
from evergreen.spec.dataset import Expectation
from evergreen.spec.expectations import EXPECTATIONS

OURS = {"batch_id", "column", "mostly", "row_condition", "condition_parser", "library_metadata"}
LEFT_OUT = ("like_pattern", "query_results", "other_table", "unexpected_rows")
BASE = set(gxe.Expectation.__fields__)


def real() -> dict[str, type]:
    classes = [each for each in vars(gxe).values() if isinstance(each, type)]
    names = {getattr(each, "expectation_type", ""): each for each in classes if each is not gxe.Expectation}
    return {name: each for name, each in names.items() if name}


def test_the_list_has_every_expectation_that_works_on_files():
    assert set(EXPECTATIONS) == {name for name in real() if not any(part in name for part in LEFT_OUT)}


@pytest.mark.parametrize("name", sorted(EXPECTATIONS))
def test_its_arguments_are_the_real_ones(name):
    declared = EXPECTATIONS[name]
    of_shape = {"pair": {"column_A", "column_B"}, "columns": {"column_list"}}.get(declared.shape, set())
    assert of_shape | {*declared.required, *declared.optional} == set(real()[name].__fields__) - BASE - OURS
    assert gx_class(name) is real()[name]
    assert scope_of(Expectation(expect=name)) in ("per_row", "rows_together", "aggregate")


@pytest.mark.parametrize(
    ("name", "column", "args", "words"),
    [
        ("column_values_to_be_between", "the_speed", {"min_value": 0, "max_value": 9},
         "the_speed must be between 0 and 9"),
        ("column_values_to_be_between", "a", {"max_value": 9, "strict_max": True}, "a must be at most 9 (strict max)"),
        ("column_mean_to_be_between", "a", {"min_value": 1}, "a mean must be at least 1"),
        ("column_values_to_not_be_null", "a", {}, "a must not be null"),
        ("column_value_lengths_to_equal", "a", {"value": 3}, "a lengths must equal 3"),
        ("column_pair_values_a_to_be_greater_than_b", None, {"column_A": "a", "column_B": "b", "or_equal": True},
         "a must be greater than b (or equal)"),
        ("compound_columns_to_be_unique", None, {"column_list": ["a", "b"]}, "a, b together must be unique"),
        ("table_row_count_to_be_between", None, {"min_value": 1, "max_value": 5},
         "the table row count must be between 1 and 5"),
    ],
)  # fmt: skip
def test_rules_in_words(name, column, args, words):
    assert rule_of(Expectation(expect=name, column=column, args=args)) == words
