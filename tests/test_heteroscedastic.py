"""Kendall & Gal 2017: noise that the net predicts beside weights that are random."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats

import tfbdl
from benchmarks.uncertainty import heteroscedastic
from tfbdl.likelihoods import HeteroscedasticCategorical, HeteroscedasticGaussian

ROWS, DRAWS = 40, 25
X = np.random.default_rng(0).normal(size=(ROWS, 2)).astype("float32")
FLOOR = 1e-4


def fitted(likelihood, y, rate=0.3):
    """A net with dropout, trained for a moment: its draws are masks."""
    layers = keras.layers
    units = likelihood.outputs_for(3 if likelihood.is_classification else 1)
    net = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(16, "tanh"),
            layers.Dropout(rate),
            layers.Dense(units),
        ]
    )
    options = {"steps": 60, "draws": DRAWS}
    model = tfbdl.BayesianNetwork(net, likelihood)
    return tfbdl.fit(model, (X, y), engine="mc_dropout", engine_options=options, seed=1)


def test_the_loss_is_that_of_the_log_variance():
    """1/2 exp(-s) (y - f)^2 + s / 2 with s = log sigma^2, and the normal's constant (eq. 8)."""
    rng = np.random.default_rng(1)
    f, raw, y = rng.normal(size=(3, ROWS, 1))
    s = 2.0 * np.log(FLOOR + np.logaddexp(0.0, raw))
    loss = 0.5 * np.exp(-s) * np.square(y - f) + 0.5 * s
    likelihood = HeteroscedasticGaussian(scale_floor=FLOOR)
    found = -likelihood.log_prob(np.concatenate([f, raw], axis=1), y).numpy()
    np.testing.assert_allclose(found, loss[:, 0] + 0.5 * np.log(2.0 * np.pi), rtol=1e-9)


def test_the_variance_over_masks_is_that_of_means_and_the_mean_noise():
    """Var(y) = mean f^2 - (mean f)^2 + mean sigma^2 (eq. 9), here of targets in units of 7."""
    y = 30.0 + 7.0 * X[:, 0]
    p = fitted(HeteroscedasticGaussian(30.0, 7.0), y).predict(X, draws=DRAWS)
    f, raw = np.moveaxis(p.outputs().astype("float64"), -1, 0)
    noise = 49.0 * np.square(FLOOR + np.logaddexp(0.0, raw)).mean(axis=0)
    spread = 49.0 * (np.square(f).mean(axis=0) - np.square(f.mean(axis=0)))
    assert spread.min() > 0.0
    np.testing.assert_allclose(p.aleatoric[:, 0], noise, rtol=1e-5)
    np.testing.assert_allclose(p.epistemic[:, 0], spread, rtol=1e-4)
    np.testing.assert_allclose(p.variance[:, 0], noise + spread, rtol=1e-5)


@pytest.fixture(scope="module")
def classes():
    return fitted(HeteroscedasticCategorical(), (X[:, 0] > 0).astype("int32") + (X[:, 1] > 1))


def test_entropy_of_noisy_logits_is_expected_entropy_and_information_of_the_masks(classes):
    p = classes.predict(X, draws=DRAWS)
    outputs = p.outputs()
    each = np.stack([p.model.likelihood.probs(draw).numpy() for draw in outputs]).astype("float64")
    each /= each.sum(axis=-1, keepdims=True)
    # of label and mask: the mean over masks of KL(p_w || mean p)
    information = scipy.special.rel_entr(each, each.mean(axis=0)).sum(axis=-1).mean(axis=0)
    assert information.min() > 1e-5
    np.testing.assert_allclose(p.mutual_information, information, atol=1e-6)
    expected = scipy.stats.entropy(each, axis=-1).mean(axis=0)
    np.testing.assert_allclose(p.expected_entropy, expected, atol=1e-6)
    np.testing.assert_allclose(p.entropy, expected + information, atol=1e-6)


def test_noise_of_the_logits_is_aleatoric(classes):
    """Where all draws agree, noise raises the entropy of the classes and informs of no weight."""
    likelihood = HeteroscedasticCategorical(num_samples=64)
    logits = np.tile([4.0, 0.0, -1.0], (ROWS, 1))
    quiet, noisy = (
        likelihood.probs(np.concatenate([logits, np.full((ROWS, 3), raw)], axis=1)).numpy()
        for raw in (-20.0, 6.0)
    )
    assert scipy.stats.entropy(noisy[0]) > 2.0 * scipy.stats.entropy(quiet[0])
    p = classes.predict(X, draws=1)
    np.testing.assert_allclose(p.mutual_information, 0.0, atol=1e-12)
    assert p.entropy.min() > 0.0


@pytest.mark.slow
def test_ten_times_the_rows_take_epistemic_variance_away_and_leave_the_noise():
    few, many = (heteroscedastic.measure(num_rows, seed=1) for num_rows in (1_000, 10_000))
    assert few["log sigma rmse"] <= 0.15
    assert many["log sigma rmse"] <= 0.15
    assert few["epistemic"] >= 3.0 * many["epistemic"]
    # the mean of (0.05 + 0.2 |x|)^2 over the grid; 0.15 on log sigma is a factor of 1.35 on it
    truth = np.mean(np.square(0.05 + 0.2 * np.abs(heteroscedastic.INSIDE)))
    for fit in (few, many):
        assert truth / 1.35 < fit["aleatoric"] < truth * 1.35
