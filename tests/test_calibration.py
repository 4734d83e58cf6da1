"""Calibration and scores against closed forms, quadrature and simulation."""

from __future__ import annotations

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from tfbdl import calibration
from tfbdl.errors import DataError, OptionsError


@st.composite
def predictions(draw):
    n, classes = draw(st.integers(1, 20)), draw(st.integers(2, 5))
    raw = draw(hnp.arrays("float64", (n, classes), elements=st.floats(0.01, 1.0)))
    labels = draw(hnp.arrays("int64", n, elements=st.integers(0, classes - 1)))
    return raw / raw.sum(axis=1, keepdims=True), labels


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(predictions(), st.integers(1, 30), st.booleans())
def test_scores_stay_in_their_ranges(prediction, bins, adaptive):
    probs, labels = prediction
    assert 0 <= calibration.expected_calibration_error(probs, labels, bins, adaptive) <= 1
    assert 0 <= calibration.brier(probs, labels) <= 2
    assert calibration.nll(probs, labels) >= 0
    curve = calibration.reliability_curve(probs, labels, bins, adaptive=adaptive)
    assert curve.count.sum() == len(labels)
    assert (curve.count > 0).all()
    assert np.all((curve.low <= curve.accuracy + 1e-12) & (curve.accuracy <= curve.high + 1e-12))


def test_ece_by_hand():
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [0.4, 0.6]])
    labels = np.array([0, 1, 1, 1])
    # bins of width 1/2: all in (0.5, 1]; of width 1/4: {0.55, 0.6} and {0.8, 0.9}
    assert calibration.expected_calibration_error(probs, labels, 2) == pytest.approx(
        abs(0.75 - 0.7125)
    )
    by_hand = 0.5 * abs(1.0 - 0.575) + 0.5 * abs(0.5 - 0.85)
    assert calibration.expected_calibration_error(probs, labels, 4) == pytest.approx(by_hand)
    assert calibration.expected_calibration_error(probs, labels, 2, adaptive=True) == pytest.approx(
        by_hand
    )
    curve = calibration.reliability_curve(probs, labels, 4)
    np.testing.assert_allclose(curve.confidence, [0.575, 0.85])
    np.testing.assert_array_equal(curve.count, [2, 2])


def test_ece_is_small_if_calibrated_and_the_bias_if_overconfident():
    rng = np.random.default_rng(0)
    n = 200_000
    p = rng.uniform(size=n)
    # the noise of a bin's accuracy is below sqrt(0.25 / (n / 8)) = 0.0032
    labels = rng.uniform(size=n) < p
    assert calibration.expected_calibration_error(p, labels) < 0.0032
    assert calibration.expected_calibration_error(p, labels, adaptive=True) < 0.0032
    coin = rng.integers(0, 2, n)
    ece = calibration.expected_calibration_error(np.full(n, 0.9), coin)
    assert ece == pytest.approx(0.4, abs=4 * 0.5 / np.sqrt(n))


def test_reliability_bands_cover_at_their_level():
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(200):
        p = rng.uniform(0.5, 1.0, size=600)
        curve = calibration.reliability_curve(p, rng.uniform(size=600) < p, 6, level=0.9)
        inside.append((curve.low <= curve.confidence) & (curve.confidence <= curve.high))
    # 600 bins: a standard error of 0.012; binomial bands are off by a point or two on their own
    assert np.concatenate(inside).mean() == pytest.approx(0.9, abs=0.05)


def test_band_is_that_of_wilson():
    p = np.full(10, 0.8)
    curve = calibration.reliability_curve(p, np.arange(10) < 7, 1, level=0.95)
    expected = scipy.stats.binomtest(7, 10).proportion_ci(0.95, method="wilson")
    assert (curve.low[0], curve.high[0]) == pytest.approx((expected.low, expected.high))


def test_brier_runs_from_0_to_2_and_takes_all_label_forms():
    eye = np.eye(3)
    assert calibration.brier(eye, [0, 1, 2]) == 0
    assert calibration.brier(eye, [1, 2, 0]) == 2
    assert calibration.brier(np.full((3, 3), 1 / 3), eye) == pytest.approx(4 / 9 + 2 / 9)
    assert calibration.brier([0.3], [1]) == pytest.approx(2 * 0.7**2)


def test_nll_of_log_probs_and_of_probs():
    assert calibration.nll([-1.0, -3.0]) == 2.0
    probs = np.array([[0.25, 0.75], [0.5, 0.5]])
    assert calibration.nll(probs, [1, 0]) == pytest.approx(-np.log([0.75, 0.5]).mean())
    assert calibration.nll([1.0], [0]) == np.inf


def test_coverage_and_width():
    y, low, high = np.array([0.0, 1.0, 2.0, 3.0]), np.zeros(4), np.array([1.0, 1.0, 1.0, 5.0])
    assert calibration.coverage(y, low, high) == 0.75
    assert calibration.interval_width(low, high) == 2.0
    rng = np.random.default_rng(2)
    half = np.full(100_000, scipy.stats.norm.ppf(0.95))
    share = calibration.coverage(rng.normal(size=100_000), -half, half)
    assert share == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / 100_000))


