"""What means true or false, for files and for requests alike."""

import pytest

from evergreen.spec.truth import read_bool


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "True", "TRUE", " yes ", "y", "T", "on", "1", "1.0", "1."])
def test_true(value):
    assert read_bool(value) is True


@pytest.mark.parametrize("value", [False, 0, 0.0, -0.0, "false", "False", "FALSE", "no", "N", "f", "Off", "0", "0.00"])
def test_false(value):
    assert read_bool(value) is False


@pytest.mark.parametrize(
    "value", ["", "2", "01", "+1", "-1", "0.5", "1e0", "ja", "yess", "none", 2, -1, 0.5, float("nan"), None, [], "١"]
)
def test_neither(value):
    assert read_bool(value) is None
