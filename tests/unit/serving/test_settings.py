import pytest

from evergreen.errors import UserError
from evergreen.settings import Settings


def test_the_bound_of_versions_in_memory_is_a_setting():
    assert Settings.from_env({}).gateway_versions_in_memory == 256
    assert Settings.from_env({"EVERGREEN_GATEWAY_VERSIONS_IN_MEMORY": "7"}).gateway_versions_in_memory == 7


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "1.5", "²"])
def test_a_bound_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="EVERGREEN_GATEWAY_VERSIONS_IN_MEMORY must be a whole number of versions"):
        Settings.from_env({"EVERGREEN_GATEWAY_VERSIONS_IN_MEMORY": text})


@pytest.mark.parametrize("text", ["0.5", "-1", "nan", "a month", ""])
def test_what_is_kept_for_less_than_a_day_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="EVERGREEN_KEEP_DAYS must be a number of days, at least 1"):
        Settings.from_env({"EVERGREEN_KEEP_DAYS": text})
    assert Settings.from_env({"EVERGREEN_KEEP_DAYS": "1"}).keep_days == 1
