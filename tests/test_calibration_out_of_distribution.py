"""Detection of strange rows against pairs, thresholds tried one by one, and normal theory."""

from __future__ import annotations

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats

from tfbdl import calibration
from tfbdl.errors import DataError, OptionsError

WHOLE = st.integers(-4, 4).map(float)  # few values: many ties
SCORES = hnp.arrays("float64", st.integers(1, 12), elements=WHOLE)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(SCORES, SCORES)
def test_auroc_is_the_share_of_pairs_in_the_right_order(inside, outside):
    later, same = outside[:, None] > inside, outside[:, None] == inside
    expected = np.mean(later + 0.5 * same)
    assert calibration.auroc(inside, outside) == pytest.approx(expected, abs=1e-12)
    assert calibration.auroc(outside, inside) == pytest.approx(1 - expected, abs=1e-12)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(SCORES, SCORES, st.sampled_from([0.3, 0.5, 0.95, 1.0]))
def test_false_positive_rate_is_that_of_the_strictest_threshold(inside, outside, recall):
    tried = np.unique(np.concatenate([inside, outside]))
    # what is at most the threshold passes for inside; the first that lets enough in
    let_in = next(t for t in tried if np.mean(inside <= t) >= recall)
    found = calibration.false_positive_rate(inside, outside, recall)
    assert found == pytest.approx(np.mean(outside <= let_in))
    flagged = next(t for t in tried[::-1] if np.mean(outside >= t) >= recall)
    found = calibration.false_positive_rate(inside, outside, recall, positive="outside")
    assert found == pytest.approx(np.mean(inside >= flagged))


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(SCORES, SCORES)
def test_average_precision_is_the_sum_of_its_steps(inside, outside):
    def by_definition(found, other):
        total, before = 0.0, 0.0
        for threshold in np.unique(np.concatenate([found, other]))[::-1]:
            hits, alarms = np.sum(found >= threshold), np.sum(other >= threshold)
            total += (hits / len(found) - before) * hits / (hits + alarms)
            before = hits / len(found)
        return total

    expected = by_definition(outside, inside)
    assert calibration.average_precision(inside, outside) == pytest.approx(expected)
    expected = by_definition(-inside, -outside)
    found = calibration.average_precision(inside, outside, positive="inside")
    assert found == pytest.approx(expected)


def test_normals_are_told_apart_as_theory_says():
    rng = np.random.default_rng(0)
    n, shift = 20_000, 1.3
    found = calibration.detection(rng.normal(size=n), rng.normal(shift, size=n))
    normal, at = scipy.stats.norm, scipy.stats.norm.ppf(0.95)
    assert found.auroc == pytest.approx(normal.cdf(shift / 2**0.5), abs=4 * 0.5 / n**0.5)
    # the error of the share, and that of the quantile by which it is taken
    passes, ratio = normal.cdf(at - shift), normal.pdf(at - shift) / normal.pdf(at)
    error = ((passes * (1 - passes) + ratio**2 * 0.95 * 0.05) / n) ** 0.5
    assert found.fpr95 == pytest.approx(passes, abs=4 * error)
    assert (found.num_inside, found.num_outside) == (n, n)


def test_only_the_order_counts_and_infinite_scores_have_their_place():
    rng = np.random.default_rng(1)
    inside, outside = rng.normal(size=40), rng.normal(0.5, size=60)
    outside[7] = 5.0  # above all others
    plain = calibration.detection(inside, outside)
    assert calibration.detection(np.exp(inside), np.exp(outside)) == plain
    assert calibration.detection(1e9 * inside - 3, 1e9 * outside - 3) == plain
    outside[7] = np.inf
    assert calibration.detection(inside, outside) == plain


def test_a_perfect_score_and_one_that_says_nothing():
    perfect = calibration.detection(np.zeros(30), np.ones(10))
    assert (perfect.auroc, perfect.fpr95) == (1.0, 0.0)
    assert (perfect.aupr_inside, perfect.aupr_outside) == (1.0, 1.0)
    mute = calibration.detection(np.zeros(30), np.zeros(10))
    assert (mute.auroc, mute.fpr95) == (0.5, 1.0)
    assert (mute.aupr_inside, mute.aupr_outside) == (0.75, 0.25)


def test_uncertainties_of_probabilities_by_hand():
    probs = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(calibration.uncertainty(probs), [1.5 * np.log(2), 0.0])
    np.testing.assert_allclose(calibration.uncertainty(probs, "max_probability"), [0.5, 0.0])
    coin = calibration.uncertainty([0.2, 0.5], "max_probability")  # of class 1 of two
    np.testing.assert_allclose(coin, [0.2, 0.5])


def test_scores_that_there_are_not_are_refused():
    probs = np.full((3, 2), 0.5)
    with pytest.raises(OptionsError, match=r"probabilities alone is named 'entropi'.*'entropy'"):
        calibration.uncertainty(probs, "entropi")
    with pytest.raises(OptionsError, match=r"Expected one of: entropy, max_probability"):
        calibration.uncertainty(probs, "mutual_information")  # that takes draws
    with pytest.raises(DataError, match="each row must sum to 1"):
        calibration.uncertainty(probs + 0.2)
    with pytest.raises(DataError, match="Uncertainties 'inside' must be without NaN"):
        calibration.auroc([0.0, np.nan], [1.0])
    with pytest.raises(DataError, match=r"Uncertainties 'outside' must have 1 axis.*\(3, 2\)"):
        calibration.auroc([0.0], probs)
    with pytest.raises(DataError, match="'outside' must not be empty"):
        calibration.detection([0.0], [])
    with pytest.raises(OptionsError, match=r"Expected: None beside numbers.*Received: 'entropy'"):
        calibration.detection([0.0], [1.0], "entropy")
    with pytest.raises(OptionsError, match=r"'positive' must be.*Received: 'out'"):
        calibration.average_precision([0.0], [1.0], positive="out")
    for recall in (0.0, 1.1, "all"):
        with pytest.raises(OptionsError, match=r"'recall' must be in \(0, 1\]"):
            calibration.false_positive_rate([0.0], [1.0], recall)
