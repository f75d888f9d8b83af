"""A null passes what is not about nulls, and whole numbers beside nulls stay whole."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from evergreen.quality.mapping import scope_of
from evergreen.quality.validate import validate
from evergreen.spec.dataset import Expectation
from evergreen.spec.expectations import EXPECTATIONS

HUGE = 2**53 + 1  # 9007199254740993, which no float holds
LARGEST = 2**62 + 1


def expect(name: str, column: str | None = None, **args: Any) -> Expectation:
    return Expectation(expect=name, column=column, args=args)


def bad(rows: pa.Table, *expectations: Expectation) -> list[int]:
    verdict = validate(rows, list(expectations))
    assert verdict.success, verdict.results
    return list(verdict.bad_rows)


def ints(**columns: list[int | None]) -> pa.Table:
    return pa.table({name: pa.array(values, pa.int64()) for name, values in columns.items()})


RENT = ints(returned=[5, None, 2, 4, None], taken=[3, 3, 3, None, None])


def test_a_pair_with_one_null_breaks_no_rule_about_its_values() -> None:
    """The rent of public case GX #9748: `got null, 3` was quarantined."""
    rule = expect("column_pair_values_a_to_be_greater_than_b", column_A="returned", column_B="taken")
    verdict = validate(RENT, [rule])
    assert verdict.bad_rows == {2: ["returned must be greater than taken, got 2, 3"]}
    assert verdict.results[0].share == 0.5  # of the two rows with both values


def test_compound_keys_with_a_null_are_no_doubles() -> None:
    rows = ints(a=[1, 1, 2, None, None, None, None], b=[None, None, 2, None, None, 7, 7])
    assert bad(rows, expect("compound_columns_to_be_unique", column_list=["a", "b"])) == []
    rows = ints(a=[1, 1, None, None], b=[2, 2, 2, 2])
    assert bad(rows, expect("compound_columns_to_be_unique", column_list=["a", "b"])) == [0, 1]


def test_what_several_known_values_break_is_broken_whatever_else_is_null() -> None:
    rows = ints(a=[1, 1, None, 1, None], b=[1, None, None, 2, 4], c=[1, 1, None, None, 5])
    assert bad(rows, expect("multicolumn_values_to_be_equal", column_list=["a", "b", "c"])) == [3, 4]
    rows = ints(a=[1, 1, None, 1, None], b=[2, None, None, 1, 4], c=[3, 2, None, None, 4])
    within = expect("select_column_values_to_be_unique_within_record", column_list=["a", "b", "c"])
    assert bad(rows, within) == [3, 4]
    rows = ints(a=[1, 1, 1], b=[2, None, 3])
    assert bad(rows, expect("multicolumn_sum_to_equal", column_list=["a", "b"], sum_total=3)) == [2]


@pytest.mark.parametrize(
    ("name", "columns", "policy", "broken"),
    [
        ("column_pair_values_a_to_be_greater_than_b", "pair", "neither", [1, 2, 3, 4]),
        ("column_pair_values_a_to_be_greater_than_b", "pair", "both_values_are_missing", [1, 2, 3]),
        ("column_pair_values_to_be_equal", "pair", "both_values_are_missing", [0, 1, 2, 3]),
        ("compound_columns_to_be_unique", "list", "never", []),
        ("multicolumn_values_to_be_equal", "list", "all_values_are_missing", [0, 1, 2, 3]),
    ],
)
def test_who_names_what_is_ignored_gets_that(name: str, columns: str, policy: str, broken: list[int]) -> None:
    pair = {"column_A": "returned", "column_B": "taken"}
    args = pair if columns == "pair" else {"column_list": list(pair.values())}
    assert bad(RENT, expect(name, ignore_row_if=policy, **args)) == broken


