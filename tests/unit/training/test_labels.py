import numpy as np
import pyarrow as pa
import pytest

from evergreen.errors import DataError
from evergreen.training.labels import LabelSummary, classes_of, encode_labels, summarize


@pytest.mark.parametrize("labels", [[True, False, True], [1, 0, 1], [1.0, 0.0, 1.0]])
def test_binary_labels_become_zero_and_one(labels):
    column = pa.chunked_array([labels])
    np.testing.assert_array_equal(encode_labels("binary", column, classes_of("binary", column)), [1, 0, 1])


def test_classes_become_their_position_and_unknown_ones_minus_one():
    column = pa.chunked_array([["b", "a", "b"]])
    classes = classes_of("multiclass", column)
    assert classes == ["a", "b"]
    np.testing.assert_array_equal(encode_labels("multiclass", pa.chunked_array([["a", "z", "b"]]), classes), [0, -1, 1])


@pytest.mark.parametrize(
    ("task", "labels", "words"),
    [
        ("binary", ["yes", "no"], "must be true/false or 0/1 since the task is binary"),
        ("binary", [0, 2], "must hold only 0 or 1"),
        ("regression", ["1"], "must be a number"),
        ("regression", [1.0, float("inf")], "must hold only finite numbers"),
    ],
)
def test_labels_that_do_not_fit_the_task_are_refused(task, labels, words):
    with pytest.raises(DataError, match=words):
        encode_labels(task, pa.chunked_array([labels]), [0, 1])


def test_the_summary_knows_base_rate_and_shares_and_survives_json():
    binary = summarize("binary", np.array([1.0, 0, 0, 0]), [0, 1])
    assert (binary.mean, binary.shares, binary.classes_seen) == (0.25, (0.75, 0.25), 2)
    multi = summarize("multiclass", np.array([0.0, 2, 2, 0]), ["a", "b", "c"])
    assert (multi.shares, multi.classes_seen) == ((0.5, 0.0, 0.5), 2)
    assert LabelSummary.from_dict(multi.to_dict()) == multi
    assert summarize("regression", np.array([1.0, 2, 9]), []).median == 2
