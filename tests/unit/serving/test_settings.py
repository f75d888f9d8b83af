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