TEXTS = pa.table(
    {
        "word": ["ab", None, "ab"],
        "other": ["cd", "cd", None],
        "json": ['{"a": 1}', None, '{"a": 1}'],
        "day": ["2013-01-01", None, "2013-01-02"],
        "n": pa.array([1, None, 2], pa.int64()),
        "m": pa.array([0, 5, None], pa.int64()),
        "x": [1.5, None, 2.5],
        "flag": [True, None, False],
        "ts": pa.array([dt.datetime(2013, 1, 1), None, dt.datetime(2013, 1, 2)], pa.timestamp("us", "UTC")),
        "date": [dt.date(2013, 1, 1), None, dt.date(2013, 1, 2)],
        "none": pa.array([None, None, None], pa.int64()),
    }
)
OF_ROWS: dict[str, list[tuple[str | None, dict[str, Any]]]] = {
    "column_values_to_be_between": [
        *((name, {"min_value": 0, "max_value": 9}) for name in ("n", "x", "none")),
        *((name, {"min_value": "2013-01-01"}) for name in ("ts", "date")),
    ],
    "column_values_to_be_in_set": [
        ("n", {"value_set": [1, 2]}), ("x", {"value_set": [1.5, 2.5]}), ("flag", {"value_set": [True, False]}),
        ("word", {"value_set": ["ab"]}), ("ts", {"value_set": ["2013-01-01", "2013-01-02"]}),
        ("none", {"value_set": [3]}),
    ],
    "column_values_to_not_be_in_set": [(name, {"value_set": [7]}) for name in ("n", "x", "flag", "none")],
    "column_values_to_be_unique": [(name, {}) for name in ("n", "x", "flag", "ts", "date", "none")],
    "column_values_to_be_increasing": [(name, {"strictly": True}) for name in ("n", "x", "ts", "date", "none")],
    "column_values_to_be_decreasing": [("none", {})],
    "column_values_to_be_dateutil_parseable": [("day", {})],
    "column_values_to_be_json_parseable": [("json", {})],
    "column_values_to_match_json_schema": [("json", {"json_schema": {"type": "object"}})],
    "column_values_to_match_regex": [("word", {"regex": "^ab$"}), ("n", {"regex": "^[0-9]+$"})],
    "column_values_to_match_regex_list": [("word", {"regex_list": ["^a", "b$"]})],
    "column_values_to_match_strftime_format": [("day", {"strftime_format": "%Y-%m-%d"})],
    "column_values_to_not_match_regex": [("word", {"regex": "c"}), ("n", {"regex": r"\."})],
    "column_values_to_not_match_regex_list": [("word", {"regex_list": ["c"]})],
    "column_values_to_not_be_outliers": [("n", {"method": "iqr", "multiplier": 9}), ("x", {"method": "std"})],
    "column_value_lengths_to_be_between": [("word", {"min_value": 1, "max_value": 2})],
    "column_value_lengths_to_equal": [("word", {"value": 2})],
    "column_value_z_scores_to_be_less_than": [("n", {"threshold": 3, "double_sided": True})],
    "column_pair_values_a_to_be_greater_than_b": [
        (None, {"column_A": "n", "column_B": "m"}), (None, {"column_A": "x", "column_B": "m"}),
        (None, {"column_A": "none", "column_B": "m"}), (None, {"column_A": "other", "column_B": "word"}),
    ],
    "column_pair_values_to_be_equal": [
        (None, {"column_A": "n", "column_B": "none"}), (None, {"column_A": "flag", "column_B": "flag"}),
    ],
    "column_pair_values_to_be_in_set": [
        (None, {"column_A": "n", "column_B": "m", "value_pairs_set": [[1, 0]]}),
        (None, {"column_A": "word", "column_B": "other", "value_pairs_set": [["ab", "cd"]]}),
    ],
    "compound_columns_to_be_unique": [(None, {"column_list": ["word", "none"]})],
    "select_column_values_to_be_unique_within_record": [(None, {"column_list": ["n", "m", "none", "word"]})],
    "multicolumn_sum_to_equal": [(None, {"column_list": ["n", "m"], "sum_total": 1})],
    "multicolumn_values_to_be_equal": [(None, {"column_list": ["n", "none"]})],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(OF_ROWS))
def test_no_rule_about_values_is_broken_by_a_null(name: str) -> None:
    assert bad(TEXTS, *(expect(name, column, **args) for column, args in OF_ROWS[name])) == []


def test_every_rule_about_rows_was_tried() -> None:
    about_nulls = {"expect_column_values_to_be_null", "expect_column_values_to_not_be_null"}
    of_rows = {name for name in EXPECTATIONS if scope_of(Expectation(expect=name)) != "aggregate"}
    assert {f"expect_{name}" for name in OF_ROWS} == of_rows - about_nulls


