"""Scores of predictive distributions whose truth is known."""

import numpy as np
import pytest
from scipy import stats

from tfbdl import evaluation, likelihoods
from tfbdl.predictive import Predictive

N = 4000


class Known:
    """A Predictive in closed form: y ~ N(mean, noise + spread), parts known."""

    class model:
        likelihood = likelihoods.Gaussian()

    def __init__(self, mean, noise, spread):
        self.mean = mean
        self.aleatoric = np.full_like(mean, noise**2)
        self.epistemic = np.full_like(mean, spread**2)
        self.variance = self.aleatoric + self.epistemic
        self.normal = stats.norm(mean, np.sqrt(self.variance))

    def log_prob(self, y):
        return self.normal.logpdf(y).reshape(len(y), -1).sum(axis=1)

    def interval(self, level):
        return self.normal.ppf(0.5 - level / 2), self.normal.ppf(0.5 + level / 2)

    def sample(self, k):
        return self.normal.rvs((k, *self.mean.shape), random_state=0)


class Classes:
    """A Predictive for classes, as given."""

    class_probs, class_pairs = Predictive.class_probs, Predictive.class_pairs

    def __init__(self, probs, likelihood):
        self.probs = probs
        self.model = type("Model", (), {"likelihood": likelihood})
        whole = (
            probs if probs.ndim > 1 and probs.shape[-1] > 1 else np.stack([1 - probs, probs], -1)
        )
        self.entropy = -np.sum(whole * np.log(whole), axis=-1)
        self.mutual_information = 0.25 * self.entropy

    def log_prob(self, y):
        return np.log(self.probs[np.arange(len(y)), y])


@pytest.fixture(scope="module")
def regression():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=N)
    y = mean + 0.5 * rng.normal(size=N)
    return evaluation.evaluate(Known(mean, 0.4, 0.3), y)


def test_a_regression_that_is_right_has_the_scores_of_its_noise(regression):
    error = 4 / np.sqrt(N)
    assert regression["nll"] == pytest.approx(stats.norm(0, 0.5).entropy(), abs=error)
    assert regression["rmse"] == pytest.approx(0.5, abs=error)
    assert regression["mae"] == pytest.approx(0.5 * np.sqrt(2 / np.pi), abs=error)
    assert regression["crps"] == pytest.approx(0.5 / np.sqrt(np.pi), abs=error)  # Gneiting 2007
    assert regression["coverage_90"] == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / N))
    assert regression["interval_width_90"] == pytest.approx(2 * 1.6449 * 0.5, rel=1e-4)
    assert regression["epistemic_share"] == pytest.approx(0.09 / 0.25)


def test_a_regression_that_is_too_sure_covers_too_little(regression):
    rng = np.random.default_rng(1)
    y = 0.5 * rng.normal(size=N)
    scores = evaluation.evaluate(Known(np.zeros(N), 0.1, 0.1), y)
    assert scores["coverage_90"] < 0.5
    assert scores["nll"] > regression["nll"] + 1.0


def test_targets_may_have_a_last_axis_of_one(regression):
    rng = np.random.default_rng(0)
    mean = rng.normal(size=N)
    y = mean + 0.5 * rng.normal(size=N)
    scores = evaluation.evaluate(Known(mean[:, None], 0.4, 0.3), y[:, None])
    assert scores["rmse"] == pytest.approx(regression["rmse"])
    flat = evaluation.evaluate(Known(mean[:, None], 0.4, 0.3), y[:, None])
    assert flat["coverage_90"] == regression["coverage_90"]


def test_classes_have_the_scores_of_their_probabilities():
    rng = np.random.default_rng(2)
    probs = rng.dirichlet([1.0, 2.0, 3.0], N)
    labels = np.array([rng.choice(3, p=p) for p in probs])
    scores = evaluation.evaluate(Classes(probs, likelihoods.Categorical()), labels)
    error = 4 / np.sqrt(N)
    assert scores["nll"] == pytest.approx(-np.mean(np.log(probs[np.arange(N), labels])))
    assert scores["error"] == pytest.approx(1 - probs.max(1).mean(), abs=error)
    assert scores["brier"] == pytest.approx(1 - np.mean(np.sum(probs**2, 1)), abs=2 * error)
    assert scores["ece"] < 0.05
    assert scores["entropy"] == pytest.approx(-np.mean(np.sum(probs * np.log(probs), 1)))
    assert scores["epistemic_share"] == pytest.approx(0.25)


def test_one_hot_targets_score_as_their_labels():
    probs = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.4, 0.1]])
    labels = np.array([0, 2, 1])

    class OneHot(Classes):
        def log_prob(self, y):
            return np.log(np.sum(self.probs * y, axis=1))

    one = evaluation.evaluate(Classes(probs, likelihoods.Categorical()), labels)
    two = evaluation.evaluate(OneHot(probs, likelihoods.Categorical()), np.eye(3)[labels])
    assert one == pytest.approx(two)
    assert one["error"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_a_binary_outcome_has_two_classes(shape):
    probs = np.array([0.9, 0.2, 0.6, 0.3]).reshape(shape)
    labels = np.array([1, 0, 0, 0]).reshape(shape)

    class Binary(Classes):
        def log_prob(self, y):
            return np.log(np.where(y == 1, self.probs, 1 - self.probs)).reshape(len(y))

    scores = evaluation.evaluate(Binary(probs, likelihoods.Bernoulli()), labels)
    assert scores["error"] == pytest.approx(0.25)  # the third alone is on the wrong side
    squares = np.array([0.1, 0.2, 0.6, 0.3]) ** 2
    assert scores["brier"] == pytest.approx(2 * squares.mean())  # over both classes
    assert scores["nll"] == pytest.approx(-np.log([0.9, 0.8, 0.4, 0.7]).mean())
