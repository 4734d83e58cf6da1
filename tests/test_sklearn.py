"""The estimators: checks of scikit-learn, pipelines, searches, and the figures they give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

import tfbdl
from tfbdl.sklearn import BayesianClassifier, BayesianRegressor

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
