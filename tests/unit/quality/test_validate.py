"""Verdicts on rows: what is bad, what stops a run, what is only told."""

import datetime as dt
import json
import subprocess
import sys

import pyarrow as pa
import pytest

from evergreen.errors import SpecError
from evergreen.quality.quarantine import Parting
from evergreen.quality.report import report_html
from evergreen.quality.validate import validate
from evergreen.quality.verdict import stop_reason
from evergreen.spec.dataset import Expectation

ROWS = pa.table(
    {
        "id": [1, 2, 3, 3, 5],
        "temp": [20.0, 1048.0, None, 30.0, -99.0],
        "low": [1, 2, 3, 4, 5],
        "high": [2, 2, 1, 5, 6],
        "name": ["a", "b", None, "", "<script>"],
        "ts": pa.array([dt.datetime(2013, 1, day, tzinfo=dt.UTC) for day in range(1, 6)], pa.timestamp("us", "UTC")),
        "day": pa.array([dt.date(2013, 1, day) for day in range(1, 6)]),
        "__known_at": [0] * 5,
    }
)


def expect(name, column=None, severity="error", mostly=0.0, **args):
    return Expectation(expect=name, column=column, severity=severity, mostly=mostly, args=args)


BETWEEN = expect("column_values_to_be_between", "temp", min_value=-40, max_value=120)


@pytest.mark.parametrize("chunk_rows", [1, 2, 5, 100])
@pytest.mark.parametrize(
    ("expectation", "bad"),
    [
        (BETWEEN, [1, 4]),
        (expect("column_values_to_not_be_null", "name"), [2]),
        (expect("column_values_to_be_in_set", "id", value_set=[1, 2, 3]), [4]),
        (expect("column_values_to_match_regex", "name", regex="^[a-z]$"), [3, 4]),
        (expect("column_pair_values_a_to_be_greater_than_b", column_A="high", column_B="low", or_equal=True), [2]),
        (expect("multicolumn_sum_to_equal", column_list=["low", "high"], sum_total=4), [0, 3, 4]),
        (expect("column_values_to_be_unique", "id"), [2, 3]),
        (expect("compound_columns_to_be_unique", column_list=["id", "low"]), []),
        (expect("column_values_to_be_increasing", "low"), []),
        (expect("column_values_to_be_between", "ts", max_value="2013-01-03"), [3, 4]),
        (expect("column_values_to_be_between", "ts", min_value="2013-01-02T01:00:00+01:00"), [0]),
        (expect("column_values_to_be_between", "day", min_value="2013-01-02"), [0]),
        (expect("column_values_to_be_in_set", "day", value_set=["2013-01-01", "2013-01-02"]), [2, 3, 4]),
    ],
)
def test_rows_that_break_an_expectation_are_bad_whatever_the_chunks(expectation, bad, chunk_rows):
    verdict = validate(ROWS, [expectation], chunk_rows=chunk_rows)
    assert list(verdict.bad_rows) == bad
    assert verdict.success
    assert verdict.results[0].success == (not bad)
    assert verdict.results[0].unexpected == len(bad)


def test_each_bad_row_tells_every_rule_it_breaks_and_its_value():
    verdict = validate(ROWS, [BETWEEN, expect("column_values_to_be_in_set", "low", value_set=[1, 3, 4, 5])])
    assert verdict.bad_rows[1] == [
        "temp must be between -40 and 120, got 1048.0",
        "low must be in set [1, 3, 4, 5], got 2",
    ]
    assert verdict.rules[1] == "expect_column_values_to_be_between"


def test_a_warning_only_reports():
    verdict = validate(ROWS, [expect("column_values_to_be_between", "temp", "warn", max_value=100),
                              expect("column_mean_to_be_between", "temp", "warn", max_value=0)])  # fmt: skip
    assert verdict.success
    assert verdict.bad_rows == {}
    assert [each.success for each in verdict.results] == [False, False]


@pytest.mark.parametrize(("mostly", "success"), [(0.0, True), (0.5, True), (0.51, False), (1.0, False)])
def test_fewer_good_rows_than_mostly_stop_the_run(mostly, success):
    rule = expect("column_values_to_be_between", "temp", mostly=mostly, min_value=-40, max_value=120)
    verdict = validate(ROWS, [rule], chunk_rows=2)
    assert verdict.success == success
    assert verdict.results[0].share == 0.5  # of the four rows with a value
    assert list(verdict.bad_rows) == [1, 4]


@pytest.mark.parametrize(
    ("expectation", "success", "observed"),
    [
        (expect("column_mean_to_be_between", "low", min_value=2.9, max_value=3.1), True, 3.0),
        (expect("column_mean_to_be_between", "low", max_value=2), False, 3.0),
        (expect("column_proportion_of_unique_values_to_be_between", "id", min_value=1), False, 0.8),
        (expect("column_max_to_be_between", "ts", max_value="2013-01-05"), True, None),
        (expect("table_row_count_to_be_between", min_value=6), False, 5),
        (expect("table_columns_to_match_set", column_set=["id"], exact_match=True), False, None),
        (expect("column_to_exist", "nothing"), False, None),
        (expect("column_values_to_be_of_type", "temp", type_="float64"), True, "float64"),
    ],
)
def test_aggregates_see_all_rows_and_stop_the_run(expectation, success, observed):
    verdict = validate(ROWS, [expectation], chunk_rows=2)
    assert verdict.success == success
    assert verdict.bad_rows == {}
    if observed is not None:
        assert verdict.results[0].observed == pytest.approx(observed) or verdict.results[0].observed == observed


