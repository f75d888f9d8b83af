"""The gate by table: one case per way in which a candidate passes or does not."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from evergreen.evaluation.bootstrap import Interval
from evergreen.evaluation.gate import GateInputs, PredictionFacts, Rival, decide
from evergreen.evaluation.metrics import Scores
from evergreen.spec.model import Gate


def auc(value):
    return Scores({"roc_auc": value, "accuracy": 0.8})


GOOD = GateInputs(
    model="flights_late", task="binary", metric="roc_auc", gate=Gate(), n_rows=1000,
    judged_from=datetime(2013, 1, 1, tzinfo=UTC), judged_through=datetime(2013, 1, 14, tzinfo=UTC),
    label_classes=2, fitted_classes=2, candidate=auc(0.73), facts=PredictionFacts(1000, 0, 950, 0.9),
    baseline=Rival(0, auc(0.5)), importance=[("hour", 0.4), ("carrier", 0.3)],
)  # fmt: skip
GOOD_ERROR = replace(
    GOOD, task="regression", metric="mean_absolute_error", label_classes=None, fitted_classes=None,
    candidate=Scores({"mean_absolute_error": 80.0, "r2": 0.6}),
    baseline=Rival(0, Scores({"mean_absolute_error": 150.0, "r2": -0.01})),
)  # fmt: skip


def errors(value, r2=0.6):
    return Scores({"mean_absolute_error": value, "r2": r2})


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({}, "accept", "roc_auc 0.73 on 1000 rows, better than the naive guess's 0.5; there is no champion"),
        ({"n_rows": 199}, "cannot_judge", "199 labelled rows to judge on are fewer than gate.min_rows 200"),
        ({"facts": PredictionFacts(1000, 3, 950, 0.9)}, "refuse", "3 of 1000 predictions are NaN or infinite"),
        ({"facts": PredictionFacts(1000, 0, 1, 0.0)}, "refuse", "predictions are constant"),
        ({"label_classes": 1, "candidate": auc(None)}, "cannot_judge", "All 1000 judged labels are of one class"),
        ({"candidate": auc(0.9995)}, "refuse", "roc_auc 0.9995 is at or above 0.999: this looks like a leak"),
        ({"candidate": auc(0.992)}, "accept", "roc_auc 0.992"),
        (
            {"candidate": auc(0.992), "importance": [("dep_delay", 0.95), ("hour", 0.01)]},
            "refuse",
            "Most important: dep_delay (95% of the importance). Remove the feature, or",
        ),
        ({"gate": Gate(suspicious={"max": 0.7})}, "refuse", "roc_auc 0.73 is at or above gate.suspicious.max 0.7"),
        ({"candidate": auc(0.9995), "gate": Gate(suspicious={"max": 1.1})}, "accept", "roc_auc 0.9995"),
        ({"gate": Gate(floors={"roc_auc": {"min": 0.75}})}, "refuse", "0.73 is below gate.floors.roc_auc.min 0.75"),
        ({"gate": Gate(floors={"brier": {"max": 0.2}})}, "refuse", "brier cannot be held against gate.floors.brier"),
        ({"candidate": auc(0.5)}, "refuse", "roc_auc 0.5 is not better than the naive guess's 0.5"),
        ({"champions": [Rival(4, auc(0.74))]}, "refuse", "roc_auc 0.73 is worse than version 4's 0.74"),
        ({"champions": [Rival(4, auc(0.73))]}, "accept", "against 0.73 of version 4"),
        ({"champions": [Rival(4, auc(0.74))], "gate": Gate(tolerance=0.02)}, "accept", "gate.tolerance 0.02"),
        ({"champions": [Rival(4, auc(None)), Rival(3, auc(0.7))]}, "accept", "of version 3"),
        ({"candidate": Scores({"roc_auc": None}, {"roc_auc": "so"})}, "cannot_judge", "cannot be computed: so"),
    ],
)  # fmt: skip
def test_each_case_of_a_classifier(change, verdict, words):
    decision = decide(replace(GOOD, **change))
    assert (decision.verdict, words in " ".join(decision.reasons)) == (verdict, True), decision.reasons


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({}, "accept", "mean_absolute_error 80 on 1000 rows"),
        ({"candidate": errors(80, 0.996)}, "refuse", "r2 0.996 is at or above 0.995"),
        ({"candidate": errors(7)}, "refuse", "mean_absolute_error 7 is at or below 5% of the naive guess's 150"),
        ({"candidate": errors(9, 0.985), "importance": [("registered", 0.96)]}, "refuse", "registered (96%"),
        ({"gate": Gate(suspicious={"min": 85})}, "refuse", "is at or below gate.suspicious.min 85"),
        ({"gate": Gate(floors={"mean_absolute_error": {"max": 70}})}, "refuse", "is above gate.floors"),
        ({"candidate": errors(151)}, "refuse", "not better than the naive guess"),
        ({"champions": [Rival(2, errors(79))]}, "refuse", "worse than version 2's 79"),
        ({"champions": [Rival(2, errors(79))], "gate": Gate(tolerance=0.02)}, "accept", "against 79 of version 2"),
    ],
)
def test_each_case_of_a_regression(change, verdict, words):
    decision = decide(replace(GOOD_ERROR, **change))
    assert (decision.verdict, words in " ".join(decision.reasons)) == (verdict, True), decision.reasons


def test_small_losses_do_not_add_up_over_remembered_champions():
    champions = [Rival(5, auc(0.72)), Rival(4, auc(0.729)), Rival(3, auc(0.74)), Rival(2, auc(0.9))]
    decision = decide(replace(GOOD, champions=champions, gate=Gate(tolerance=0.01)))
    assert decision.verdict == "refuse"
    assert "version 3's 0.74, the best of the last 3 champion(s)" in decision.reasons[0]
    assert decision.figures["best_champion"] == {"version": 3, "value": 0.74}


def test_all_that_speaks_against_a_candidate_is_said():
    change = {"candidate": auc(0.4), "champions": [Rival(1, auc(0.7))], "gate": Gate(floors={"roc_auc": {"min": 0.6}})}
    decision = decide(replace(GOOD, **change))
    assert [
        word in reason for word, reason in zip(("floors", "naive", "version 1"), decision.reasons, strict=True)
    ] == [True] * 3


def test_a_model_of_one_class_is_refused_as_constant_and_says_what_it_learnt_from():
    decision = decide(replace(GOOD, fitted_classes=1, facts=PredictionFacts(1000, 0, 1, 0), candidate=auc(0.5)))
    assert decision.verdict == "refuse"
    assert "fitted on labels of one class only" in decision.reasons[1]


def test_reasons_carry_the_interval_and_figures_are_json():
    import json

    decision = decide(replace(GOOD, champions=[Rival(4, auc(0.74), Interval(-0.02, 0.001, 0.97, 200))]))
    assert "Gain between -0.02 and +0.001 (95 % interval)" in decision.reasons[0]
    assert json.loads(json.dumps(decision.figures))["champions"][0]["gain"]["low"] == -0.02
