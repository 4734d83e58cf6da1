"""Reliability of one class beside scikit-learn; coverage of intervals, and the PIT."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.calibration

from tfbdl import calibration, likelihoods
from tfbdl.errors import DataError, ModelError, OptionsError


class Frozen:
    """A Predictive of numbers around a distribution of SciPy."""

    def __init__(self, distribution, likelihood):
        self.model = type("Model", (), {"likelihood": likelihood})
        self.mean, self.cdf = distribution.mean(), distribution.cdf
        self.interval = distribution.interval


@pytest.mark.parametrize(("adaptive", "strategy"), [(False, "uniform"), (True, "quantile")])
@pytest.mark.parametrize("of_class", [0, 1])
def test_curve_of_one_class_is_that_of_scikit_learn(adaptive, strategy, of_class):
    rng = np.random.default_rng(0)
    p = rng.beta(0.7, 1.5, 600)
    labels = (rng.uniform(size=600) < p**1.5).astype(int)
    curve = calibration.reliability_curve(p, labels, 12, adaptive=adaptive, of_class=of_class)
    own, happened = (p, labels) if of_class else (1 - p, 1 - labels)
    accuracy, confidence = sklearn.calibration.calibration_curve(
        happened, own, n_bins=12, strategy=strategy
    )
    np.testing.assert_allclose(curve.confidence, confidence)
    np.testing.assert_allclose(curve.accuracy, accuracy)
    if adaptive:
        np.testing.assert_array_equal(curve.count, 50)
    else:
        expected = np.histogram(own, np.linspace(0, 1, 13))[0]
        np.testing.assert_array_equal(curve.count, expected[expected > 0])


def test_classes_that_there_are_not_are_refused():
    probs = np.full((4, 3), 1 / 3)
    for of_class in (3, -1, 0.5):
        with pytest.raises(OptionsError, match=r"'of_class' must be from 0 to 2"):
            calibration.reliability_curve(probs, [0, 1, 2, 0], of_class=of_class)


@pytest.mark.parametrize(
    ("distribution", "likelihood"),
    [
        (scipy.stats.norm(np.linspace(-1, 1, 500), 0.7), likelihoods.Gaussian()),
        (scipy.stats.poisson(np.linspace(0.2, 9, 500)), likelihoods.Poisson()),
    ],
)
def test_observed_coverage_is_that_of_the_intervals(distribution, likelihood):
    rng = np.random.default_rng(1)
    y = distribution.rvs(random_state=rng)
    y[::3] += rng.choice([-3, 0, 3], len(y[::3]))  # some that the model does not expect
    y = np.maximum(y, 0) if likelihood.is_discrete else y
    curve = calibration.interval_calibration(Frozen(distribution, likelihood), y, 9)
    np.testing.assert_allclose(curve.expected, np.arange(1, 10) / 10)
    for level, observed in zip(curve.expected, curve.observed, strict=True):
        low, high = distribution.interval(level)
        assert observed == calibration.coverage(y, low, high)
    shares = calibration.wilson_interval(500 * curve.observed, 500)
    np.testing.assert_allclose((curve.low, curve.high), shares)


def test_intervals_of_the_truth_lie_on_the_diagonal_and_narrow_ones_below():
    rng = np.random.default_rng(2)
    n, mean = 20_000, np.linspace(-3, 3, 20_000)
    y = rng.normal(mean, 2.0)
    good = calibration.interval_calibration(
        Frozen(scipy.stats.norm(mean, 2.0), likelihoods.Gaussian()), y
    )
    assert np.abs(good.observed - good.expected).max() < 4 * (0.25 / n) ** 0.5
    narrow = Frozen(scipy.stats.norm(mean, 1.0), likelihoods.Gaussian())
    curve = calibration.interval_calibration(narrow, y)
    # an interval of z_level covers 2 Phi(z_level / 2) - 1
    z = scipy.stats.norm.ppf(0.5 + curve.expected / 2)
    expected = 2 * scipy.stats.norm.cdf(z / 2) - 1
    assert np.abs(curve.observed - expected).max() < 4 * (0.25 / n) ** 0.5
    assert (curve.observed < curve.expected).all()


def test_pit_of_the_truth_is_uniform_and_of_counts_halfway_up_the_jump():
    rng = np.random.default_rng(3)
    normal = scipy.stats.norm(np.linspace(-3, 3, 5000), 2.0)
    values = calibration.pit(
        Frozen(normal, likelihoods.Gaussian()), normal.rvs(random_state=rng)[:, np.newaxis]
    )
    assert values.shape == (5000,)
    assert scipy.stats.kstest(values, "uniform").pvalue > 1e-3
    rate = np.array([0.5, 2.0, 7.0])
    counts = np.array([0, 3, 5])
    found = calibration.pit(Frozen(scipy.stats.poisson(rate), likelihoods.Poisson()), counts)
    pmf, cdf = scipy.stats.poisson.pmf(counts, rate), scipy.stats.poisson.cdf(counts, rate)
    np.testing.assert_allclose(found, cdf - pmf / 2)
    curve = calibration.regression_calibration(values)
    assert curve.error < 0.02  # each share has an error of at most 0.007


def test_targets_that_do_not_fit_are_refused():
    p = Frozen(scipy.stats.norm(np.zeros(4), 1.0), likelihoods.Gaussian())
    with pytest.raises(DataError, match=r"targets of shape \(4,\). Received: \(3,\)"):
        calibration.pit(p, np.zeros(3))
    with pytest.raises(DataError, match="Targets must be finite"):
        calibration.interval_calibration(p, [0.0, 1.0, np.nan, 0.0])
    with pytest.raises(OptionsError, match=r"'levels' must be at least 1. Received: 0"):
        calibration.interval_calibration(p, np.zeros(4), levels=0)
    with pytest.raises(OptionsError, match="level of a band"):
        calibration.interval_calibration(p, np.zeros(4), band_level=1.0)
    with pytest.raises(DataError, match="needs a Predictive"):
        calibration.pit(np.zeros(4), np.zeros(4))
    classes = Frozen(scipy.stats.norm(np.zeros(4), 1.0), likelihoods.Categorical())
    with pytest.raises(ModelError, match="is for numbers; the likelihood is 'categorical'"):
        calibration.pit(classes, np.zeros(4))