@pytest.mark.parametrize(("mean", "sd", "y"), [(0.0, 1.0, 0.3), (2.0, 0.5, -1.0), (-1.0, 3.0, 9.0)])
def test_crps_gaussian_is_the_integral_over_thresholds(mean, sd, y):
    cdf = scipy.stats.norm(mean, sd).cdf
    below = scipy.integrate.quad(lambda t: cdf(t) ** 2, mean - 12 * sd, y)[0]
    above = scipy.integrate.quad(lambda t: (1 - cdf(t)) ** 2, y, max(y, mean + 12 * sd))[0]
    assert calibration.crps_gaussian(mean, sd, y) == pytest.approx(below + above, abs=1e-7)


def test_crps_of_a_point_forecast_is_the_absolute_error():
    np.testing.assert_array_equal(calibration.crps_gaussian([1.0], [0.0], [3.5]), [2.5])


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(hnp.arrays("float64", (7, 3), elements=st.floats(-100, 100)))
def test_crps_samples_is_its_definition(samples):
    y = np.array([0.0, 1.0, -50.0])
    pairs = np.abs(samples[:, None] - samples[None]).sum(axis=(0, 1)) / (2 * 7 * 6)
    expected = np.abs(samples - y).mean(axis=0) - pairs
    np.testing.assert_allclose(calibration.crps_samples(samples, y), expected, atol=1e-10)


def test_crps_samples_is_unbiased_for_few_draws():
    rng = np.random.default_rng(4)
    n, y = 100_000, 0.7
    scores = calibration.crps_samples(rng.normal(1.0, 2.0, (3, n)), np.full(n, y))
    exact = calibration.crps_gaussian(1.0, 2.0, y)
    assert scores.mean() == pytest.approx(exact, abs=4 * scores.std() / np.sqrt(n))


def test_regression_calibration_lies_on_the_diagonal_for_the_true_model():
    rng = np.random.default_rng(5)
    y = rng.normal(3.0, 2.0, 20_000)
    good = calibration.regression_calibration(scipy.stats.norm(3.0, 2.0).cdf(y))
    np.testing.assert_allclose(good.expected, np.arange(1, 20) / 20)
    assert np.abs(good.observed - good.expected).max() < 4 * np.sqrt(0.25 / 20_000)
    assert good.error < 0.01  # five times its expectation, 0.8 times a typical sd of 0.0028
    narrow = calibration.regression_calibration(scipy.stats.norm(3.0, 1.0).cdf(y), levels=1)
    assert narrow.observed == pytest.approx(0.5, abs=0.015)
    narrow = calibration.regression_calibration(scipy.stats.norm(3.0, 1.0).cdf(y), levels=9)
    # P(cdf <= 0.1) with half the true spread is Phi(z_0.1 / 2)
    expected = scipy.stats.norm.cdf(scipy.stats.norm.ppf(0.1) / 2)
    assert narrow.observed[0] == pytest.approx(expected, abs=0.012)
    assert narrow.low[0] < expected < narrow.high[0]


def test_what_does_not_fit_is_refused():
    probs = np.full((3, 2), 0.5)
    with pytest.raises(DataError, match=r"labels of shape \(3,\).*Received: \(2,\)"):
        calibration.brier(probs, [0, 1])
    with pytest.raises(DataError, match=r"from 0 to 1. Received: 2"):
        calibration.brier(probs, [0, 1, 2])
    with pytest.raises(DataError, match=r"each row must sum to 1"):
        calibration.brier(probs + 0.1, [0, 1, 1])
    with pytest.raises(DataError, match=r"must be in"):
        calibration.brier([1.2], [1])
    with pytest.raises(DataError, match=r"single 1"):
        calibration.brier(probs, probs)
    with pytest.raises(DataError, match=r"finite, without NaN"):
        calibration.brier([np.nan], [1])
    with pytest.raises(DataError, match=r"one shape. Received: y \(3,\), low \(2,\)"):
        calibration.coverage(np.zeros(3), np.zeros(2), np.zeros(3))
    with pytest.raises(DataError, match=r"upper ends"):
        calibration.interval_width([1.0], [0.0])
    with pytest.raises(DataError, match=r"'sd' must be at least 0. Received: -1.0"):
        calibration.crps_gaussian(0.0, -1.0, 0.0)
    with pytest.raises(DataError, match=r"k of at least 2"):
        calibration.crps_samples(np.zeros((1, 4)), np.zeros(4))
    with pytest.raises(DataError, match=r"in \[0, 1\]. Received: values from 0.5 to 1.5"):
        calibration.regression_calibration([0.5, 1.5])
    with pytest.raises(DataError, match=r"must not be empty"):
        calibration.nll([])
    with pytest.raises(DataError, match=r"without NaN"):
        calibration.nll([np.nan])
    with pytest.raises(DataError, match=r"array of numbers"):
        calibration.nll(["a"])
    with pytest.raises(OptionsError, match=r"'bins' must be at least 1. Received: 0"):
        calibration.expected_calibration_error(probs, [0, 1, 1], 0)
    with pytest.raises(OptionsError, match=r"level of a band"):
        calibration.reliability_curve(probs, [0, 1, 1], level=1.0)
