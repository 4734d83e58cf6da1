"""Conformal sets and intervals: the coverage that theory gives, over many exchangeable draws."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats

from tfbdl import calibration, likelihoods
from tfbdl.errors import DataError, ModelError, OptionsError


class Normal:
    """A Predictive of numbers, as given: it need not be right."""

    class model:
        likelihood = likelihoods.Gaussian()

    def __init__(self, mean, stddev):
        self.mean = np.asarray(mean, float)
        self.stddev = np.broadcast_to(stddev, self.mean.shape)

    def interval(self, level):
        return tuple(
            scipy.stats.norm.ppf(q, self.mean, self.stddev)
            for q in (0.5 - level / 2, 0.5 + level / 2)
        )


def rows(rng, shape):
    """Targets whose noise grows with x, and a model whose mean and scale are both wrong."""
    x = rng.uniform(-1, 1, shape)
    y = x + (0.2 + np.abs(x)) * rng.standard_t(3, shape)
    return Normal(0.8 * x + 0.1, 0.3 + 0.2 * np.abs(x)), y


def labelled(rng, n):
    """Probabilities, and labels drawn of others: the model is too sure."""
    logits = 1.5 * rng.normal(size=(n, 4))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return scipy.special.softmax(2.0 * logits, axis=1), labels


def assert_share(hits, share):
    """As often as a binomial number of this share is, in four standard errors."""
    assert np.mean(hits) == pytest.approx(share, abs=4 * (share * (1 - share) / len(hits)) ** 0.5)


# -- the quantile


def test_quantile_is_the_score_of_a_rank():
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 20.0))  # 1 to 19
    for alpha, rank in ((0.05, 19), (0.1, 18), (0.11, 18), (0.5, 10), (0.95, 1)):
        assert calibration.conformal_quantile(scores, alpha) == rank
    ten = np.arange(1.0, 11.0)
    for tenths in range(1, 11):  # 11 (1 - alpha) is whole, or a little more by rounding
        assert calibration.conformal_quantile(ten, 1 - tenths / 11) == tenths


def test_quantile_of_too_few_rows_is_infinite():
    assert calibration.conformal_quantile(np.zeros(8), 0.1) == np.inf
    assert calibration.conformal_quantile(np.zeros(9), 0.1) == 0.0
    assert calibration.conformal_quantile(np.zeros(18), 0.05) == np.inf
    assert calibration.conformal_quantile(np.zeros(19), 0.05) == 0.0
    several = calibration.conformal_quantile(np.zeros((3, 2)), 0.1)
    np.testing.assert_array_equal(several, [np.inf, np.inf])


@pytest.mark.parametrize(("n", "alpha"), [(30, 0.1), (19, 0.05), (250, 0.2)])
def test_coverage_of_a_calibrated_rule_has_the_beta_distribution(n, alpha):
    rng = np.random.default_rng(n)
    scores = rng.exponential(size=(n, 4000))
    covered = -np.expm1(-calibration.conformal_quantile(scores, alpha))  # their cdf
    k = int(np.ceil(round((n + 1) * (1 - alpha), 9)))
    law = scipy.stats.beta(k, n + 1 - k)  # Vovk 2012
    assert law.mean() >= 1 - alpha
    assert scipy.stats.kstest(covered, law.cdf).pvalue > 1e-3
    # one rank less would be told apart
    assert scipy.stats.kstest(covered, scipy.stats.beta(k - 1, n + 2 - k).cdf).pvalue < 1e-6


# -- sets of classes


@pytest.mark.parametrize("score", ["threshold", "cumulative"])
def test_sets_cover_as_often_as_theory_says(score):
    rng = np.random.default_rng(1)
    hits = []
    for draw in range(2000):
        probs, labels = labelled(rng, 25)
        rule = calibration.conformal_sets(probs[:-1], labels[:-1], 0.15, score, seed=draw)
        hits.append(rule.apply(probs[-1:])[0, labels[-1]])
    assert_share(hits, 22 / 25)  # ceil(25 * 0.85) of 25 ranks, all alike probable


def test_cumulative_sets_without_random_numbers_cover_no_less():
    rng = np.random.default_rng(2)
    held_out, labels = labelled(rng, 400)
    new, truth = labelled(rng, 20_000)
    sizes = {}
    for seed in (0, None):
        rule = calibration.conformal_sets(held_out, labels, 0.1, "cumulative", seed)
        sets = rule.apply(new)
        np.testing.assert_array_equal(sets, rule.apply(new))
        # given the 400 rows, the coverage is Beta(361, 40): within four deviations of its mean
        assert sets[np.arange(20_000), truth].mean() > 0.9 - 4 * 0.015
        sizes[seed] = sets.sum(axis=1)
    assert sizes[None].mean() > sizes[0].mean()
    assert sizes[None].min() == 1


def test_random_shares_of_held_out_and_new_rows_are_independent():
    # of two alike classes the score is the share u / 2, or (1 + u) / 2: with one held-out row
    # a new one scores no higher half of the time, unless both had the same u
    even = np.full((1, 2), 0.5)
    rng = np.random.default_rng(3)
    hits = []
    for seed in range(1500):
        rule = calibration.conformal_sets(even, rng.integers(0, 2, 1), 0.5, "cumulative", seed)
        hits.append(rule.apply(even)[0, rng.integers(0, 2)])
    assert_share(hits, 0.5)


def test_sets_by_hand():
    probs = np.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.3, 0.3, 0.4]])
    rule = calibration.conformal_sets(probs, [0, 0, 2], 0.5)  # scores 0.3, 0.6, 0.6; the 2nd
    assert rule.threshold == pytest.approx(0.6)
    new = np.array([[0.35, 0.45, 0.2], [0.41, 0.42, 0.17], [0.34, 0.33, 0.33]])
    expected = [[False, True, False], [True, True, False], [False, False, False]]
    np.testing.assert_array_equal(rule.apply(new), expected)
    rule = calibration.conformal_sets(probs, [0, 0, 2], 0.3, "cumulative", seed=None)
    assert rule.threshold == pytest.approx(0.5)  # scores 0, 0.5 and 0; the 3rd
    new = np.array([[0.1, 0.25, 0.65], [0.35, 0.33, 0.32], [0.26, 0.25, 0.49]])
    expected = [[False, False, True], [True, True, False], [True, False, True]]
    np.testing.assert_array_equal(rule.apply(new), expected)
    with pytest.raises(DataError, match="probabilities of 3 classes"):
        rule.apply([[0.5, 0.5]])


@pytest.mark.parametrize("score", ["threshold", "cumulative"])
def test_sets_of_too_few_rows_hold_all_classes(score):
    probs, labels = labelled(np.random.default_rng(4), 8)
    rule = calibration.conformal_sets(probs, labels, 0.1, score)
    assert rule.threshold == np.inf
    assert rule.apply(probs).all()
    assert rule.num_rows == 8


def test_cumulative_sets_treat_easy_and_hard_rows_alike():
    rng = np.random.default_rng(5)
    ease = np.where(rng.uniform(size=12_000) < 0.5, 6.0, 0.5)[:, np.newaxis]  # half are hard
    logits = ease * rng.normal(size=(12_000, 8))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    probs = scipy.special.softmax(logits, axis=1)
    apart = {}
    for score in ("threshold", "cumulative"):
        rule = calibration.conformal_sets(probs[:6000], labels[:6000], 0.1, score)
        hit = rule.apply(probs[6000:])[np.arange(6000), labels[6000:]]
        hard = ease[6000:, 0] < 1.0
        apart[score] = hit[~hard].mean() - hit[hard].mean()
    assert apart["threshold"] > 0.1
    assert abs(apart["cumulative"]) < 0.04  # Romano, Sesia & Candes: exact if the model is right


# -- intervals


@pytest.mark.parametrize("score", ["scaled", "absolute", "quantile"])
def test_intervals_cover_as_often_as_theory_says(score):
    rng = np.random.default_rng(6)
    # each column is one replication: every output is calibrated by itself
    held_out, y = rows(rng, (24, 4000))
    rule = calibration.conformal_intervals(held_out, y, 0.15, score)
    assert rule.threshold.shape == (4000,)
    new, truth = rows(rng, (1, 4000))
    low, high = rule.apply(new)
    assert_share(((low <= truth) & (truth <= high))[0], 22 / 25)


def test_scaled_and_quantile_intervals_are_wide_where_the_model_is_unsure():
    rng = np.random.default_rng(7)
    held_out, y = rows(rng, 300)
    new = Normal([0.0, 0.0], [0.3, 0.6])
    widths = {}
    for score in ("scaled", "absolute", "quantile"):
        rule = calibration.conformal_intervals(held_out, y, 0.1, score)
        low, high = rule.apply(new)
        widths[score] = high - low
        assert rule.num_rows == 300
    assert widths["scaled"][1] == pytest.approx(2 * widths["scaled"][0])
    assert widths["absolute"][1] == pytest.approx(widths["absolute"][0])
    # the interval of the model, at level 0.9, and the same on top
    assert np.diff(widths["quantile"])[0] == pytest.approx(2 * 1.644854 * 0.3, rel=1e-5)


def test_intervals_by_hand():
    held_out = Normal(np.zeros((4, 2)), np.ones((4, 2)))
    y = np.array([[1.0, 0.1], [-2.0, 0.2], [3.0, -0.3], [-4.0, 0.4]])
    rule = calibration.conformal_intervals(held_out, y, 0.4, "absolute")  # the third of four
    np.testing.assert_allclose(rule.threshold, [3.0, 0.3])
    low, high = rule.apply(Normal([[10.0, 20.0]], 1.0))
    np.testing.assert_allclose(low, [[7.0, 19.7]])
    np.testing.assert_allclose(high, [[13.0, 20.3]])
    rule = calibration.conformal_intervals(Normal(np.zeros(4), [1, 2, 1, 8]), y[:, 0], 0.4)
    assert rule.threshold == 1.0  # of 1, 1, 3 and 0.5
    half = scipy.stats.norm.ppf(0.8)
    rule = calibration.conformal_intervals(held_out, y, 0.4, "quantile")
    np.testing.assert_allclose(rule.threshold, [3.0 - half, 0.3 - half])
    low, high = rule.apply(Normal([[0.0, 0.0], [0.0, 7.0]], [[1.0, 1.0], [1.0, 0.1]]))
    np.testing.assert_allclose(high[0], [3.0, 0.3])  # narrower than the model said
    np.testing.assert_allclose((low[1, 1], high[1, 1]), 7.0)  # nothing is left of that one


@pytest.mark.parametrize("score", ["scaled", "absolute", "quantile"])
def test_intervals_of_too_few_rows_are_infinite(score):
    held_out, y = rows(np.random.default_rng(8), 8)
    low, high = calibration.conformal_intervals(held_out, y, 0.1, score).apply(held_out)
    assert np.isneginf(low).all()
    assert np.isposinf(high).all()


def test_what_does_not_fit_is_refused():
    probs, labels = labelled(np.random.default_rng(9), 30)
    numbers, y = rows(np.random.default_rng(9), 30)
    for alpha in (0.0, 1.0, -0.1, np.nan, "a"):
        with pytest.raises(OptionsError, match="'alpha' must be strictly between 0 and 1"):
            calibration.conformal_quantile(y, alpha)
        with pytest.raises(OptionsError, match="'alpha' must be strictly between 0 and 1"):
            calibration.conformal_sets(probs, labels, alpha)
        with pytest.raises(OptionsError, match="'alpha' must be strictly between 0 and 1"):
            calibration.conformal_intervals(numbers, y, alpha)
    with pytest.raises(DataError, match="without NaN"):
        calibration.conformal_quantile([0.0, np.nan])
    with pytest.raises(DataError, match="must not be empty"):
        calibration.conformal_quantile([])
    with pytest.raises(OptionsError, match=r"named 'cumulate'. Did you mean 'cumulative'\?"):
        calibration.conformal_sets(probs, labels, score="cumulate")
    with pytest.raises(OptionsError, match="Expected one of: scaled, absolute, quantile"):
        calibration.conformal_intervals(numbers, y, score="threshold")
    with pytest.raises(DataError, match=r"labels of shape \(30,\).*Received: \(29,\)"):
        calibration.conformal_sets(probs, labels[:-1])
    with pytest.raises(DataError, match=r"targets of shape \(30,\). Received: \(29,\)"):
        calibration.conformal_intervals(numbers, y[:-1])
    with pytest.raises(DataError, match="Targets must be finite"):
        calibration.conformal_intervals(numbers, np.full(30, np.nan))
    with pytest.raises(DataError, match=r"shape \[n, \]. Received: \(2, 2\)"):
        calibration.conformal_intervals(numbers, y).apply(Normal(np.zeros((2, 2)), 1.0))
    with pytest.raises(DataError, match="needs a Predictive"):
        calibration.conformal_intervals(y, y)
    with pytest.raises(ModelError, match=r"finite ones above 0.*Use 'quantile'"):
        calibration.conformal_intervals(Normal(np.zeros(30), np.inf), y)
