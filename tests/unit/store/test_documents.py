"""Documents are made plain: what is stored reads back equal and hashes alike."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evergreen.store.documents import canonical, dumps, plain

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_a_document_that_went_through_json_has_the_same_canonical_text(document: object) -> None:
    assert canonical(json.loads(dumps(document))) == canonical(document)


def test_what_json_lacks_becomes_what_it_has() -> None:
    moment = datetime(2013, 2, 1, tzinfo=UTC)
    got = plain({"nan": float("nan"), "inf": float("-inf"), 1: (1, 2), "at": moment, "lead": timedelta(hours=2)})
    assert got == {"nan": None, "inf": None, "1": [1, 2], "at": "2013-02-01T00:00:00+00:00", "lead": 7200.0}


def test_numpy_scalars_become_pythons() -> None:
    numpy = pytest.importorskip("numpy")
    assert (
        dumps([numpy.float64(0.5), numpy.int64(3), numpy.float32("nan"), numpy.bool_(True)]) == "[0.5, 3, null, true]"
    )


def test_objects_have_no_place_in_a_document() -> None:
    with pytest.raises(TypeError, match="got object"):
        plain({"table": object()})
