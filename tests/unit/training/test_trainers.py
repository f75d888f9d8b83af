"""The contract that every trainer keeps, and what each library refuses."""

import numpy as np
import pytest

from evergreen.errors import UserError
from evergreen.training import bundle
from evergreen.training.fit import fit

TRAINERS = {
    "lightgbm": {"kind": "lightgbm", "rounds": 40},
    "linear": {"kind": "sklearn", "estimator": "sklearn.linear_model.{linear}"},
    "forest": {"kind": "sklearn", "estimator": "sklearn.ensemble.RandomForest{kind}", "params": {"n_estimators": 20}},
    "boosting": {
        "kind": "sklearn", "estimator": "sklearn.ensemble.HistGradientBoosting{kind}", "params": {"max_iter": 20},
    },
}  # fmt: skip


def trainer_section(name, task):
    section = dict(TRAINERS[name])
    if "estimator" in section:
        kind = "Regressor" if task == "regression" else "Classifier"
        linear = "Ridge" if task == "regression" else "LogisticRegression"
        section["estimator"] = section["estimator"].format(kind=kind, linear=linear)
    return section


@pytest.fixture(params=list(TRAINERS))
def trainer(request):
    return request.param


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_predictions_have_the_shape_of_the_task_and_beat_a_guess(trainer, task, frame_of, model_of, as_of, features):
    frame = frame_of(task=task)
    fitted = fit(model_of(task, trainer=trainer_section(trainer, task)), frame, features, as_of_time=as_of)
    test = frame.take(fitted.parts.test)
    predicted = fitted.predict(test)
    labels = np.array(test.column("_label").to_pylist())
    if task == "multiclass":
        assert predicted.shape == (len(labels), 3)
        np.testing.assert_allclose(predicted.sum(axis=1), 1)
        right = (np.array(fitted.classes)[predicted.argmax(axis=1)] == labels).mean()
        assert right > 1.2 * max(fitted.labels.shares)
    elif task == "binary":
        assert predicted.shape == (len(labels),)
        assert predicted[labels].mean() > predicted[~labels].mean() + 0.2
    else:
        assert np.abs(predicted - labels).mean() < 0.8 * np.abs(fitted.labels.median - labels).mean()
    assert fitted.predict(test.slice(0, 0)).shape == predicted[:0].shape


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_bundle_predicts_exactly_as_the_judged_model(trainer, task, frame_of, model_of, as_of, features, tmp_path):
    frame = frame_of(task=task)
    fitted = fit(model_of(task, trainer=trainer_section(trainer, task)), frame, features, as_of_time=as_of)
    test = frame.take(fitted.parts.test)
    bundle.save(tmp_path / "bundle", fitted, model="toy", training_id="t1", golden=test)
    loaded = bundle.load(tmp_path / "bundle")
    np.testing.assert_allclose(loaded.predict(test), fitted.predict(test), rtol=1e-12)
    assert loaded.golden_difference() < 1e-12


def test_the_same_seed_threads_and_rows_give_the_same_predictions(trainer, frame_of, model_of, as_of, features):
    frame, model = frame_of(), model_of(trainer=trainer_section(trainer, "binary"))
    one, other = (fit(model, frame, features, as_of_time=as_of) for _ in range(2))
    np.testing.assert_array_equal(one.predict(frame), other.predict(frame))
    assert (one.seed, one.threads) == (7, 2)


def test_one_class_gives_a_constant_for_the_gate_to_refuse(trainer, frame_of, model_of, as_of, features):
    import pyarrow as pa

    frame = frame_of()
    frame = frame.set_column(3, "_label", pa.array([False] * frame.num_rows))
    fitted = fit(model_of(trainer=trainer_section(trainer, "binary")), frame, features, as_of_time=as_of)
    assert len(np.unique(fitted.predict(frame))) == 1
    assert fitted.labels.classes_seen == 1


def test_importance_names_the_features_that_matter(trainer, frame_of, model_of, as_of, features):
    if trainer == "boosting":
        pytest.skip("scikit-learn's HistGradientBoosting has no importance")
    fitted = fit(model_of(trainer=trainer_section(trainer, "binary")), frame_of(), features, as_of_time=as_of)
    assert sum(share for _, share in fitted.importance) == pytest.approx(1)
    assert {name for name, _ in fitted.importance} == set(features)
    assert {name for name, _ in fitted.importance[:2]} <= {"distance", "carrier", "seen_at"}


def test_nothing_of_the_test_part_is_learnt(trainer, frame_of, model_of, as_of, features):
    import pyarrow as pa
    import pyarrow.compute as pc

    frame, model = frame_of(), model_of(trainer=trainer_section(trainer, "binary"))
    before = fit(model, frame, features, as_of_time=as_of)
    in_test = np.zeros(frame.num_rows, bool)
    in_test[before.parts.test] = True
    changed = pc.if_else(pa.array(in_test), "only_in_test", frame.column("carrier"))
    flipped = pc.if_else(pa.array(in_test), True, frame.column("_label"))
    other = frame.set_column(frame.schema.get_field_index("carrier"), "carrier", changed).set_column(
        3, "_label", flipped
    )
    after = fit(model, other, features, as_of_time=as_of)
    assert after.encoder == before.encoder
    np.testing.assert_array_equal(before.predict(frame), after.predict(frame))


