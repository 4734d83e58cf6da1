"""The estimators: checks of scikit-learn, pipelines, searches, and the figures they give."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_clusterer, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

import tfbdl
from tfbdl.sklearn import BayesianClassifier, BayesianRegressor, Estimator

QUICK = {
    "model_options": {"hidden": (4,)},
    "engine_options": {"epochs": 2, "batch_size": 64, "learning_rate": 0.05},
}
CHECKS = (  # those of scikit-learn that do not fit
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_no_attributes_set_in_init",
    "check_estimators_unfitted",
)


def line(rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """y = 3 + 2 x + noise of standard deviation 0.5."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (rows, 1))
    return x, 3 + 2 * x[:, 0] + 0.5 * rng.normal(size=rows)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("estimator", [BayesianRegressor(**QUICK), BayesianClassifier(**QUICK)])
def test_estimator_passes_a_check_of_sklearn(estimator: Any, check: str) -> None:
    getattr(estimator_checks, check)(type(estimator).__name__, clone(estimator))


@pytest.mark.slow
def test_regressor_recovers_a_line_and_its_noise() -> None:
    x, y = line()
    regressor = BayesianRegressor(
        model_options={"hidden": ()},
        engine_options={"epochs": 1000, "batch_size": 200, "learning_rate": 0.05},
        seed=1,
    ).fit(x, y)
    mean, std = regressor.predict([[-1.0], [1.0]], return_std=True)
    # least squares on 200 rows: standard error of a fitted value below 0.06; sd to 5 percent
    assert mean == pytest.approx([1.0, 5.0], abs=0.2)
    assert std == pytest.approx([0.5, 0.5], abs=0.1)
    assert regressor.score(x, y) > 0.9  # the truth explains 1 - 0.25 / (0.25 + 16 / 3) = 0.955
    assert regressor.predict(x).shape == (200,)
    assert isinstance(regressor.fit_, tfbdl.Fit)
    with pytest.raises(ValueError, match="expecting 1 features"):
        regressor.predict(np.ones((2, 3)))


def test_classifier_keeps_labels_and_gives_probabilities() -> None:
    rng = np.random.default_rng(1)
    y = np.array(["left", "right"])[rng.integers(0, 2, 100)]
    x = np.where(y == "left", -2.0, 2.0)[:, np.newaxis] + 0.3 * rng.normal(size=(100, 1))
    classifier = BayesianClassifier(
        model_options={"hidden": ()},
        engine_options={"epochs": 100, "batch_size": 100, "learning_rate": 0.1},
    ).fit(x, y)
    probs = classifier.predict_proba(x)
    assert list(classifier.classes_) == ["left", "right"]
    assert probs.shape == (100, 2)
    assert probs.sum(axis=1) == pytest.approx(np.ones(100))
    assert classifier.score(x, y) == 1.0  # the classes lie thirteen standard deviations apart
    assert set(classifier.predict(x)) == {"left", "right"}


@pytest.mark.slow
def test_classifier_with_one_logit_gives_both_probabilities() -> None:
    y = np.arange(100) % 2
    x = np.where(y == 0, -2.0, 2.0)[:, np.newaxis]
    classifier = BayesianClassifier(
        model_options={"hidden": (), "likelihood": "bernoulli"},
        engine_options={"epochs": 100, "batch_size": 100, "learning_rate": 0.1},
    ).fit(x, np.array(["left", "right"])[y])
    probs = classifier.predict_proba(x)
    assert probs.shape == (100, 2)
    assert probs.sum(axis=1) == pytest.approx(np.ones(100))
    assert list(classifier.predict(x)[:2]) == ["left", "right"]
    assert probs[0, 0] > 0.9 > 0.1 > probs[0, 1]  # four units apart, without noise


@pytest.mark.slow
def test_pipeline_in_a_grid_search_prefers_the_model_that_can_learn() -> None:
    x, y = line(60)
    pipeline = make_pipeline(StandardScaler(), BayesianRegressor(model_options={"hidden": ()}))
    half = np.arange(60) % 2 == 0
    grid = {
        "bayesianregressor__engine_options": [
            {"epochs": 1, "learning_rate": 1e-6},
            {"epochs": 150, "batch_size": 64, "learning_rate": 0.05},
        ]
    }
    cv = [(np.flatnonzero(half), np.flatnonzero(~half))]
    search = GridSearchCV(pipeline, grid, cv=cv, refit=False).fit(x, y)
    assert search.best_index_ == 1
    assert search.best_score_ > 0.8


@pytest.mark.slow
def test_clone_keeps_the_arguments_and_forgets_the_fit() -> None:
    x, y = line(20)
    first = BayesianRegressor(prior="normal", prior_options={"scale": 2.0}, seed=7, **QUICK)
    second = clone(first.fit(x, y))
    assert second.get_params() == first.get_params()
    with pytest.raises(NotFittedError, match="not fitted yet"):
        second.predict(x)


@pytest.mark.parametrize("estimator", [BayesianRegressor(), BayesianClassifier()])
def test_estimator_refuses_nan_before_fitting(estimator: Any) -> None:
    with pytest.raises(ValueError, match="Input X contains NaN"):
        estimator.fit([[0.0], [np.nan]], [0, 1])


