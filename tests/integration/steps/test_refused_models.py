"""A leaky, a constant, a one-class and a NaN model go through the real steps and are refused, each with its reason."""

from __future__ import annotations

import re
from typing import Any

import pytest
from drill_world import SECOND, World

from evergreen.store.decisions import Decisions
from evergreen.store.ledger import Ledger
from evergreen.store.requests import Requests

MODELS: dict[str, tuple[dict[str, Any], str]] = {
    "leaky": ({"request": ["load", "knows"]}, r"roc_auc 1 is at or above .*looks like a leak.* Most important: knows"),
    "constant": ({"request": ["flat"], "features": []}, r"The predictions are constant: 1 distinct value in \d+ rows"),
    "one class": ({"label": {"column": "never"}}, r"fitted on labels of one class only.*judged labels are of one"),
    "NaN": (
        {"task": "regression", "label": {"column": "huge"},
         "trainer": {"kind": "sklearn", "estimator": "sklearn.kernel_ridge.KernelRidge"}},
        r"\d+ of \d+ predictions are NaN or infinite \(0 allowed\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", MODELS)
def test_a_bad_model_is_refused_with_its_reason(world: World, kind: str) -> None:
    changes, reason = MODELS[kind]
    model = world.model(**changes)
    run = world.open(model, "train", SECOND, run_type="manual")
    results = run.steps("claim", "train", "evaluate", "register")
    (gate,) = Decisions(world.store).of(model, kind="gate")
    assert gate.verdict == "refuse"
    assert re.search(reason, " ".join(gate.reasons)), gate.reasons
    assert gate.reasons[0] in str(results["register"].skip)
    (request,) = Requests(world.store).of(model)
    assert request.state == "refused"
    assert Ledger(world.store).entries(model) == []
    assert "no candidate" in str(world.open(model, "deploy", SECOND).step("verify").skip)
