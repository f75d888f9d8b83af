"""YAML of any kind is read or refused, and never ends the process."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evergreen.spec.source import parse

words = st.text("abcdefghij_", min_size=1, max_size=6).filter(lambda word: word not in ("null", "true", "false"))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text("ab :#-'\"\n{}[]0.eé", max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


@given(values, st.booleans())
def test_what_pyyaml_writes_is_read_back(value: object, flow: bool) -> None:
    source = parse(yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True))
    assert not source.problems
    assert source.data == value


@given(st.text(max_size=60) | st.text("{}[]-:?#&*!|>'\"%@` \n\tab01", max_size=60))
def test_any_text_gives_values_or_a_problem_with_its_line(text: str) -> None:
    source = parse(text)
    breaks = sum(text.count(each) for each in "\n\r\x85\u2028\u2029")  # what YAML calls the end of a line
    assert all(1 <= problem.line <= breaks + 2 for problem in source.problems)


@pytest.mark.parametrize("text", ["[" * 200_000, "- " * 100_000, "a: {" * 100_000, "? " * 100_000])
def test_deep_nesting_is_refused(text: str) -> None:
    assert len(parse(text).problems) == 1


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("NO", "NO"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("2013-01-01", "2013-01-01"),
        ("12:30", "12:30"),
        ("010", 10),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("1.", 1.0),
        ("0 0 * * *", "0 0 * * *"),
        ("~", None),
        ("'1'", "1"),
        ('"null"', "null"),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(word: str, value: object) -> None:
    read = parse(f"key: {word}").data["key"]
    assert (type(read), read) == (type(value), value)


def test_every_value_has_its_line() -> None:
    source = parse("# top\na:\n  b: 1\n  c:\n    - x\n    - d: [1,\n         2]\n")
    assert source.line_of(("a", "c", 1, "d", 1)) == 7
    assert source.line_of(("a", "c", 1)) == 6
    assert source.line_of(("a", "missing")) == 2
    assert source.line_of(("missing",)) == 2
