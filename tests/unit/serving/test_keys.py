import pytest

from evergreen.errors import UserError
from evergreen.serving.keys import Keys


def test_a_key_is_remembered_as_a_hash_that_others_cannot_read(tmp_path):
    Keys(tmp_path, "s3cret-key")
    path = tmp_path / "keys.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "s3cret-key" not in path.read_text()
    again = Keys(tmp_path, "")
    assert again.knows("s3cret-key")
    assert not any(again.knows(other) for other in ("", "s3cret", "s3cret-key ", "é"))


def test_a_new_key_replaces_the_old_one(tmp_path):
    Keys(tmp_path, "old")
    (tmp_path / "keys.json").chmod(0o644)
    Keys(tmp_path, "new")
    assert [Keys(tmp_path, "").knows(key) for key in ("old", "new")] == [False, True]
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [None, "", "["])
def test_without_any_key_a_gateway_does_not_start(tmp_path, content):
    if content is not None:
        (tmp_path / "keys.json").write_text(content)
    with pytest.raises(UserError, match="EVERGREEN_GATEWAY_KEY must be set"):
        Keys(tmp_path, "")
