"""Resampling: each particle as often as its weight says, with the variances of theory."""

import numpy as np
import pytest
import tensorflow as tf

from tfbdl import random
from tfbdl.errors import OptionsError
from tfbdl.inference.monte_carlo.resampling import SCHEMES, effective_size, resample, systematic

N, RUNS = 20, 4_000
WEIGHTS = np.random.default_rng(0).dirichlet(np.full(N, 0.5))
EACH = pytest.mark.parametrize("scheme", SCHEMES)


def counts(scheme, weights=WEIGHTS, runs=RUNS, seed=1, count=None):
    """How often each particle was taken, ``[runs, N]``."""
    with np.errstate(divide="ignore"):
        log_weights = np.broadcast_to(np.log(weights), (runs, len(weights)))
    index = resample(tf.constant(log_weights), random.key(seed), scheme, count).numpy()
    assert index.dtype == np.int32
    return np.stack([np.bincount(row, minlength=len(weights)) for row in index])


@EACH
@pytest.mark.parametrize("count", [None, 7])
def test_each_particle_is_taken_in_proportion_on_average(scheme, count):
    taken = counts(scheme, count=count)
    assert (taken.sum(axis=1) == (count or N)).all()
    error = taken.std(axis=0) / np.sqrt(RUNS)
    # five standard errors; systematic takes some particles always equally often
    assert (np.abs(taken.mean(axis=0) - (count or N) * WEIGHTS) < 5 * error + 1e-9).all()


def test_variances_are_those_of_theory_and_in_their_order():
    f = np.random.default_rng(1).normal(size=N)  # of particles in no order
    found = {scheme: (counts(scheme) @ f / N).var() for scheme in SCHEMES}
    mean = WEIGHTS @ f
    multinomial = (WEIGHTS @ f**2 - mean**2) / N
    rest = N * WEIGHTS - np.floor(N * WEIGHTS)  # what residual resampling draws at random
    share = rest / rest.sum()
    residual = rest.sum() * (share @ f**2 - (share @ f) ** 2) / N**2
    edges = np.concatenate([[0.0], np.cumsum(WEIGHTS)])
    parts = np.clip(edges[None, 1:], (np.arange(N) / N)[:, None], ((np.arange(N) + 1) / N)[:, None])
    inside = N * np.diff(np.concatenate([np.arange(N)[:, None] / N, parts], axis=1), axis=1)
    stratified = (inside @ f**2 - (inside @ f) ** 2).sum() / N**2
    # a variance of 4,000 draws is within 10 % (more than four standard errors)
    expected = {"multinomial": multinomial, "residual": residual, "stratified": stratified}
    for scheme, variance in expected.items():
        assert found[scheme] == pytest.approx(variance, rel=0.1)
    assert residual < multinomial
    assert stratified < multinomial
    assert found["systematic"] < found["multinomial"]


def test_residual_keeps_whole_parts_and_systematic_no_more_than_one_beside():
    assert (counts("residual") >= np.floor(N * WEIGHTS)).all()
    assert (np.abs(counts("systematic") - N * WEIGHTS) < 1.0 + 1e-9).all()


@EACH
def test_weights_of_zero_and_one_are_kept_to(scheme):
    alone = np.eye(N)[7]
    assert (counts(scheme, alone, runs=5)[:, 7] == N).all()
    last = np.zeros(4)
    last[:2] = 0.5
    assert (counts(scheme, last, runs=50)[:, 2:] == 0).all()


def test_residual_draws_nothing_where_all_parts_are_whole():
    assert (counts("residual", np.array([0.5, 0.25, 0.25, 0.0]), runs=5) == [2, 1, 1, 0]).all()


def test_systematic_of_given_starts_takes_each_in_proportion():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.full(40, 0.3), size=5)
    weights[0] = np.eye(40)[7]
    with np.errstate(divide="ignore"):
        index = systematic(tf.constant(np.log(weights)), tf.constant(rng.uniform(size=5))).numpy()
    for row, share in zip(index, weights, strict=True):
        taken = np.bincount(row, minlength=40)
        assert (np.abs(taken - 40 * share) < 1.0 + 1e-9).all()
    assert (index[0] == 7).all()


@EACH
def test_seed_decides_all(scheme):
    first, again, other = (counts(scheme, runs=50, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_one_population_has_no_leading_axis():
    log_weights = tf.constant(np.log(WEIGHTS))
    assert resample(log_weights, random.key(1)).shape == (N,)
    assert float(effective_size(log_weights)) == pytest.approx(1.0 / (WEIGHTS**2).sum())


def test_unknown_scheme_is_refused():
    with pytest.raises(OptionsError, match=r"must be one of .*Did you mean 'systematic'"):
        resample(tf.constant(np.log(WEIGHTS)), random.key(1), "sistematic")