def test_classifier_refuses_one_class() -> None:
    with pytest.raises(
        tfbdl.errors.DataError, match=r"two classes at least. Received: one class, 'a'"
    ):
        BayesianClassifier(**QUICK).fit([[0.0], [1.0]], np.array(["a", "a"], dtype=object))


# -- Estimator ---------------------------------------------------------------------------------


def check_whole(estimator: Estimator) -> None:
    """All checks of scikit-learn; constant and exact targets of theirs make the model warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = estimator_checks.check_estimator(estimator, on_fail=None, on_skip=None)
    failed = {c["check_name"]: repr(c["exception"]) for c in found if c["status"] == "failed"}
    assert len(found) > 40
    assert failed == {}


def test_regressor_passes_all_checks_of_sklearn() -> None:
    check_whole(Estimator("linear"))


@pytest.mark.slow
def test_classifier_passes_all_checks_of_sklearn() -> None:
    check_whole(Estimator("logistic"))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.timeout(1200)
def test_network_passes_all_checks_of_sklearn(task: str) -> None:
    options = {"epochs": 40, "batch_size": 128, "learning_rate": 0.1}
    check_whole(
        Estimator(
            "bbb",
            task=task,
            model_options={"hidden": ()},
            engine_options=options,
            draws=20,
        )
    )


def test_task_is_known_before_the_fit() -> None:
    assert is_regressor(Estimator("bbb"))  # which takes classes too
    assert is_classifier(Estimator("bbb", task="classification"))
    assert is_regressor(BayesianRegressor())
    assert is_classifier(BayesianClassifier())
    assert is_regressor(Estimator("linear"))
    assert is_classifier(Estimator("logistic"))
    assert is_clusterer(Estimator("gmm", task="clustering"))
    assert not is_clusterer(Estimator("rbm"))
    assert hasattr(Estimator("rbm"), "transform")
    assert not hasattr(Estimator("rbm"), "predict")
    assert not hasattr(Estimator("linear"), "predict_proba")
    assert not hasattr(Estimator("linear"), "transform")


def test_linear_estimator_gives_the_ridge_solution_and_survives_pickling() -> None:
    x, y = line()
    options = {"alpha": 2.0, "beta": 4.0, "intercept": False}
    estimator = Estimator("linear", model_options=options).fit(x, y)
    # Bishop eq. 3.53 and 3.59: mean beta S x'y, variance 1 / beta + x S x', S = 1 / (a + b x'x)
    variance = 1.0 / (2.0 + 4.0 * (x**2).sum())
    mean, std = estimator.predict([[1.5]], return_std=True)
    assert mean == pytest.approx([1.5 * 4.0 * variance * (x[:, 0] @ y)], rel=1e-6)
    assert std == pytest.approx([np.sqrt(0.25 + 1.5**2 * variance)], rel=1e-6)
    copy = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(copy.predict(x), estimator.predict(x))
    assert copy.fit_.metrics["log_evidence"] == estimator.fit_.metrics["log_evidence"]
    assert estimator.fit_.path is None


def test_mixture_clusters_scores_and_transforms() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(200) % 2
    x = np.where(truth, 5.0, -5.0)[:, np.newaxis] + rng.normal(size=(200, 2))
    estimator = Estimator("gmm", task="clustering", model_options={"num_components": 2}).fit(x)
    labels = estimator.predict(x)
    assert np.mean(labels == truth) in (0.0, 1.0)  # ten standard deviations apart
    np.testing.assert_array_equal(labels, estimator.labels_)
    np.testing.assert_allclose(estimator.predict_proba(x).sum(axis=1), 1.0)
    np.testing.assert_array_equal(estimator.transform(x), estimator.predict_proba(x))
    scores = estimator.score_samples(x)
    # the entropy of the truth: two standard normals in the plane, and one bit
    assert -scores.mean() == pytest.approx(np.log(2 * np.pi) + 1 + np.log(2), abs=0.2)
    assert estimator.score(x) == pytest.approx(scores.mean())
    with pytest.raises(tfbdl.errors.OptionsError, match="return_std is for regression"):
        estimator.predict(x, return_std=True)


def test_machine_gives_features_to_a_pipeline() -> None:
    x = np.repeat(np.eye(2), 20, axis=0)
    options = {"model_options": {"num_hidden": 3}, "engine_options": {"epochs": 1}}
    pipeline = make_pipeline(
        Estimator("rbm", **options), Estimator("linear", model_options={"beta": 1.0})
    )
    pipeline.fit(x, x[:, 0])
    machine = pipeline[0]
    assert machine.transform(x).shape == (40, 3)
    np.testing.assert_array_equal(machine.transform(x), machine.fit_.model.hidden_probs(x))
    assert not hasattr(machine, "predict")
    assert machine.score_samples(x).shape == (40,)
    # all four states of two units, weighted by exp(score), are a density
    assert np.exp(machine.score_samples([[0, 0], [0, 1], [1, 0], [1, 1]])).sum() == pytest.approx(1)


def test_estimator_refuses_an_unknown_task_or_model_at_fit() -> None:
    with pytest.raises(tfbdl.errors.OptionsError, match="Did you mean 'regression'"):
        Estimator(task="regresion").fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(tfbdl.errors.UnknownNameError, match="Did you mean 'linear'"):
        Estimator("liner").fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(tfbdl.errors.DataError, match=r"Only binary classification .* 3 classes"):
        Estimator("logistic").fit([[0.0], [1.0], [2.0]], [0, 1, 2])
