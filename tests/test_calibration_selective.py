"""Risk-coverage curves by hand, and over all orders of rows that tie."""

from __future__ import annotations

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from tfbdl import calibration
from tfbdl.errors import DataError, OptionsError


def test_curve_of_six_points_by_hand():
    losses = np.array([0, 1, 0, 1, 0, 0])
    uncertainty = np.array([0.1, 0.9, 0.2, 0.4, 0.5, 0.3])  # order: 0, 2, 5, 3, 4, 1
    curve = calibration.risk_coverage_curve(losses, uncertainty)
    np.testing.assert_allclose(curve.coverage, np.arange(1, 7) / 6)
    np.testing.assert_allclose(curve.risk, [0, 0, 0, 1 / 4, 1 / 5, 2 / 6])
    np.testing.assert_allclose(curve.uncertainty, [0.1, 0.2, 0.3, 0.4, 0.5, 0.9])
    np.testing.assert_allclose(curve.best, [0, 0, 0, 0, 1 / 5, 2 / 6])
    assert curve.area == pytest.approx((1 / 4 + 1 / 5 + 1 / 3) / 6)
    assert curve.excess_area == pytest.approx(1 / 24)
    assert curve.risk_at(0.5) == 0.0
    assert curve.risk_at(0.51) == pytest.approx(1 / 4)  # takes a fourth row
    assert curve.risk_at(1.0) == pytest.approx(1 / 3)
    np.testing.assert_allclose(curve.risk_at([[1e-9, 4 / 6]]), [[0.0, 1 / 4]])


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=6), st.randoms()
)
def test_ties_count_as_the_mean_over_their_orders(rows, shuffle):
    losses, uncertainty = (np.array(column, float) for column in zip(*rows, strict=True))
    every = [
        np.cumsum(losses[list(order)]) / np.arange(1, len(rows) + 1)
        for order in itertools.permutations(range(len(rows)))
        if np.all(np.diff(uncertainty[list(order)]) >= 0)
    ]
    curve = calibration.risk_coverage_curve(losses, uncertainty)
    np.testing.assert_allclose(curve.risk, np.mean(every, axis=0), atol=1e-12)
    np.testing.assert_array_less(-1e-12, curve.risk - curve.best)
    order = list(range(len(rows)))
    shuffle.shuffle(order)
    shuffled = calibration.risk_coverage_curve(losses[order], uncertainty[order])
    np.testing.assert_allclose(shuffled.risk, curve.risk, atol=1e-12)


def test_areas_of_the_best_order_and_of_none():
    rng = np.random.default_rng(0)
    losses = rng.exponential(size=500)
    best = calibration.risk_coverage_curve(losses, losses)
    assert best.excess_area == pytest.approx(0.0, abs=1e-12)
    assert calibration.risk_coverage_curve(losses, np.zeros(500)).area == pytest.approx(
        losses.mean()
    )
    # of losses of density exp(-t) the mean of those below the quantile of a share c is
    # (c + (1 - c) log(1 - c)) / c
    share = (np.arange(500_000) + 0.5) / 500_000
    area = np.mean((share + (1 - share) * np.log(1 - share)) / share)
    assert best.area == pytest.approx(area, abs=4 / 500**0.5)
    squared = calibration.risk_coverage_curve(losses, losses**2)  # only the order counts
    np.testing.assert_array_equal(squared.risk, best.risk)


def test_accuracy_of_the_surest_classes():
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.45, 0.55]])
    labels = np.array([0, 1, 1, 1])
    found = calibration.accuracy_at_coverage(probs, labels, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(found, [1, 1, 2 / 3, 3 / 4], atol=1e-12)  # surest: 0, 1, 2, 3
    assert calibration.accuracy_at_coverage(probs, np.eye(2)[labels], 0.75) == pytest.approx(2 / 3)
    mine = [4, 3, 2, 1]  # the other way round
    found = calibration.accuracy_at_coverage(probs, labels, [0.25, 0.5], mine)
    np.testing.assert_allclose(found, [1, 1 / 2])


def test_shares_that_rounding_would_make_larger_take_no_further_row():
    curve = calibration.risk_coverage_curve(np.arange(100.0), np.arange(100.0))
    for rows in range(1, 101):
        assert curve.risk_at(rows / 100) == pytest.approx((rows - 1) / 2)


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match=r"each of 3 losses. Received: 2"):
        calibration.risk_coverage_curve(np.zeros(3), np.zeros(2))
    with pytest.raises(DataError, match="Losses must be finite"):
        calibration.risk_coverage_curve([np.nan], [0.0])
    with pytest.raises(DataError, match="Uncertainties must be without NaN"):
        calibration.risk_coverage_curve([0.0], [np.nan])
    with pytest.raises(DataError, match="Losses must have 1 axis"):
        calibration.risk_coverage_curve(np.zeros((2, 2)), np.zeros((2, 2)))
    probs = np.full((3, 2), 0.5)
    with pytest.raises(DataError, match=r"labels of shape \(3,\)"):
        calibration.risk_coverage(probs, [0, 1])
    with pytest.raises(OptionsError, match="'variance'"):
        calibration.risk_coverage(probs, [0, 1, 1], "variance")
    with pytest.raises(DataError, match=r"each of 3 losses. Received: 2"):
        calibration.risk_coverage(probs, [0, 1, 1], [0.1, 0.2])
    for coverage in (0.0, 1.01, [0.5, np.nan]):
        with pytest.raises(OptionsError, match=r"'coverage' must be in \(0, 1\]"):
            calibration.accuracy_at_coverage(probs, [0, 1, 1], coverage)
