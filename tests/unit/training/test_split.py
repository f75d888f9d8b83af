from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from evergreen.errors import DataError
from evergreen.spec.model import Split
from evergreen.training.fit import fit
from evergreen.training.fit import split as split_as
from evergreen.training.shortage import shortage_of
from evergreen.training.split import time_split


def test_parts_follow_each_other_in_time_and_share_no_row(frame_of, as_of):
    frame = frame_of()
    parts = time_split(frame, as_of_time=as_of, split=Split(), delay=timedelta(hours=6))
    events = np.array(frame.column("_event_time").to_pylist())
    assert events[parts.fit].max() < parts.validation_from <= events[parts.validation].min()
    assert events[parts.validation].max() <= parts.validation_through == parts.test_from - timedelta(hours=6)
    assert parts.test_from <= events[parts.test].min()
    assert events[parts.test].max() <= parts.test_through == as_of - timedelta(hours=6)
    assert parts.test_from == parts.test_through - timedelta(days=14)
    assert parts.trained_through == events[parts.validation].max()
    used = np.concatenate([parts.fit, parts.validation, parts.test])
    assert len(set(used)) == len(used) == frame.num_rows - parts.immature - parts.unlabelled - parts.in_gap
    assert parts.in_gap == 4  # 20 rows a day, those less than 6 hours before the test part
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


@pytest.mark.parametrize("gap", [timedelta(0), timedelta(minutes=72), timedelta(days=3), None])
def test_the_gap_lies_free_between_validation_and_test(frame_of, as_of, gap):
    frame, delay = frame_of(), timedelta(days=2)
    parts = time_split(frame, as_of_time=as_of, split=Split(), delay=delay, gap=gap)
    free = delay if gap is None else gap
    events = np.array(frame.column("_event_time").to_pylist())
    first = events[parts.test].min()
    assert first - parts.trained_through >= free
    assert first - parts.trained_through == max(free, timedelta(minutes=72)), "nothing more is left free"
    assert parts.validation_from == parts.test_from - free - timedelta(days=7)
    assert parts.in_gap == max(0, free // timedelta(minutes=72) - 1)


@pytest.mark.parametrize(
    ("split", "test", "validation"),
    [
        ({"test": "100 rows", "validation": "50 rows"}, 100, 50),
        ({"test": "20%", "validation": "10%"}, 232, 116),  # of 1,161 mature labelled rows
        ({"test": "14d", "validation": "50 rows"}, 281, 50),
        ({"test": "100 rows", "validation": "7d"}, 100, 140),
        ({"test": "9000 rows", "validation": "10%"}, 1161, 0),
    ],
)
def test_parts_are_given_in_time_rows_or_shares(frame_of, as_of, split, test, validation):
    frame = frame_of()
    parts = time_split(frame, as_of_time=as_of, split=Split(**split), delay=timedelta(days=2), gap=timedelta(0))
    assert (len(parts.test), len(parts.validation)) == (test, validation)
    assert len(parts.fit) == 1161 - test - validation
    assert parts.trained_through < parts.test_from or test == 1161


@pytest.mark.parametrize("split", [Split(test="30 rows", validation="30 rows"), Split(test="3%", validation="3%")])
def test_no_instant_is_in_two_parts(frame_of, as_of, split):
    frame = frame_of()
    days = [event.replace(hour=0, minute=0) for event in frame.column("_event_time").to_pylist()]
    frame = frame.set_column(1, "_event_time", pa.array(days, pa.timestamp("us", tz="UTC")))
    parts = time_split(frame, as_of_time=as_of, split=split, gap=timedelta(0))
    events = np.array(days)
    kept = [set(events[getattr(parts, part)]) for part in ("fit", "validation", "test")]
    assert not (kept[0] & kept[1] or kept[1] & kept[2])
    assert (len(parts.test), len(parts.validation)) == (36, 40)  # whole days of 20, less 4 whose labels are unknown


def cut(frame, model_of, as_of, **fields):
    model = model_of(**fields)
    parts = split_as(model, frame, as_of)
    return shortage_of(parts, model)


@pytest.mark.parametrize("part", ["fit", "validation", "test"])
def test_too_few_rows_are_a_verdict_that_says_which_part_and_what_to_do(frame_of, model_of, as_of, part):
    frame = frame_of()
    age = [(as_of - event).total_seconds() / 86400 for event in frame.column("_event_time").to_pylist()]
    kept = {
        "fit": [days < 21 for days in age],
        "validation": [not 14 < days < 22 for days in age],
        "test": [days > 14.3 for days in age],
    }[part]
    assert cut(frame, model_of, as_of) is None
    shortage = cut(frame.filter(pa.array(kept)), model_of, as_of)
    assert list(shortage.figures["needed"]) == [part]
    assert f"there are {shortage.figures['rows'][part]} labelled rows in the {part} part (" in shortage.reason
    assert "split.validation (1w) or split.test (2w)" in shortage.reason
    with pytest.raises(DataError, match=r"models/toy.yaml split must leave enough rows to train on, but there are"):
        fit(model_of(), frame.filter(pa.array(kept)), ["distance"], as_of_time=as_of)


def test_a_history_that_ended_names_its_newest_label(frame_of, model_of, as_of):
    shortage = cut(frame_of(), model_of, as_of + timedelta(days=400))
    assert "0 labelled rows in the validation part (2014-03-14" in shortage.reason
    assert "and 0 labelled rows in the test part" in shortage.reason
    assert "The newest label known is of 2013-02-28 22:48 UTC." in shortage.reason
    assert "Ask for a training as of a key soon after it" in shortage.reason
    assert shortage.figures["newest_label"] == "2013-02-28T22:48:00+00:00"


def test_what_waiting_will_not_mend_says_so(frame_of, model_of, as_of):
    shortage = cut(frame_of(), model_of, as_of, split={"validation": "6h"})
    assert "Labelled rows come 20 a day, so that split.validation (6h) holds about 5." in shortage.reason
    assert "Waiting will not change that" in shortage.reason


def test_what_was_left_out_is_told(frame_of, model_of, as_of):
    label = {"dataset": "toys", "column": "late", "delay": "30d"}
    shortage = cut(frame_of(), model_of, as_of, label=label, window="35d")
    assert "left out are 595 younger than label.delay (30d), 500 older than window (5w)" in shortage.reason
    assert "widen window" in shortage.reason


def test_no_label_at_all_is_a_verdict_too(frame_of, model_of, as_of):
    frame = frame_of()
    frame = frame.set_column(3, "_label", pa.nulls(frame.num_rows, pa.bool_()))
    shortage = cut(frame, model_of, as_of)
    assert "No label of its 1200 rows was known by then. Ask again when labels have come." in shortage.reason
    assert cut(frame.slice(0, 0), model_of, as_of).figures["rows"] == {"fit": 0, "validation": 0, "test": 0}
