"""The expectations we know are those that Great Expectations has."""

from __future__ import annotations

import pytest

from evergreen.spec.dataset import Expectation
from evergreen.spec.expectations import EXPECTATIONS, problems_of


def test_the_list_agrees_with_great_expectations() -> None:
    core = pytest.importorskip("great_expectations.expectations.core")
    real = {each.expectation_type: each for each in vars(core).values() if hasattr(each, "expectation_type")}
    for name, declared in EXPECTATIONS.items():
        fields = real[name].__fields__
        columns = {"column": ["column"], "pair": ["column_A", "column_B"], "columns": ["column_list"], "table": []}
        assert all(fields[each].required for each in columns[declared.shape])
        assert {*declared.required, *declared.optional} <= set(fields)
        needed = {each for each, field in fields.items() if field.required} - set(columns[declared.shape])
        assert needed <= set(declared.required), name


def test_a_short_name_is_completed() -> None:
    expectation = Expectation(expect="column_values_to_not_be_null", column="price")
    assert expectation.expect == "expect_column_values_to_not_be_null"
    assert problems_of(expectation) == []


def test_columns_of_a_pair_stand_in_args() -> None:
    pair = Expectation(expect="column_pair_values_to_be_equal", column="a", args={"column_A": "a"})
    assert [(problem.field, problem.remedy) for problem in problems_of(pair)] == [
        (("column",), "Name the columns in args.column_A and args.column_B."),
        (("args",), ""),
    ]
