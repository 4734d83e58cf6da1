"""Draws without replacement: Plackett-Luce, stochastic beam search, Horvitz-Thompson."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from tfbdl import random
from tfbdl.errors import DataError, ModelError, OptionsError
from tfbdl.inference import reparameterizations
from tfbdl.inference.reparameterizations import beams

Z = 4.0


def plackett_luce(p: np.ndarray, order: tuple[int, ...]) -> float:
    """The probability of items one after the other, each in proportion to those left."""
    left, probability = 1.0, 1.0
    for item in order:
        probability *= p[item] / left
        left -= p[item]
    return probability


def chi_square(counts: np.ndarray, expected: np.ndarray) -> float:
    """p-value, cells expected less than 5 times put together."""
    rare = expected < 5
    if rare.any():
        counts = np.append(counts[~rare], counts[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
    return stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue


def tree(branches: int, depth: int, seed: int, dtype: str = "float64") -> tuple[Any, np.ndarray]:
    """A model whose next token depends on all before, and the log probabilities of leaves."""
    nodes = sum(branches**level for level in range(depth))
    logits = np.random.default_rng(seed).normal(size=(nodes, branches)).astype(dtype)
    table = tf.constant(logits)

    def step(state: tuple[tf.Tensor, tf.Tensor], token: tf.Tensor) -> tuple[tf.Tensor, Any]:
        level, node = state
        # the children of node i of a full tree are branches * i + 1 + token
        node = tf.where(level == 0, 0, branches * node + 1 + token)
        return tf.gather(table, tf.minimum(node, nodes - 1)), (level + 1, node)

    log_probs = special.log_softmax(logits.astype("float64"), axis=1)
    leaves = []
    for path in itertools.product(range(branches), repeat=depth):
        node, total = 0, 0.0
        for token in path:
            total += log_probs[node, token]
            node = branches * node + 1 + token
        leaves.append(total)
    return step, np.array(leaves)


def search(
    step: Any, batch: int, k: int, length: int, seed: int = 0, **options: Any
) -> reparameterizations.Beams:
    zeros = tf.zeros([batch], tf.int32)

    @tf.function(autograph=False)
    def run() -> reparameterizations.Beams:
        return reparameterizations.stochastic_beam_search(
            step, (zeros, zeros), zeros, k, length, random.key(seed), **options
        )

    return run()


def leaf_numbers(tokens: tf.Tensor, branches: int) -> np.ndarray:
    """Of sequences ``[..., T]`` without an end, in the order of ``tree``."""
    digits = branches ** np.arange(tokens.shape[-1])[::-1]
    return (tokens.numpy() * digits).sum(axis=-1)


# -- Gumbel-top-k ---------------------------------------------------------------------------------

ITEMS = np.random.default_rng(0).normal(size=8)
ORDERS = list(itertools.permutations(range(8), 3))


def test_gumbel_top_k_draws_without_replacement() -> None:
    n, p = 50_000, special.softmax(ITEMS)
    logits = tf.constant(np.broadcast_to(ITEMS, (n, 8)))
    found = reparameterizations.gumbel_top_k(logits, 3, random.key(1))
    codes = (found.indices.numpy() * [64, 8, 1]).sum(axis=1)
    counts = np.bincount(codes, minlength=512)[[64 * i + 8 * j + k for i, j, k in ORDERS]]
    assert counts.sum() == n  # no item twice
    expected = n * np.array([plackett_luce(p, order) for order in ORDERS])
    assert chi_square(counts, expected) > 1e-3
    np.testing.assert_allclose(found.log_probs, np.log(p)[found.indices], rtol=1e-12)
    assert (np.diff(found.perturbed, axis=1) < 0).all()
    assert (found.threshold < found.perturbed[:, -1]).numpy().all()


def test_plackett_luce_log_prob_is_that_of_enumeration() -> None:
    found = reparameterizations.plackett_luce_log_prob(ITEMS, np.array(ORDERS))
    p = special.softmax(ITEMS)
    np.testing.assert_allclose(np.exp(found), [plackett_luce(p, o) for o in ORDERS], rtol=1e-10)
    assert np.exp(found).sum() == pytest.approx(1.0, rel=1e-10)


def test_items_without_probability_are_never_drawn() -> None:
    for dtype in ("float32", "float64"):
        logits = tf.constant([0.0, -np.inf, -1e4, 1.0], dtype)
        found = reparameterizations.gumbel_top_k(logits, 4, random.key(2))
        assert set(found.indices.numpy()[:2]) == {0, 3}
        np.testing.assert_array_equal(found.indices[2:], [2, -1])
        assert not np.isnan(found.perturbed).any()
        assert found.threshold == -np.inf


# -- the conditional ------------------------------------------------------------------------------


def test_given_maximum_is_the_formula_where_that_does_not_overflow() -> None:
    rng = np.random.default_rng(3)
    g, T = rng.gumbel(size=(200, 6)), rng.gumbel(size=200)
    found = reparameterizations.given_maximum(tf.constant(g), tf.constant(T))
    Z_ = g.max(axis=1, keepdims=True)
    direct = -np.log(np.exp(-T[:, None]) - np.exp(-Z_) + np.exp(-g))  # Kool et al., equation (20)
    np.testing.assert_allclose(found, direct, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shift", [-1e4, -800.0, 800.0, 1e4])
def test_given_maximum_is_exact_where_the_formula_overflows(shift: float, dtype: str) -> None:
    # moved by a constant together, all of it moves by that constant
    g, T = np.array([0.3, -0.2, -1.0]), np.array(0.9)
    near = reparameterizations.given_maximum(tf.constant(g), tf.constant(T)).numpy()
    far = reparameterizations.given_maximum(
        tf.constant(g + shift, dtype), tf.constant(T + shift, dtype)
    )
    np.testing.assert_allclose(far - shift, near, atol=4 * abs(shift) * np.finfo(dtype).eps)
    assert float(far[0]) == np.asarray(T + shift, dtype)


def test_given_maximum_has_the_law_of_truncated_gumbels() -> None:
    rng = np.random.default_rng(4)
    locs, T = np.log([0.5, 0.3, 0.2]), 0.4
    z = rng.gumbel(size=(100_000, 3)) + locs
    found = reparameterizations.given_maximum(tf.constant(z), tf.constant(np.full(len(z), T)))
    np.testing.assert_array_equal(found.numpy().max(axis=1), T)
    below = found.numpy()[:, 2][found.numpy()[:, 2] < T]

    def cdf(x: np.ndarray) -> np.ndarray:
        return np.exp(-0.2 * (np.exp(-x) - np.exp(-T)))

    assert stats.kstest(below, cdf).pvalue > 1e-3
    assert stats.binomtest(len(z) - len(below), len(z), 0.2).pvalue > 1e-3  # the largest, by p


# -- stochastic beam search -----------------------------------------------------------------------


def test_beam_search_is_the_top_k_of_the_gumbels_of_all_leaves() -> None:
    step, leaves = tree(4, 4, seed=0)
    every = search(step, 2, 256, 4, seed=5)
    np.testing.assert_allclose(np.sort(leaf_numbers(every.tokens, 4), axis=1)[1], np.arange(256))
    log_probs = leaves[leaf_numbers(every.tokens, 4)]
    np.testing.assert_allclose(every.log_probs, log_probs, rtol=1e-10)
    # of a tree searched to the last leaf the noise of all leaves is independent and Gumbel
    noise = (every.perturbed.numpy() - log_probs).ravel()
    assert stats.kstest(noise, stats.gumbel_r.cdf).pvalue > 1e-3
    assert (every.threshold.numpy() == -np.inf).all()
    for k in (3, 20):
        few = search(step, 2, k, 4, seed=5)
        np.testing.assert_array_equal(few.tokens, every.tokens[:, :k])
        np.testing.assert_allclose(few.perturbed, every.perturbed[:, :k], rtol=1e-10)
        np.testing.assert_allclose(few.threshold, every.perturbed[:, k], rtol=1e-10)


@pytest.mark.slow
def test_leaves_are_independent_gumbels() -> None:
    step, leaves = tree(2, 2, seed=1)
    found = search(step, 20_000, 4, 2, seed=6)
    noise = np.empty((20_000, 4))
    numbers = leaf_numbers(found.tokens, 2)
    np.put_along_axis(noise, numbers, found.perturbed.numpy() - leaves[numbers], axis=1)
    for leaf in noise.T:
        assert stats.kstest(leaf, stats.gumbel_r.cdf).pvalue > 1e-3
    correlation = np.corrcoef(noise.T)[np.triu_indices(4, 1)]
    assert np.abs(correlation).max() < Z / np.sqrt(20_000)


def ordered_p_value(k: int, n: int = 40_000) -> float:
    """Of ordered draws of k of the eight leaves of a tree."""
    step, leaves = tree(2, 3, seed=2)
    orders = list(itertools.permutations(range(8), k))
    places = 8 ** np.arange(k)
    codes = leaf_numbers(search(step, n, k, 3, seed=7).tokens, 2) @ places
    counts = np.bincount(codes, minlength=8**k)[np.array(orders) @ places]
    assert counts.sum() == n
    expected = n * np.array([plackett_luce(np.exp(leaves), order) for order in orders])
    return chi_square(counts, expected)


@pytest.mark.parametrize("k", [1, 3])
def test_beam_search_draws_without_replacement(k: int) -> None:
    assert ordered_p_value(k) > 1e-3


def test_noise_that_does_not_know_the_maximum_of_the_parent_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beams, "given_maximum", lambda gumbels, maximum: gumbels)
    assert ordered_p_value(1) < 1e-12


@pytest.mark.slow
def test_inclusion_probabilities_are_those_of_enumeration() -> None:
    n = 20_000
    step, leaves = tree(4, 4, seed=3)
    p = np.exp(leaves)
    numbers = leaf_numbers(search(step, n, 3, 4, seed=8).tokens, 4)
    second = p[:, None] / (1 - p[:, None])  # [first, 1]
    one_two = second * p[None, :] * (1 - np.eye(256))  # first, second
    left = 1 - p[:, None] - p[None, :]
    np.fill_diagonal(left, 1.0)
    ratio = one_two / left
    # third: all pairs without the item
    third = p * (ratio.sum() - ratio.sum(axis=0) - ratio.sum(axis=1))
    included = p + one_two.sum(axis=0) + third
    assert included.sum() == pytest.approx(3.0, rel=1e-9)
    counts = np.bincount(numbers.ravel(), minlength=256)
    z = (counts - n * included) / np.sqrt(n * included * (1 - included))
    assert np.abs(z).max() < 4.7  # of 256: one in 1,500
    # the sum of squares has a mean near 256; its deviation of 23 neglects that 3 are drawn together
    assert abs((z**2).sum() - 256) < 4.5 * np.sqrt(2 * 256)
    first = np.bincount(numbers[:, 0], minlength=256)
    assert chi_square(first, n * p) > 1e-3


# -- estimates ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_horvitz_thompson_estimate_of_the_entropy_is_unbiased() -> None:
    step, leaves = tree(4, 4, seed=4)
    entropy = -(np.exp(leaves) * leaves).sum()
    found = search(step, 20_000, 5, 4, seed=9)
    estimate = reparameterizations.horvitz_thompson
    plain = estimate(-found.log_probs, found.log_probs, found.threshold).numpy()
    assert abs(plain.mean() - entropy) < Z * plain.std() / np.sqrt(20_000)
    ones = estimate(tf.ones_like(found.log_probs), found.log_probs, found.threshold).numpy()
    assert abs(ones.mean() - 1.0) < Z * ones.std() / np.sqrt(20_000)
    normalised = estimate(-found.log_probs, found.log_probs, found.threshold, normalised=True)
    with_replacement = (leaves**2 @ np.exp(leaves) - entropy**2) / 5
    error = np.square(normalised.numpy() - entropy).mean()
    assert error < with_replacement  # five draws of which none is known twice
    every = search(step, 1, 256, 4)
    exact = estimate(-every.log_probs, every.log_probs, every.threshold)
    np.testing.assert_allclose(exact, entropy, rtol=1e-10)


def test_inclusion_probabilities_keep_their_digits() -> None:
    log_probs = tf.constant([[-0.1, -40.0, -200.0, -np.inf]], tf.float64)
    found = reparameterizations.inclusion_log_probs(log_probs, tf.constant([2.0], tf.float64))
    expected = [np.log(-np.expm1(-np.exp(-2.1))), -42.0, -202.0, -np.inf]
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    weights = reparameterizations.importance_weights(log_probs, tf.constant([-np.inf], tf.float64))
    np.testing.assert_allclose(weights[0], np.exp(log_probs[0]), rtol=1e-12)  # all included


# -- sequences of their own length, extremes ------------------------------------------------------


def test_sequences_end_where_the_end_token_is_drawn() -> None:
    """Tokens 0 (the end) and 1, of probability 0.4 and 0.6, three at the most."""
    p = {(0,): 0.4, (1, 0): 0.24, (1, 1, 0): 0.144, (1, 1, 1): 0.216}
    logits = tf.math.log(tf.constant([0.4, 0.6]))

    def step(state: tuple, token: tf.Tensor) -> tuple[tf.Tensor, tuple]:
        return tf.repeat(logits[tf.newaxis], tf.shape(token)[0], axis=0), state

    n = 20_000
    found = search(lambda state, token: (step((), token)[0], state), n, 6, 3, seed=1, end=0)
    tokens = found.tokens.numpy()
    rows = [[tuple(t for t in row if t >= 0) for row in draws] for draws in tokens]
    assert all(set(draws[:4]) == set(p) for draws in rows)  # each of them once
    assert (tokens[:, 4:] == -1).all()
    assert (found.log_probs.numpy()[:, 4:] == -np.inf).all()
    np.testing.assert_allclose(
        np.exp(found.log_probs[0, :4]), [p[row] for row in rows[0][:4]], rtol=1e-5
    )
    names = list(p)
    codes = np.array([4 * names.index(draws[0]) + names.index(draws[1]) for draws in rows])
    pairs = list(itertools.permutations(range(4), 2))
    counts = np.bincount(codes, minlength=16)[[4 * i + j for i, j in pairs]]
    values = np.array(list(p.values()))
    assert chi_square(counts, n * np.array([plackett_luce(values, o) for o in pairs])) > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_logits_give_no_nan(dtype: str) -> None:
    logits = tf.constant([[0.0, -1e4, -np.inf, 1e4, 3.0]], dtype)

    def step(state: Any, token: tf.Tensor) -> tuple[tf.Tensor, Any]:
        return tf.repeat(logits, tf.shape(token)[0], axis=0), state

    found = search(step, 3, 12, 5, end=0)
    for part in found[1:]:
        assert not np.isnan(part).any()
    assert not (found.tokens.numpy() == 2).any()
    np.testing.assert_array_equal(found.tokens[:, 0], np.full((3, 5), 3))


def test_same_key_gives_the_same_bits_in_a_graph_and_out_of_it() -> None:
    step, _ = tree(3, 2, seed=5, dtype="float32")
    zeros = tf.zeros([2], tf.int32)
    eager = reparameterizations.stochastic_beam_search(
        step, (zeros, zeros), zeros, 4, 2, random.key(3)
    )
    np.testing.assert_array_equal(eager.tokens, search(step, 2, 4, 2, seed=3).tokens)
    other = search(step, 2, 4, 2, seed=4)
    assert not np.array_equal(eager.perturbed, other.perturbed)
    assert not np.array_equal(eager.perturbed[0], eager.perturbed[1])


# -- errors ---------------------------------------------------------------------------------------


def uniform_step(state: Any, token: tf.Tensor) -> tuple[tf.Tensor, Any]:
    return tf.zeros([token.shape[0], 3]), state


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"k": 0}, OptionsError, "k is a whole number, at least 1. Received: 0"),
        ({"length": 2.5}, OptionsError, "length is a whole number.*2.5"),
        ({"end": 3}, OptionsError, "end is a token from 0 to 2. Received: 3"),
        ({"first": tf.zeros([2])}, DataError, "first holds a token.*float32"),
        ({"state": tf.zeros([3, 1])}, DataError, "leading axis of first, 2"),
        ({"step": lambda s, t: (tf.zeros([4]), s)}, ModelError, r"logits \[n, V\].*\(4,\)"),
        ({"step": lambda s, t: (t, s)}, ModelError, "float32 or float64"),
        (
            {"step": lambda s, t: (tf.fill([t.shape[0], 3], np.nan), s)},
            ModelError,
            "NaN, plus infinity, or no token",
        ),
        (
            {"step": lambda s, t: (tf.fill([t.shape[0], 3], -np.inf), s)},
            ModelError,
            "NaN, plus infinity, or no token",
        ),
    ],
)
def test_bad_searches_are_refused(
    changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    given: dict[str, Any] = {
        "step": uniform_step,
        "state": (),
        "first": tf.zeros([2], tf.int32),
        "k": 2,
        "length": 3,
        "key": random.key(0),
    }
    with pytest.raises(error, match=message):
        reparameterizations.stochastic_beam_search(**{**given, **changed})


def refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_bad_draws_are_refused() -> None:
    rp, key = reparameterizations, random.key(0)
    refused(lambda: rp.gumbel_top_k(tf.zeros([3]), 4, key), OptionsError, "from 1 to 3.*4")
    refused(lambda: rp.gumbel_top_k([np.nan, 0.0], 1, key), DataError, "NaN or plus infinity")
    refused(lambda: rp.gumbel_top_k([1, 2], 1, key), DataError, "float32 or float64.*int32")
    refused(lambda: rp.plackett_luce_log_prob(ITEMS, [1, 1]), DataError, "different items")
    refused(lambda: rp.plackett_luce_log_prob(ITEMS, [8]), DataError, "from 0 to 7")
    refused(
        lambda: rp.horvitz_thompson(tf.zeros([2, 3]), tf.zeros([2, 4]), tf.zeros([2])),
        DataError,
        r"\(2, 3\), \(2, 4\)",
    )
