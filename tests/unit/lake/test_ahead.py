"""A series that is made ahead is the same series, ends like it, and lets go of its maker."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from evergreen.lake.ahead import ahead


def counting(made: list[int], end: int = 100, fault: Exception | None = None) -> Iterator[int]:
    for number in range(end):
        made.append(number)
        yield number
    if fault is not None:
        raise fault


def test_it_gives_what_the_series_gives_one_item_ahead():
    made: list[int] = []
    with ahead(counting(made)) as items:
        assert next(items) == 0
        assert len(made) <= 4
        assert list(items) == list(range(1, 100))


def test_a_fault_is_raised_where_the_item_is_asked_for():
    with ahead(counting([], 3, ValueError("broken"))) as items:
        assert [next(items) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="broken"):
            next(items)


def test_who_leaves_early_leaves_no_thread_behind():
    made: list[int] = []
    with pytest.raises(KeyError), ahead(counting(made)) as items:
        next(items)
        raise KeyError
    assert len(made) < 10
    assert not [each for each in threading.enumerate() if each.name == "evergreen-ahead"]