def test_lightgbm_stops_early_and_records_its_curve(frame_of, model_of, as_of, features):
    model = model_of(trainer={"kind": "lightgbm", "rounds": 500, "early_stopping_rounds": 10})
    fitted = fit(model, frame_of(), features, as_of_time=as_of)
    assert 1 <= fitted.best_iteration < 490
    auc = fitted.curves["validation_auc"]
    assert len(auc) == fitted.best_iteration + 10
    assert int(np.argmax(auc)) == fitted.best_iteration - 1
    assert fitted.estimator.native.num_trees() == fitted.best_iteration
    assert fitted.params["seed"] == 7 and fitted.params["deterministic"] is True


REGRESSION = {
    "lightgbm": ({"kind": "lightgbm", "rounds": 5}, "objective", "regression", "regression_l1"),
    "hist": (
        {"kind": "sklearn", "estimator": "sklearn.ensemble.HistGradientBoostingRegressor"},
        "loss", "squared_error", "absolute_error",
    ),
    "boosting": (
        {"kind": "sklearn", "estimator": "sklearn.ensemble.GradientBoostingRegressor"},
        "loss", "squared_error", "absolute_error",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REGRESSION)
def test_the_objective_follows_the_gates_metric_unless_declared(kind, frame_of, model_of, as_of, features):
    section, param, squared, absolute = REGRESSION[kind]
    frame = frame_of(task="regression")

    def learnt(metric, **params):
        gate = {} if metric is None else {"metric": metric}
        model = model_of("regression", trainer={**section, "params": params}, gate=gate)
        return fit(model, frame, features, as_of_time=as_of).params[param]

    assert learnt(None) == learnt("mean_absolute_error") == absolute
    assert learnt("root_mean_squared_error") == learnt("r2") == squared
    assert learnt("mean_absolute_error", **{param: squared}) == squared
    assert learnt("r2", **{param: absolute}) == absolute


def test_a_skewed_label_that_is_judged_by_absolute_error_is_learnt_by_it(frame_of, model_of, as_of, features):
    import pyarrow as pa

    frame = frame_of(task="regression")
    skewed = np.exp(np.array(frame.column("_label").to_pylist()) / 2 - 3)
    frame = frame.set_column(3, "_label", pa.array(skewed))
    errors = {}
    for name, params in (("followed", {}), ("declared", {"objective": "regression"})):
        fitted = fit(model_of("regression", trainer={"params": params}), frame, features, as_of_time=as_of)
        test = fitted.parts.test
        errors[name] = np.abs(fitted.predict(frame.take(test)) - skewed[test]).mean()
    assert errors["followed"] < errors["declared"]


def lightgbm(**params):
    return {"kind": "lightgbm", "params": params}


def sklearn(path, **params):
    return {"kind": "sklearn", "estimator": f"sklearn.{path}", "params": params}


LOGISTIC = "linear_model.LogisticRegression"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (lightgbm(num_leafs=3), "params.num_leafs must be a parameter of LightGBM.*Write num_lea"),
        (lightgbm(n_jobs=3), "params.n_jobs must not be set there.*trainer.threads"),
        (lightgbm(objective="lambdarank"), "params.objective must be one of binary"),
        (lightgbm(input_model="/etc/passwd"), "params.input_model must not be set"),
        (lightgbm(learning_rate="fast"), "params must be parameters that LightGBM accepts"),
        (lightgbm(num_leaves=1), "params must be parameters that LightGBM accepts"),
        (sklearn("linear_model.Nothing"), "estimator must be a class of scikit-learn"),
        (sklearn("nowhere.Nothing"), "estimator must be a class of scikit-learn"),
        (sklearn("linear_model.Ridge"), "estimator must be a classifier since"),
        (sklearn("preprocessing.StandardScaler"), "estimator must be a classifier"),
        (sklearn("svm.LinearSVC"), "estimator must give probabilities"),
        (sklearn(LOGISTIC, c=1), "params must be parameters of LogisticRegression.*It takes"),
        (sklearn(LOGISTIC, C=-1), "params must be parameters that"),
        (sklearn(LOGISTIC, random_state=1), "Write trainer.seed"),
    ],
)
def test_wrong_parameters_name_the_field_of_the_models_file(section, words, frame_of, model_of, as_of, features):
    with pytest.raises(UserError, match=words) as caught:
        fit(model_of(trainer=section), frame_of(), features, as_of_time=as_of)
    assert str(caught.value).startswith("models/toy.yaml trainer.")
