"""Consistency of filters and whiteness of innovations, against their distributions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from tfbdl_kalman_lstm.evaluation import ljung_box, nees, nis, standardised

from tfbdl.errors import DataError, OptionsError


def drawn(n=200, steps=50, d=2, seed=0):
    """Errors that are normal with the covariance that is claimed."""
    rng = np.random.default_rng(seed)
    root = np.array([[1.0, 0.0], [0.8, 0.3]])
    return rng.normal(size=(n, steps, d)) @ root.T, np.tile(root @ root.T, (n, steps, 1, 1))


def test_nees_of_right_covariances_is_within_its_band_and_of_wrong_ones_is_not():
    errors, covariances = drawn()
    right = nees(np.zeros_like(errors), covariances, errors)
    assert right.inside > 0.86  # 50 independent steps of probability 0.95: three errors below
    assert right.values.mean() == pytest.approx(2.0, abs=4 * np.sqrt(4.0 / 10_000))
    p = stats.kstest(right.values.ravel(), stats.chi2(2).cdf).pvalue
    assert p > 1e-3
    too_sure = nees(np.zeros_like(errors), 0.5 * covariances, errors)
    np.testing.assert_allclose(too_sure.values, 2.0 * right.values)
    assert too_sure.inside < 0.05
    assert (too_sure.mean > too_sure.high).mean() > 0.9


def test_band_of_nees_is_that_of_a_chi_square():
    errors, covariances = drawn(n=3, steps=2)
    found = nees(np.zeros_like(errors), covariances, errors, level=0.9)
    np.testing.assert_allclose(found.low, stats.chi2(6).ppf(0.05) / 3)
    np.testing.assert_allclose(found.high, stats.chi2(6).ppf(0.95) / 3)
    by_hand = [[e @ np.linalg.inv(covariances[0, 0]) @ e for e in row] for row in errors]
    np.testing.assert_allclose(found.values, by_hand)
    single = nees(np.zeros((2, 2)), covariances[0], errors[0])
    np.testing.assert_allclose(single.values[0], by_hand[0])


def test_missing_observations_have_no_innovation():
    errors, covariances = drawn(n=4, steps=3)
    errors[0, 1, 0] = errors[1:, 1] = np.nan
    found = nis(np.zeros_like(errors), covariances, errors)
    assert np.isnan(found.values[:, 1]).all()
    assert np.isnan(found.mean[1])
    assert np.isfinite(found.mean[[0, 2]]).all()
    alone = standardised(errors[0], covariances[0])
    np.testing.assert_allclose(alone[1], [np.nan, errors[0, 1, 1] / np.sqrt(0.73)])


def test_ljung_box_is_the_published_sum_and_uniform_for_white_noise():
    series = np.random.default_rng(3).normal(size=120)
    centred = series - series.mean()
    r = np.array([centred[k:] @ centred[:-k] for k in range(1, 6)]) / (centred @ centred)
    expected = 120 * 122 * np.sum(r**2 / (120 - np.arange(1, 6)))
    found = ljung_box(series, 5)
    np.testing.assert_allclose(found.autocorrelation, r)
    assert found.statistic == pytest.approx(expected)
    assert found.p_value == pytest.approx(stats.chi2(5).sf(expected))
    fewer = ljung_box(series, 5, fitted=2)
    assert fewer.p_value == pytest.approx(stats.chi2(3).sf(expected))
    rng = np.random.default_rng(0)
    p_values = [ljung_box(rng.normal(size=300)).p_value for _ in range(400)]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_ljung_box_finds_correlation_with_and_without_gaps():
    rng = np.random.default_rng(1)
    series = rng.normal(size=301)
    series = series[1:] + 0.6 * series[:-1]
    assert ljung_box(series).p_value < 1e-6
    series[rng.random(300) < 0.2] = np.nan
    assert ljung_box(series).p_value < 1e-4


def test_what_cannot_be_judged_is_refused():
    errors, covariances = drawn(n=2, steps=3)
    with pytest.raises(DataError, match=r"as the means\. Received: shape"):
        nees(np.zeros((2, 3, 2)), covariances, errors[:1])
    with pytest.raises(DataError, match="singular covariance"):
        nees(np.zeros_like(errors), np.zeros_like(covariances), errors)
    with pytest.raises(DataError, match=r"\[n, T, 2, 2\]. Received: shape \[2, 3, 3, 3\]"):
        nees(np.zeros_like(errors), np.tile(np.eye(3), (2, 3, 1, 1)), errors)
    with pytest.raises(DataError, match="eigenvalue that is not above 0"):
        nees(np.zeros_like(errors), covariances * [[1.0, 2.0], [2.0, 1.0]], errors)
    with pytest.raises(OptionsError, match="level must be"):
        nees(np.zeros_like(errors), covariances, errors, level=1.0)
    with pytest.raises(DataError, match="at least 12 values"):
        ljung_box(np.ones(40))
    with pytest.raises(OptionsError, match="fitted must be below lags"):
        ljung_box(errors[0, :, 0], 2, fitted=2)
