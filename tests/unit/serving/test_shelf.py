"""Versions in memory: a bound, the least asked goes first, and threads that do not grow with their number."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from evergreen.errors import DataError
from evergreen.serving.copies import Copies
from evergreen.serving.served import Served
from evergreen.serving.shelf import Shelf


@pytest.fixture
def copies(tmp_path, lake, frozen):
    """Local copies of eight versions, by digest."""
    copies = Copies(tmp_path / "bundles")
    digests = [frozen(1, sql=f"select {number} as hour, 0 as zero from request") for number in range(8)]
    for digest in digests:
        copies.fetch(digest, lake)
    copies.digests = digests
    return copies


@pytest.fixture
def loads(monkeypatch):
    """Names of the folders that were loaded, in order."""
    seen, load = [], Served.load

    def counted(folder, sessions=None):
        seen.append(folder.name)
        return load(folder, sessions)

    monkeypatch.setattr(Served, "load", counted)
    return seen


def test_what_was_asked_last_stays_and_the_rest_is_loaded_when_it_is_asked(copies, loads):
    shelf, (a, b, c, *_) = Shelf(copies, room=2), copies.digests
    first = shelf.take(a)
    shelf.take(b)
    assert shelf.take(a) is first
    shelf.take(c)
    assert len(shelf) == 2 and loads == [a, b, c]
    assert shelf.take(a) is first and loads == [a, b, c]
    shelf.take(b)
    assert loads == [a, b, c, b]
    assert all(shelf.is_proven(digest) for digest in (a, b, c)), "what went from memory was loaded all the same"


def test_a_version_is_proven_once_and_kept_while_there_is_room(copies, loads):
    shelf, digests = Shelf(copies, room=3), copies.digests
    for _ in range(2):
        for digest in digests:
            shelf.prove(digest, None, keep=False)
    assert loads == digests and len(shelf) == 3
    shelf.prove(digests[7], None, keep=True)
    assert len(shelf) == 3 and loads == [*digests, digests[7]]
    shelf.take(digests[7])
    assert loads == [*digests, digests[7]]


def test_many_who_ask_for_a_version_at_once_load_it_once(copies, loads):
    shelf, digest = Shelf(copies, room=2), copies.digests[0]
    found: list[Served] = []
    threads = [threading.Thread(target=lambda: found.append(shelf.take(digest))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(each) for each in found}) == 1 and loads == [digest]


def test_a_copy_that_rots_after_it_was_proven_is_proven_no_more_until_it_is_fetched(copies, lake):
    shelf, (a, b, *_) = Shelf(copies, room=1), copies.digests
    shelf.take(a)
    shelf.take(b)
    next(copies.path(a).rglob("model.txt")).write_text("rotten")
    with pytest.raises(DataError, match="must be as it was written"):
        shelf.take(a)
    assert not shelf.is_proven(a)
    with pytest.raises(DataError):
        shelf.prove(a, None, keep=True)
    shelf.prove(a, lake, keep=True)
    assert shelf.is_proven(a) and shelf.take(a) is not None


def test_a_version_whose_copy_was_tidied_away_is_fetched_before_it_counts_as_proven(copies, lake):
    shelf, a = Shelf(copies, room=1), copies.digests[0]
    shelf.take(a)
    shutil.rmtree(copies.path(a))
    shelf.prove(a, lake, keep=True)
    assert copies.path(a).is_dir()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux shows them")
def test_threads_do_not_grow_with_the_versions_in_memory(copies, row):
    from datetime import UTC, datetime

    shelf = Shelf(copies, room=8)
    now = datetime(2013, 2, 3, tzinfo=UTC)
    counts = []
    for digest in copies.digests:
        served = shelf.take(digest)
        served.predict(served.frame([row], now))
        counts.append(len(os.listdir("/proc/self/task")))
    assert len(shelf) == 8
    assert counts[-1] == counts[0]
