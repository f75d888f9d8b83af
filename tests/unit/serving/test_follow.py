import time

import pytest

from evergreen.errors import TransientError
from evergreen.serving.follow import Follower
from evergreen.serving.routes import Route, Routes
from evergreen.store.store import Store

NOBODY = "postgresql+psycopg2://a:b@127.0.0.1:1/c"


def test_without_a_store_a_broken_local_copy_is_still_mended(tmp_path, lake, frozen):
    route = Route("toy", 1, 1, frozen(1))
    Routes(tmp_path / "gateway").apply(route, lake)
    next((tmp_path / "gateway" / "bundles").rglob("model.txt")).write_text("rotten")
    routes = Routes(tmp_path / "gateway")
    routes.restore()
    assert routes.target("toy").answers is None
    follower = Follower(Store(NOBODY), lake, routes, instance="i", url="u")
    with pytest.raises(TransientError):
        follower.follow()
    assert routes.target("toy").answers == 1 and routes.target("toy").champion is not None


def test_without_a_store_the_thread_goes_on_and_ends_when_asked(tmp_path, lake):
    follower = Follower(Store(NOBODY), lake, Routes(tmp_path / "gateway"), instance="i", url="u", poll_seconds=0.01)
    follower.start()
    began = time.monotonic()
    follower.ask_to_stop()
    follower.finish(20)
    assert not follower.is_alive()
    assert time.monotonic() - began < 20
    assert follower.last_seen is None
