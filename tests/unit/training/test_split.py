from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from evergreen.errors import UserError
from evergreen.spec.model import Split
from evergreen.training.split import time_split


def test_parts_follow_each_other_in_time_and_share_no_row(frame_of, as_of):
    frame = frame_of()
    parts = time_split(frame, as_of_time=as_of, split=Split(), delay=timedelta(hours=6))
    events = np.array(frame.column("_event_time").to_pylist())
    assert events[parts.fit].max() < parts.validation_from <= events[parts.validation].min()
    assert events[parts.validation].max() < parts.test_from <= events[parts.test].min()
    assert events[parts.test].max() <= parts.test_through == as_of - timedelta(hours=6)
    assert parts.test_from == parts.test_through - timedelta(days=14)
    assert parts.trained_through == events[parts.validation].max()
    used = np.concatenate([parts.fit, parts.validation, parts.test])
    assert len(set(used)) == len(used) == frame.num_rows - parts.immature - parts.unlabelled
    assert parts.immature + parts.unlabelled > 0


def test_the_order_of_the_rows_does_not_matter(frame_of, as_of):
    frame = frame_of()
    shuffled = frame.take(np.random.default_rng(0).permutation(frame.num_rows))
    one = time_split(frame, as_of_time=as_of, split=Split())
    other = time_split(shuffled, as_of_time=as_of, split=Split())
    for part in ("fit", "validation", "test"):
        ids = [t.column("_row_id").take(getattr(p, part)).to_pylist() for t, p in ((frame, one), (shuffled, other))]
        assert ids[0] == ids[1]


def test_rows_without_a_label_known_at_as_of_are_left_out(frame_of, as_of):
    frame = frame_of()
    labels = [None if i % 10 == 0 else value for i, value in enumerate(frame.column("_label").to_pylist())]
    known = [
        as_of + timedelta(seconds=1) if i % 10 == 1 else value
        for i, value in enumerate(frame.column("_label_known_at").to_pylist())
    ]
    frame = frame.set_column(3, "_label", pa.array(labels, pa.bool_()))
    frame = frame.set_column(4, "_label_known_at", pa.array(known, pa.timestamp("us", tz="UTC")))
    parts = time_split(frame, as_of_time=as_of, split=Split())
    used = np.concatenate([parts.fit, parts.validation, parts.test])
    assert not (set(used % 10) & {0, 1})


def test_a_label_that_came_early_does_not_make_a_row_mature(frame_of, as_of):
    frame = frame_of()
    known_at_once = frame.set_column(4, "_label_known_at", frame.column("_event_time"))
    parts = time_split(known_at_once, as_of_time=as_of, split=Split(), delay=timedelta(days=2))
    assert parts.unlabelled == 0
    assert parts.immature == 39  # 20 rows a day, less the one that is exactly two days old
    assert parts.test_through == as_of - timedelta(days=2)


def test_the_window_cuts_old_rows_from_the_fit_part_only(frame_of, as_of):
    parts = time_split(frame_of(), as_of_time=as_of, split=Split(), window=timedelta(days=40))
    assert parts.fit_from == as_of - timedelta(days=40)
    assert parts.before_window == 400
    assert len(parts.test) == 276  # 14 days x 20 rows, less 4 of the last 6 hours, whose labels are unknown


@pytest.mark.parametrize("part", ["fit", "validation", "test"])
def test_too_few_rows_say_which_part_and_what_to_do(frame_of, as_of, part):
    frame = frame_of()
    age = [(as_of - event).total_seconds() / 86400 for event in frame.column("_event_time").to_pylist()]
    kept = {
        "fit": [days < 21 for days in age],
        "validation": [not 14 < days < 22 for days in age],
        "test": [days > 14 for days in age],
    }[part]
    with pytest.raises(UserError) as caught:
        time_split(frame.filter(pa.array(kept)), as_of_time=as_of, split=Split(), place="models/toy.yaml split")
    assert str(caught.value).startswith("models/toy.yaml split leaves ")
    assert f"in the {part} part (" in str(caught.value)
    assert "split.validation (1w) or split.test (2w)" in str(caught.value)
