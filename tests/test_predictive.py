"""Predictive against mixtures computed directly, SciPy and simulated data."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

from tfbdl import BayesianNetwork, evaluation, predictive
from tfbdl.errors import DataError, ModelError, OptionsError
from tfbdl.posterior import Posterior
from tfbdl.predictive import Predictive

RNG = np.random.default_rng(0)
DRAWS = 7
X = RNG.normal(size=(11, 2)).astype("float32")
NOISE = 0.4


def linear(likelihood, units=1, **options):
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units, use_bias=False)])
    return BayesianNetwork(net, likelihood, likelihood_options=options)


def weights(units=1, draws=DRAWS, scale=1.0):
    return scale * np.random.default_rng(1).normal(size=(draws, 2, units)).astype("float32")


def with_draws(model, w, x=X, **options):
    posterior = Posterior({"dense.kernel": w[np.newaxis]})
    return Predictive(model, posterior, x, draws=len(w), **options)


@pytest.fixture(scope="module")
def model():
    return linear("gaussian", scale=NOISE)


@pytest.fixture(scope="module")
def wide():
    return linear("gaussian", units=3, scale=NOISE)


@pytest.fixture(scope="module")
def counts():
    return linear("poisson")


@pytest.fixture(scope="module")
def classes():
    return linear("categorical", units=4)


@pytest.fixture(scope="module")
def locs():
    """The mean under each draw: ``[draw, n]``."""
    return (X @ weights())[..., 0]


# -- moments and densities


def test_moments_are_those_of_the_mixture(model, locs):
    p = with_draws(model, weights())
    assert p.mean.shape == (11, 1)
    np.testing.assert_allclose(p.mean[:, 0], locs.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(p.epistemic[:, 0], locs.var(0), rtol=1e-4)
    np.testing.assert_allclose(p.aleatoric, NOISE**2, rtol=1e-5)
    np.testing.assert_allclose(p.stddev**2, p.aleatoric + p.epistemic, rtol=1e-12)


def test_epistemic_variance_does_not_cancel_beside_a_large_mean():
    far = linear("gaussian", scale=1.0, target_mean=1e4, target_scale=0.1)
    w = weights(scale=10.0)
    p = with_draws(far, w)
    np.testing.assert_allclose(p.epistemic[:, 0], (0.1 * (X @ w)[..., 0]).var(0), rtol=1e-2)


@pytest.mark.parametrize("draws", [1, 7])
def test_log_prob_is_that_of_the_mixture(model, locs, draws):
    y = RNG.normal(size=11)
    p = with_draws(model, weights()[:draws])
    terms = scipy.stats.norm(locs[:draws], NOISE).logpdf(y)
    expected = scipy.special.logsumexp(terms, axis=0) - np.log(draws)
    np.testing.assert_allclose(p.log_prob(y), expected, rtol=1e-4)
    np.testing.assert_allclose(p.expected_log_prob(y), terms.mean(0), rtol=1e-4)


def test_log_prob_far_from_every_draw_does_not_underflow(model, locs):
    y = np.full(11, 500.0)
    terms = scipy.stats.norm(locs, NOISE).logpdf(y)
    expected = scipy.special.logsumexp(terms, axis=0) - np.log(DRAWS)
    assert expected.max() < -1e5
    np.testing.assert_allclose(with_draws(model, weights()).log_prob(y), expected, rtol=1e-4)


def test_log_prob_is_summed_over_output_dimensions(wide):
    w, y = weights(3), RNG.normal(size=(11, 3))
    terms = scipy.stats.norm(X @ w, NOISE).logpdf(y).sum(-1)
    expected = scipy.special.logsumexp(terms, axis=0) - np.log(DRAWS)
    found = with_draws(wide, w).log_prob(y)
    assert found.shape == (11,)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


# -- quantiles


def test_cdf_is_the_mean_of_the_cdfs(model, locs):
    y = RNG.normal(size=11)
    expected = scipy.stats.norm(locs, NOISE).cdf(y).mean(0)
    np.testing.assert_allclose(with_draws(model, weights()).cdf(y)[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])  # draws that nearly agree, and that do not
def test_quantiles_are_those_of_the_mixture(model, scale):
    w, levels = weights(scale=scale), [0.001, 0.05, 0.5, 0.975]
    locs = (X @ w)[..., 0]
    found = with_draws(model, w).quantile(levels)
    assert found.shape == (4, 11, 1)
    for level, row in zip(levels, found, strict=True):
        for i in range(11):

            def excess(y, i=i, level=level):
                return scipy.stats.norm(locs[:, i], NOISE).cdf(y).mean() - level

            exact = scipy.optimize.brentq(excess, locs[:, i].min() - 9, locs[:, i].max() + 9)
            # Where the cdf is flat a float32 probability decides the place only this well.
            density = scipy.stats.norm(locs[:, i], NOISE).pdf(exact).mean()
            assert row[i, 0] == pytest.approx(exact, abs=1e-4 + 1e-6 / density)


@pytest.mark.parametrize("df", [1.2, 2.0])  # the variance is infinite
def test_intervals_of_heavy_tails_are_finite_and_right(df):
    model = linear("student_t", df=df, scale=0.3, target_scale=20.0, target_mean=5.0)
    w = weights(draws=1)
    p = with_draws(model, w)
    low, high = p.interval(0.9)
    locs = 5.0 + 20.0 * (X @ w[0])
    half = scipy.stats.t(df, scale=6.0).ppf(0.95)
    np.testing.assert_allclose(low, locs - half, rtol=1e-4)
    np.testing.assert_allclose(high, locs + half, rtol=1e-4)
    assert np.isinf(p.aleatoric).all()
    assert evaluation.evaluate(p, locs)["coverage_90"] == 1.0


def test_quantile_of_one_level_has_the_shape_of_the_mean(wide):
    p = with_draws(wide, weights(3))
    low, high = p.interval(0.8)
    assert p.quantile(0.3).shape == p.mean.shape == low.shape == (11, 3)
    np.testing.assert_allclose(p.cdf(high) - p.cdf(low), 0.8, atol=1e-5)


def test_quantiles_of_counts_are_the_smallest_that_reach_the_level(counts):
    w, levels = weights(scale=2.0), [0.001, 0.05, 0.5, 0.9, 0.999]
    rates = np.exp((X @ w)[..., 0].astype(float))
    support = np.arange(2000)
    cdf = scipy.stats.poisson.cdf(support[:, None, None], rates).mean(1)  # [count, n]
    expected = np.stack([(cdf < level).sum(0) for level in levels])
    found = with_draws(counts, w).quantile(levels)
    np.testing.assert_array_equal(found[..., 0], expected)
    assert expected.min() == 0
    assert expected.max() > 20


def test_cdf_of_counts_is_a_step_function_from_zero(counts):
    p = with_draws(counts, weights())
    rates = np.exp((X @ weights())[..., 0].astype(float))
    for y in (-1.0, 0.0, 2.0, 2.7):
        expected = scipy.stats.poisson.cdf(y, rates).mean(0)
        np.testing.assert_allclose(p.cdf(np.full(11, y))[:, 0], expected, atol=1e-6)


def test_intervals_cover_simulated_data_at_their_level(model):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4000, 2)).astype("float32")
    w = rng.normal(size=(60, 2, 1)).astype("float32")
    truth = rng.integers(0, 60, 4000)  # each datum is drawn with one of the draws
    y = (x * w[truth, :, 0]).sum(1) + NOISE * rng.normal(size=4000)
    low, high = with_draws(model, w, x).interval(0.9)
    covered = np.mean((low[:, 0] <= y) & (y <= high[:, 0]))
    assert covered == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / 4000))


def test_levels_out_of_range_are_refused(model, classes):
    p = with_draws(model, weights())
    for q in (0.0, 1.0, [0.5, 1.5]):
        with pytest.raises(OptionsError, match="strictly between 0 and 1"):
            p.quantile(q)
    with pytest.raises(OptionsError, match=r"level .*Received: 90"):
        p.interval(90)
    with pytest.raises(ModelError, match="no quantiles"):
        with_draws(classes, weights(4)).quantile(0.5)


# -- samples


def test_samples_have_the_moments_of_the_mixture(model):
    p = with_draws(model, weights())
    samples = p.sample(3000, seed=2)
    assert samples.shape == (3000, 11, 1)
    error = p.stddev / 3000**0.5
    np.testing.assert_array_less(np.abs(samples.mean(0) - p.mean), 5 * error)
    np.testing.assert_allclose(samples.var(0), p.variance, rtol=0.25)
    np.testing.assert_array_equal(p.sample(3, seed=2), p.sample(3, seed=2))
    assert not np.any(p.sample(3, seed=3) == p.sample(3, seed=2))


def test_samples_of_classes_and_counts_are_in_their_support(classes, counts):
    labels = with_draws(classes, weights(4)).sample(200)
    assert labels.shape == (200, 11)
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    found = with_draws(counts, weights()).sample(20)
    np.testing.assert_array_equal(found, np.floor(found))


# -- classes


def test_entropy_is_expected_entropy_and_mutual_information(classes):
    w = weights(4, scale=3.0)
    p = with_draws(classes, w)
    probs = scipy.special.softmax((X @ w).astype(float), axis=-1)
    np.testing.assert_allclose(p.probs, probs.mean(0), atol=1e-6)
    entropy = scipy.stats.entropy(probs.mean(0), axis=-1)
    conditional = scipy.stats.entropy(probs, axis=-1).mean(0)
    np.testing.assert_allclose(p.entropy, entropy, atol=1e-6)
    np.testing.assert_allclose(p.expected_entropy, conditional, atol=1e-6)
    np.testing.assert_allclose(p.mutual_information, entropy - conditional, atol=1e-6)
    assert p.mutual_information.min() > 0


def test_draws_that_agree_have_no_mutual_information(classes):
    same = np.repeat(weights(4)[:1], DRAWS, axis=0)
    np.testing.assert_allclose(with_draws(classes, same).mutual_information, 0.0, atol=1e-12)


def test_entropy_of_a_coin_counts_both_sides():
    w = weights()
    p = with_draws(linear("bernoulli"), w)
    probs = scipy.special.expit((X @ w).astype(float)).mean(0)
    np.testing.assert_allclose(p.probs, probs, atol=1e-6)
    expected = scipy.special.entr(probs) + scipy.special.entr(1 - probs)
    np.testing.assert_allclose(p.entropy, expected, atol=1e-6)


def test_probabilities_of_numbers_are_refused(model):
    p = with_draws(model, weights())
    for name in ("probs", "entropy", "expected_entropy", "mutual_information"):
        with pytest.raises(ModelError, match=f"{name} is for classes.*'gaussian'"):
            getattr(p, name)


# -- the stream


class Recorder(Posterior):
    """Notes how many states are asked for at once."""

    def states(self, start, stop, seed, total):
        self.asked = [*getattr(self, "asked", []), stop - start]
        return super().states(start, stop, seed, total)


def test_memory_does_not_grow_with_the_number_of_draws(model, monkeypatch):
    monkeypatch.setattr(predictive, "KEEP_BYTES", 0)
    monkeypatch.setattr(predictive, "BLOCK_BYTES", 4 * 1024 * 10)
    most = []
    for draws in (40, 400):
        posterior = Recorder({"dense.kernel": weights(draws=draws)[np.newaxis]})
        p = Predictive(model, posterior, X, draws=draws)
        assert p.mean.shape == p.quantile(0.5).shape
        most.append(max(posterior.asked))
        assert p._kept == {}
    assert most[0] == most[1] < 40


def test_outputs_are_kept_where_they_are_small_or_wanted(model, monkeypatch):
    posterior = Recorder({"dense.kernel": weights()[np.newaxis]})
    p = Predictive(model, posterior, X, draws=DRAWS)
    p.log_prob(RNG.normal(size=11))
    assert (p.mean.shape, posterior.asked) == ((11, 1), [DRAWS])  # drawn once
    monkeypatch.setattr(predictive, "KEEP_BYTES", 0)
    kept = with_draws(model, weights(), keep=True)
    assert kept.mean.shape == (11, 1)
    assert sum(outputs.shape[0] for outputs, _ in kept._kept.values()) == DRAWS


@pytest.mark.parametrize(("block_bytes", "batch_size"), [(1, None), (1, 4), (None, 4)])
def test_result_does_not_depend_on_how_it_is_cut(model, monkeypatch, block_bytes, batch_size):
    y = RNG.normal(size=11)
    whole = with_draws(model, weights())
    assert whole.block == DRAWS
    if block_bytes:
        monkeypatch.setattr(predictive, "BLOCK_BYTES", block_bytes)
    cut = with_draws(model, weights(), batch_size=batch_size)
    assert cut.block == (1 if block_bytes else DRAWS)
    for name in ("mean", "aleatoric", "epistemic"):
        np.testing.assert_allclose(getattr(cut, name), getattr(whole, name), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(cut.log_prob(y), whole.log_prob(y), rtol=1e-5)
    np.testing.assert_allclose(cut.quantile(0.3), whole.quantile(0.3), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(cut.sample(3), whole.sample(3), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cut.outputs(), whole.outputs(), rtol=1e-5, atol=1e-6)


def test_inputs_may_have_several_parts():
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    joined = keras.layers.Concatenate()([a, b])
    net = keras.Model({"a": a, "b": b}, keras.layers.Dense(1, use_bias=False)(joined))
    model = BayesianNetwork(net, "gaussian", likelihood_options={"scale": NOISE})
    w, x = RNG.normal(size=(4, 3, 1)).astype("float32"), {"a": X, "b": X[:, :1]}
    p = Predictive(model, Posterior({"dense.kernel": w[np.newaxis]}), x, draws=4)
    expected = (np.concatenate([X, X[:, :1]], 1) @ w).mean(0)
    np.testing.assert_allclose(p.mean, expected, rtol=1e-4, atol=1e-6)


def test_wrong_arguments_are_refused(model):
    for options in ({"draws": 0}, {"draws": 2.5}, {"batch_size": -1}):
        with pytest.raises(OptionsError, match=f"{next(iter(options))} must be an integer"):
            model.predictive(X, **options)
    with pytest.raises(DataError, match=r"each of 11 rows\. Received: 10"):
        with_draws(model, weights()).log_prob(np.zeros(10))


# -- scores


def test_scores_of_numbers(model, locs):
    y = locs.mean(0) + 0.3
    scores = evaluation.evaluate(with_draws(model, weights()), y)
    assert scores["rmse"] == pytest.approx(0.3, rel=1e-4)
    assert scores["mae"] == pytest.approx(0.3, rel=1e-4)
    terms = scipy.stats.norm(locs, NOISE).logpdf(y)
    nll = -(scipy.special.logsumexp(terms, axis=0) - np.log(DRAWS)).mean()
    assert scores["nll"] == pytest.approx(nll, rel=1e-4)
    assert scores["coverage_90"] == 1.0
    total = locs.var(0).sum()
    assert scores["epistemic_share"] == pytest.approx(total / (total + 11 * NOISE**2), rel=1e-4)
    # Of one normal the CRPS is known (Gneiting and Raftery 2007, eq. 21); 200 samples estimate it.
    one = evaluation.evaluate(with_draws(model, weights()[:1]), locs[0])
    assert one["crps"] == pytest.approx(NOISE * (2**0.5 - 1) / np.pi**0.5, rel=0.1)
    assert one["interval_width_90"] == pytest.approx(2 * 1.644854 * NOISE, rel=1e-3)
    assert one["epistemic_share"] == 0.0


def test_scores_of_classes(classes):
    w = weights(4)
    probs = scipy.special.softmax((X @ w).astype(float), axis=-1).mean(0)
    y = RNG.integers(0, 4, 11)
    scores = evaluation.evaluate(with_draws(classes, w), y)
    assert scores["error"] == np.mean(probs.argmax(1) != y)
    assert scores["nll"] == pytest.approx(-np.log(probs[np.arange(11), y]).mean(), rel=1e-5)
    assert scores["brier"] == pytest.approx(((probs - np.eye(4)[y]) ** 2).sum(1).mean(), rel=1e-5)
    one_hot = evaluation.evaluate(with_draws(classes, w), np.eye(4)[y])
    assert one_hot == pytest.approx(scores)


def test_a_bernoulli_has_the_probabilities_of_both_classes():
    p = with_draws(linear("bernoulli", units=2), weights(2))
    ones = (1 / (1 + np.exp(-(X @ weights(2))))).mean(0)
    assert p.class_probs.shape == (11, 2, 2)
    np.testing.assert_allclose(p.class_probs, np.stack([1 - ones, ones], -1), rtol=1e-5)
    probs, labels = p.class_pairs(np.eye(2)[np.arange(11) % 2])
    assert (probs.shape, labels.tolist()[:4]) == ((22, 2), [1, 0, 0, 1])
