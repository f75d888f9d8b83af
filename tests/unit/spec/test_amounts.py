"""Amounts of labelled rows: what is read, what is refused, and that writing gives back what was read."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evergreen.spec.amounts import Portion, Rows, format_amount, parse_amount, parse_history
from evergreen.spec.model import Model


@pytest.mark.parametrize(
    ("text", "amount", "written"),
    [
        ("14d", timedelta(days=14), "2w"),
        (" 36 h ", timedelta(hours=36), "36h"),
        ("500 rows", Rows(500), "500 rows"),
        ("500rows", Rows(500), "500 rows"),
        ("1 row", Rows(1), "1 row"),
        ("20%", Portion(0.2), "20%"),
        ("12.5 %", Portion(0.125), "12.5%"),
        ("0.1%", Portion(0.001), "0.1%"),
        ("12.34567%", Portion(0.1234567), "12.34567%"),
        (0, timedelta(0), "0s"),
    ],
)
def test_time_rows_and_shares_are_read(text: object, amount: object, written: str) -> None:
    assert parse_amount(text) == amount
    assert format_amount(parse_amount(text)) == written
    assert parse_amount(written) == amount


@pytest.mark.parametrize(
    "text", ["500", 500, 0.2, "rows", "-5 rows", "5 row s", "5 lines", "20 percent", "%", None, True]
)
def test_anything_else_is_refused_with_what_is_allowed(text: object) -> None:
    with pytest.raises(ValueError, match="a duration such as 14d, a number of rows such as 500 rows, or a share"):
        parse_amount(text)


@pytest.mark.parametrize("text", ["0%", "100%", "250%"])
def test_a_share_leaves_something_on_either_side(text: str) -> None:
    with pytest.raises(ValueError, match="above 0% and below 100%"):
        parse_amount(text)


def test_history_is_time_or_rows() -> None:
    assert (parse_history("28d"), parse_history("5000 rows")) == (timedelta(days=28), Rows(5000))
    for wrong in ("20%", "many", 5000):
        with pytest.raises(ValueError, match="a duration such as 28d, or a number of labelled rows such as 5000 rows"):
            parse_history(wrong)
    with pytest.raises(ValueError, match="at least 1 row"):
        parse_history("0 rows")


@given(st.one_of(
    st.integers(0, 10**6).map(lambda n: timedelta(seconds=n)), st.integers(1, 10**9).map(Rows),
    st.integers(1, 9999).map(lambda n: Portion(n / 10000)),
))  # fmt: skip
def test_what_is_written_is_read_again(amount: timedelta | Rows | Portion) -> None:
    again = parse_amount(format_amount(amount))
    assert again == amount or (isinstance(amount, Portion) and again.share == pytest.approx(amount.share))


def test_the_gap_is_the_labels_delay_unless_declared() -> None:
    def model(**split: str) -> Model:
        label = {"dataset": "trips", "column": "late", "delay": "2d"}
        return Model.model_validate({"name": "m", "task": "binary", "label": label, "request": ["x"], "split": split})

    assert (model().gap, model(gap="0s").gap, model(gap="3d").gap) == tuple(timedelta(days=n) for n in (2, 0, 3))
    assert model().kept_back == timedelta(days=2 + 14 + 2 + 7)
    assert model(test="500 rows", validation="20%").kept_back == timedelta(days=4)
    assert model(gap="3d", validation="20%").kept_back == timedelta(days=2 + 14 + 3)
