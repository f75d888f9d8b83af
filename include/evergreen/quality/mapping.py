"""From the expectations of a YAML file to classes of Great Expectations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal

from evergreen.errors import SpecError, shorten
from evergreen.quality.bounds import exact
from evergreen.spec.expectations import EXPECTATIONS, ignores_rows, problems_of

if TYPE_CHECKING:
    from evergreen.spec.dataset import Expectation

Scope = Literal["per_row", "rows_together", "aggregate"]
"""``per_row`` looks at one row at a time, ``rows_together`` names rows but compares them, ``aggregate`` names none."""

_ROWS_TOGETHER = frozenset(
    {
        "expect_column_values_to_be_unique",
        "expect_compound_columns_to_be_unique",
        "expect_column_values_to_be_increasing",
        "expect_column_values_to_be_decreasing",
        "expect_column_value_z_scores_to_be_less_than",
        "expect_column_values_to_not_be_outliers",
    }
)
_OF_THE_TYPE = frozenset({"expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list"})
_JUDGES_THE_KNOWN = frozenset(
    {"expect_multicolumn_values_to_be_equal", "expect_select_column_values_to_be_unique_within_record"}
)
"""Are handed frames in which a null cannot break them (:mod:`evergreen.quality.frames`)."""
_NEEDS_VALUES = frozenset(
    {
        "expect_column_min_to_be_between",
        "expect_column_max_to_be_between",
        "expect_column_mean_to_be_between",
        "expect_column_median_to_be_between",
        "expect_column_sum_to_be_between",
        "expect_column_stdev_to_be_between",
        "expect_column_quantile_values_to_be_between",
        "expect_column_proportion_of_unique_values_to_be_between",
        "expect_column_distinct_values_to_be_in_set",
        "expect_column_most_common_value_to_be_in_set",
        "expect_column_kl_divergence_to_be_less_than",
    }
)
_BOUNDS = ("min_value", "max_value", "sum_total")
_A_AND_B = "column_pair_values_a_"
_SUBJECTS = {
    _A_AND_B: "",
    "column_pair_values_": "",
    "column_values_": "",
    "column_value_": "",
    "compound_columns_": "together",
    "select_column_values_": "",
    "multicolumn_values_": "",
    "multicolumn_": "",
    "column_": "",
    "table_": "",
}
"""Beginnings of names, and what rules in words say instead."""


def to_gx(expectation: Expectation, *, temporal: bool = False) -> Any:
    """The Great Expectations object of a declared expectation.

    Unless ``ignore_row_if`` says otherwise, an expectation that compares columns passes over rows with a null in one
    of them: by itself, Great Expectations would only pass over those with nothing but nulls.

    Args:
        expectation: As declared; ``mostly`` and ``severity`` stay ours.
        temporal: Whether its column holds dates or instants: dates as text among the arguments then become instants
            (UTC unless they carry an offset).

    Raises:
        SpecError: Unknown expectation, unknown or missing arguments, or values of the wrong type.
    """
    problems = problems_of(expectation)
    if problems:
        first = problems[0]
        place = ".".join([f"expectation {_short(expectation)}", *map(str, first.field)])
        raise SpecError(place, first.rule, value=first.value, remedy=first.remedy)
    from pydantic.v1 import ValidationError

    arguments = {name: _instants(value) if temporal else value for name, value in expectation.args.items()}
    arguments |= {name: exact(arguments[name]) for name in _BOUNDS if name in arguments}
    if expectation.column is not None:
        arguments["column"] = expectation.column
    if ignores_rows(expectation.expect) and expectation.expect not in _JUDGES_THE_KNOWN:
        is_pair = EXPECTATIONS[expectation.expect].shape == "pair"
        arguments.setdefault("ignore_row_if", "either_value_is_missing" if is_pair else "any_value_is_missing")
    try:
        return gx_class(expectation.expect)(**arguments)
    except (ValidationError, ValueError, TypeError) as error:
        details = error.errors() if isinstance(error, ValidationError) else [{"loc": (), "msg": str(error)}]
        said = dict.fromkeys(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in details)
        raise SpecError(
            f"expectation {_short(expectation)}",
            f"must have arguments that Great Expectations takes ({shorten('; '.join(said), 300)})",
            value=expectation.args,
            remedy="Correct args.",
        ) from None


def gx_class(name: str) -> Any:
    """The class of a known expectation's name."""
    import great_expectations.expectations as gxe

    classes = {getattr(each, "expectation_type", None): each for each in vars(gxe).values() if isinstance(each, type)}
    return classes[name]


def scope_of(expectation: Expectation) -> Scope:
    """How much of the rows an expectation must see at once."""
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

    name = expectation.expect
    maps = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
    if name in _OF_THE_TYPE or not issubclass(gx_class(name), maps):
        return "aggregate"
    return "rows_together" if name in _ROWS_TOGETHER else "per_row"


def columns_of(expectation: Expectation) -> tuple[str, ...]:
    """The columns whose values it reads; none of an expectation on the table as a whole."""
    arguments = expectation.args
    if expectation.expect.startswith("expect_table_"):
        return ()
    if expectation.column is not None:
        return (expectation.column,)
    pair = [arguments[name] for name in ("column_A", "column_B") if name in arguments]
    listed = arguments.get("column_list", ())
    return (*pair, *(listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ()))


def rule_of(expectation: Expectation) -> str:
    """The rule in words, such as ``temp must be between -40 and 120``."""
    words = expectation.expect.removeprefix("expect_")
    subject = ", ".join(map(str, columns_of(expectation))) or "the table"
    prefix = next((each for each in _SUBJECTS if words.startswith(each)), "")
    what, _, must = words.removeprefix(prefix).partition("to_")
    what, must = what.replace("_", " "), must.replace("_", " ")
    subject = " ".join(f"{subject} {_SUBJECTS.get(prefix, '')} {what}".split())
    arguments = dict(expectation.args)
    if prefix == _A_AND_B:
        subject, must = arguments["column_A"], f"be greater than {arguments['column_B']}"
    for name in ("column_A", "column_B", "column_list"):
        arguments.pop(name, None)
    low, high = arguments.pop("min_value", None), arguments.pop("max_value", None)
    if must.endswith("be between"):
        must = must.removesuffix(" between") + _bounds(low, high)
    flags = [name.replace("_", " ") for name, value in arguments.items() if value is True]
    values = {name: value for name, value in arguments.items() if not isinstance(value, bool)}
    shown = [f"{value}" if len(values) == 1 else f"{name} {value}" for name, value in values.items()]
    rest = ", ".join(shown) + (f" ({', '.join(flags)})" if flags else "")
    return shorten(f"{subject} must {must} {rest.strip()}".rstrip(), 240)


def needs_values(expectation: Expectation) -> bool:
    """Whether it is an aggregate that says nothing of a column without a single value."""
    return expectation.expect in _NEEDS_VALUES


def _bounds(low: Any, high: Any) -> str:
    if low is None:
        return f" at most {high}"
    return f" at least {low}" if high is None else f" between {low} and {high}"


def _short(expectation: Expectation) -> str:
    return expectation.expect.removeprefix("expect_") + (f" of {expectation.column}" if expectation.column else "")


def _instants(value: Any) -> Any:
    """Dates and ISO texts as instants without a zone, in UTC, as the checked frame holds them."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, datetime):
        return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if isinstance(value, list | tuple):
        return [_instants(each) for each in value]
    return value