@pytest.mark.parametrize("rest", [[5], [None]])
def test_whole_numbers_are_checked_as_they_are_beside_a_null_and_without(rest: list[int | None]) -> None:
    rows = ints(id=[HUGE, HUGE + 1, LARGEST, *rest], twin=[HUGE, HUGE + 2, LARGEST, *rest])
    allowed = [HUGE, HUGE + 1, LARGEST, 5]
    assert bad(rows, expect("column_values_to_be_in_set", "id", value_set=allowed)) == []
    assert bad(rows, expect("column_values_to_not_be_in_set", "id", value_set=[HUGE - 1])) == []
    assert bad(rows, expect("column_values_to_be_unique", "id")) == []
    assert bad(rows, expect("column_values_to_match_regex", "id", regex="^[0-9]+$")) == []
    assert bad(rows, expect("column_pair_values_to_be_equal", column_A="id", column_B="twin")) == [1]
    assert bad(rows, expect("column_values_to_be_between", "id", max_value=HUGE)) == [1, 2]
    assert bad(rows, expect("column_values_to_be_between", "id", max_value=LARGEST)) == []
    assert bad(rows, expect("column_values_to_be_between", "id", min_value=1, max_value=LARGEST - 1)) == [2]
    sums = ints(a=[HUGE, HUGE - 1, *rest], b=[2**53, 2**53, *rest])
    total = expect("multicolumn_sum_to_equal", column_list=["a", "b"], sum_total=2**54)
    assert bad(sums, total) == ([0, 2] if rest == [5] else [0])
    verdict = validate(rows, [expect("column_values_to_be_in_set", "id", value_set=[HUGE])])
    assert verdict.bad_rows[1] == [f"id must be in set [{HUGE}], got {HUGE + 1}"]


@pytest.mark.parametrize("rest", [[5], [None]])
@pytest.mark.parametrize(
    ("expectation", "observed"),
    [
        (expect("column_max_to_be_between", "id", min_value=LARGEST, max_value=LARGEST), LARGEST),
        (expect("column_sum_to_be_between", "same", min_value=3 * LARGEST, max_value=3 * LARGEST), 3 * LARGEST),
        (expect("column_distinct_values_to_contain_set", "id", value_set=[HUGE, LARGEST]), None),
        (expect("column_values_to_be_of_type", "id", type_="int64"), "int64"),
        (expect("column_values_to_be_in_type_list", "id", type_list=["int64"]), "int64"),
        (expect("column_type_to_be", "id", type_="int64"), "int64"),
        (expect("column_values_to_be_of_type", "flag", type_="bool"), "bool"),
    ],
)
def test_aggregates_of_whole_numbers_are_exact_and_types_do_not_depend_on_the_data(
    rest: list[int | None], expectation: Expectation, observed: Any
) -> None:
    rows = ints(id=[HUGE, LARGEST, *rest], same=[LARGEST] * 2 + ([None] if rest == [None] else [LARGEST]))
    rows = rows.append_column("flag", pa.array([True, False, None if rest == [None] else True]))
    if expectation.column == "same" and rest == [None]:
        rows = pa.concat_tables([rows, rows.slice(0, 1)])
    outcome = validate(rows, [expectation]).results[0]
    assert outcome.success, outcome
    assert observed is None or outcome.observed == observed


@pytest.mark.parametrize(
    "expectation",
    [
        expect("column_min_to_be_between", "none", min_value=1),
        expect("column_max_to_be_between", "none", max_value=1),
        expect("column_mean_to_be_between", "none", min_value=1),
        expect("column_median_to_be_between", "none", min_value=1),
        expect("column_stdev_to_be_between", "none", min_value=1),
        expect("column_quantile_values_to_be_between", "none",
               quantile_ranges={"quantiles": [0.5], "value_ranges": [[4, 4]]}),
        expect("column_proportion_of_unique_values_to_be_between", "none", min_value=1),
        expect("column_most_common_value_to_be_in_set", "none", value_set=[1]),
        expect("column_distinct_values_to_be_in_set", "none", value_set=[1]),
        expect("column_sum_to_be_between", "none", min_value=1),
        expect("column_kl_divergence_to_be_less_than", "none",
               partition_object={"values": [1, 2], "weights": [0.5, 0.5]}, threshold=0.1),
    ],
)  # fmt: skip
def test_without_a_single_value_what_needs_values_is_not_judged(expectation: Expectation) -> None:
    assert validate(TEXTS, [expectation]).success


@pytest.mark.parametrize(
    "expectation",
    [
        expect("column_proportion_of_non_null_values_to_be_between", "none", min_value=0.1),
        expect("column_unique_value_count_to_be_between", "none", min_value=1),
        expect("column_distinct_values_to_contain_set", "none", value_set=[1]),
    ],
)
def test_what_is_about_missing_values_is_judged(expectation: Expectation) -> None:
    assert not validate(TEXTS, [expectation]).success


def test_divergence_from_a_distribution_is_measured_beside_nulls() -> None:
    rows = ints(n=[1, 2, 5, 6, None])
    bins = {"bins": [0, 3, 7], "weights": [0.5, 0.5]}
    rule = expect("column_kl_divergence_to_be_less_than", "n", partition_object=bins, threshold=0.1)
    assert validate(rows, [rule]).success
