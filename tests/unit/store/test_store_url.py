"""A store refuses what is no PostgreSQL, and shows no password."""

import pytest

from evergreen.errors import TransientError, UserError
from evergreen.store.store import Store


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite:///x.db", "mysql://u:secret@h/d"])
def test_refuses_a_url_that_is_not_of_postgresql(url: str) -> None:
    with pytest.raises(UserError, match="EVERGREEN_STORE_URL") as caught:
        Store(url)
    assert "secret" not in str(caught.value)


def test_shows_no_password() -> None:
    assert "secret" not in repr(Store("postgresql://u:secret@h/d"))


def test_an_unreachable_database_is_a_transient_fault(tmp_path) -> None:
    store = Store(f"postgresql+psycopg2://u:secret@/d?host={tmp_path}")
    with pytest.raises(TransientError, match="database") as caught, store.transaction():
        pass
    assert "secret" not in str(caught.value)