def test_outcomes_keep_the_declared_order_and_equal_expectations_are_told_apart():
    several = [expect("column_mean_to_be_between", "low", max_value=9), BETWEEN, BETWEEN,
               expect("table_row_count_to_equal", value=5)]  # fmt: skip
    verdict = validate(ROWS, several)
    assert [each.expect for each in verdict.results] == [each.expect for each in several]
    assert [each.unexpected for each in verdict.results] == [0, 2, 2, 0]


def test_a_rule_that_cannot_be_checked_stops_the_run_and_says_why():
    verdict = validate(ROWS, [expect("column_values_to_be_between", "name", max_value=3)])
    assert not verdict.success
    assert "could not be checked" in verdict.results[0].observed


def test_no_rows_break_only_rules_about_their_number():
    rules = [
        BETWEEN,
        expect("column_mean_to_be_between", "temp", min_value=0),
        expect("column_values_to_be_unique", "id"),
    ]
    assert validate(ROWS.slice(0, 0), rules).success
    assert validate(pa.table({}), rules).success
    assert not validate(ROWS.slice(0, 0), [expect("table_row_count_to_be_between", min_value=1)]).success


def test_no_expectations_are_a_success():
    assert validate(ROWS, []).success


@pytest.mark.parametrize(
    ("expectation", "words"),
    [
        (expect("column_values_to_be_betwen", "temp"), "column_values_to_be_between"),
        (expect("column_values_to_be_between", "temp", minimum=3), "minimum"),
        (expect("column_values_to_be_between", "temp", min_value=[1]), "min_value"),
        (expect("column_values_to_be_in_set", "temp", value_set=3), "value_set"),
        (expect("column_values_to_be_between", "tmp", min_value=1), "must be one of the dataset's columns, got 'tmp'"),
    ],
)
def test_a_wrong_expectation_is_a_spec_error_that_says_what_is_right(expectation, words):
    with pytest.raises(SpecError, match=words):
        validate(ROWS, [expectation])


def split(rows, verdict, size=2):
    parting = Parting((rows.slice(at, size) for at in range(0, rows.num_rows, size)), verdict)
    good = pa.concat_tables(parting.good())
    return good, parting.quarantined("2013-02-01")


def test_split_keeps_good_rows_and_quarantines_bad_ones_with_their_place():
    rows = ROWS.append_column("__source", pa.array(["a.csv"] * 5)).append_column("__line", pa.array(range(2, 7)))
    good, quarantined = split(rows, validate(rows, [BETWEEN]))
    assert good["id"].to_pylist() == [1, 3, 3]
    assert good.column_names == ROWS.column_names
    first = quarantined.to_pylist()[0]
    assert (first["source"], first["line"], first["stage"], first["as_of"]) == ("a.csv", 3, "validate", "2013-02-01")
    assert json.loads(first["row"])["temp"] == 1048.0
    assert "__known_at" not in json.loads(first["row"])
    good, quarantined = split(ROWS, validate(ROWS, [BETWEEN]))
    assert (good.num_rows, quarantined["line"].to_pylist()) == (3, [None, None])


def test_too_many_rows_set_aside_stop_the_run_with_the_figures():
    fine = validate(ROWS, [BETWEEN])
    assert stop_reason(fine, rows_read=40, quarantined=2, max_quarantined=0.05) is None
    assert stop_reason(fine, rows_read=0, quarantined=0, max_quarantined=0.0) is None
    reason = stop_reason(fine, rows_read=40, quarantined=3, max_quarantined=0.05)
    assert "3 of 40 rows (7.50%) were set aside, and max_quarantined is 5.00%" in reason
    failed = validate(ROWS, [expect("table_row_count_to_be_between", min_value=6)])
    assert "the table row count must be at least 6: got 5" in stop_reason(
        failed, rows_read=5, quarantined=0, max_quarantined=1.0
    )


def test_the_json_of_fifty_failures_stays_small():
    long = [expect("column_values_to_be_in_set", "name", mostly=1.0, value_set=[f"{'é' * 60}{n}"]) for n in range(50)]
    told = validate(ROWS, long).to_dict()
    assert len(json.dumps(told)) < 4096
    assert told["failed"] == 50
    assert len(told["failures"]) + told["omitted"] == 50
    assert told["failures"]


def test_the_report_is_one_escaped_page():
    verdict = validate(ROWS, [expect("column_values_to_match_regex", "name", regex="^[a-z]$"),
                              expect("table_row_count_to_equal", value=6)])  # fmt: skip
    page = report_html(verdict, "things <at> 2013-02-01")
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "things &lt;at&gt; 2013-02-01" in page
    assert "Must not be published" in page
    assert "the table row count must equal 6" in page


def test_validation_writes_no_file_and_prints_nothing(tmp_path):
    program = (
        "import pyarrow as pa\n"
        "from evergreen.quality.validate import validate\n"
        "from evergreen.spec.dataset import Expectation\n"
        "rule = Expectation(expect='column_values_to_be_between', column='a', args={'max_value': 1})\n"
        "assert len(validate(pa.table({'a': [1, 2]}), [rule]).bad_rows) == 1\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []
