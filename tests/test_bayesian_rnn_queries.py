"""What is asked of a Bayesian recurrent net: log probabilities of rows, samples, copies."""

import keras
import numpy as np
import pytest
import tensorflow_probability as tfp
from rnn_cases import (
    EXACT,
    K,
    log_probs_by_keras,
    model_of,
    net,
    symbols,
)
from scipy import stats
from tfbdl_bbb.bayesian_rnn import BayesianRNN

from tfbdl import functional

tfd = tfp.distributions


def test_draws_are_averaged_symbol_by_symbol():
    model, x = model_of(posterior_options={"initial_raw_scale": -1.0}), symbols(2, 9)
    weights = model.posterior.sample(4, seed=5)
    probs = []
    for draw in range(4):
        copy = net()
        for name, variable in functional.site_names(copy).items():
            variable.assign(weights[name][draw])
        probs.append(np.exp(log_probs_by_keras(copy, x)))
    expected = np.log(np.mean(probs, axis=0))
    np.testing.assert_allclose(model.log_probs(x, draws=4, seed=5), expected, atol=1e-5)
    predictive = model.predictive(x[:, :-1].astype("float32"), draws=4, seed=5)
    of_next = np.take_along_axis(predictive.probs, x[:, 1:, None], axis=-1)[..., 0]
    np.testing.assert_allclose(np.log(of_next), expected, atol=1e-5)


def test_rows_may_end_early_and_what_is_behind_counts_nothing():
    model, x = model_of(**EXACT), symbols(2, 12)
    short = x.copy()
    short[1, 7:] = -1
    found, truth = model.log_probs(short), model.log_probs(x)
    np.testing.assert_array_equal(found[0], truth[0])
    np.testing.assert_array_equal(found[1, :6], truth[1, :6])
    assert np.isnan(found[1, 6:]).all()
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    logs = model.fit(short, verbose=0).history
    assert logs["nll"][0] == pytest.approx(-np.nanmean(found), rel=1e-5)


def test_long_rows_are_read_in_parts_that_do_not_matter(monkeypatch):
    model, x = model_of(**EXACT), symbols(2, 40)
    whole = model.log_probs(x)
    monkeypatch.setattr("tfbdl_bbb.rnn_queries.SPAN", 7)
    np.testing.assert_allclose(model.log_probs(x), whole, atol=1e-6)


@pytest.mark.slow
def test_samples_have_the_probabilities_of_the_model():
    model = model_of(**EXACT)
    p = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    for name, variable in functional.site_names(model.net).items():
        variable.assign(np.log(p) if name == "head.bias" else np.zeros(variable.shape))
    found = model.sample(2, 2_000, seed=3)
    assert found.shape == (2, 2_000)
    counts = np.bincount(found.ravel(), minlength=K)
    assert stats.chisquare(counts, p * counts.sum()).pvalue > 1e-3
    np.testing.assert_array_equal(found, model.sample(2, 2_000, seed=3))
    head = functional.site_names(model.net)["head.bias"]
    head.assign([0.0, 50.0, 0.0, 0.0, 0.0])
    assert (model.sample(1, 5, start=[2, 3]) == 1).all()


@pytest.mark.slow
def test_pruning_and_copies_keep_what_the_model_is():
    model, x = model_of(sharpening=True, length=3), symbols()
    model.compile(run_eagerly=True)
    model.fit(x, verbose=0)
    copy = model.clone()
    for one, other in zip(model.weights, copy.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    pruned = model.prune(0.5)
    assert isinstance(pruned, BayesianRNN)
    assert (pruned.length, pruned.streams, pruned.symbols_seen.numpy()) == (3, 2, 4 * 13)
    zeros = sum((value == 0).sum() for value in pruned.posterior.sample(1)["head.kernel"])
    assert zeros > 0
    assert np.isfinite(pruned.nll(x))
