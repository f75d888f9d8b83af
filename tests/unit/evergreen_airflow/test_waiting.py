from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from evergreen_airflow.waiting import LONGEST, SHORTEST, next_pause

HOUR = timedelta(hours=1)


def test_pauses_grow_with_the_wait_within_bounds() -> None:
    assert next_pause(timedelta(0), HOUR) == SHORTEST
    assert next_pause(timedelta(minutes=10), HOUR) == timedelta(minutes=1)
    assert next_pause(timedelta(hours=10), 20 * HOUR) == LONGEST


def test_last_look_is_at_the_timeout_and_then_it_gives_up() -> None:
    assert next_pause(HOUR - timedelta(seconds=2), HOUR) == timedelta(seconds=2)
    assert next_pause(HOUR, HOUR) is None
    assert next_pause(timedelta(0), timedelta(0)) is None


@given(st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=3)))
def test_a_wait_always_ends(timeout: timedelta) -> None:
    waited, looks = timedelta(0), 0
    while (pause := next_pause(waited, timeout)) is not None:
        waited += pause
        looks += 1
    assert waited == timeout
    assert looks < 1000
