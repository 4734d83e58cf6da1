"""Random numbers: published vectors, one result in eager, graph and XLA, and statistics."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tfbdl import random
from tfbdl.errors import OptionsError

# Random123 1.14, tests/kat_vectors, "threefry2x32 20": counter, key, block.
KNOWN_ANSWERS = (
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
)
N = 1_000_000


def _words(pair, make):
    return tuple(make([word]) for word in pair)


def _numpy(pair):
    return [int(np.asarray(word)[0]) for word in pair]


@pytest.fixture(scope="module")
def draws():
    """A million numbers of each kind, from one compiled program."""

    @tf.function(jit_compile=True, autograph=False)
    def draw():
        key = random.key(2024, "moments")
        return {
            "normal32": random.normal([N], key),
            "normal64": random.normal([N], key, "float64"),
            "uniform32": random.uniform([N], key),
            "uniform64": random.uniform([N], key, "float64"),
            "rademacher": random.rademacher([N], key),
        }

    return {name: value.numpy().astype(np.float64) for name, value in draw().items()}


@pytest.mark.parametrize(("counter", "key", "block"), KNOWN_ANSWERS)
def test_threefry_gives_the_published_vectors(counter, key, block):
    array = lambda words: np.array(words, np.uint32)  # noqa: E731
    tensor = lambda words: tf.constant(words, tf.uint32)  # noqa: E731
    compiled = tf.function(random.threefry2x32, jit_compile=True, autograph=False)
    assert _numpy(random.threefry2x32(_words(key, array), _words(counter, array))) == [*block]
    assert _numpy(random.threefry2x32(_words(key, tensor), _words(counter, tensor))) == [*block]
    assert _numpy(compiled(_words(key, tensor), _words(counter, tensor))) == [*block]


def test_bits_are_the_first_words_of_the_blocks_of_the_key():
    first = random.bits([3], tf.constant([0, 0], tf.uint32)).numpy()
    assert first[0] == KNOWN_ANSWERS[0][2][0]
    pi_key = tf.constant([0x13198A2E, 0x03707344], tf.uint32)
    words = random.threefry2x32(
        (pi_key[0], pi_key[1]), (tf.constant([2], tf.uint32), tf.constant([0], tf.uint32))
    )
    assert random.bits([3], pi_key).numpy()[2] == words[0].numpy()[0]


def test_draws_are_equal_in_eager_graph_and_xla():
    def draw(key):
        keys = random.split(key, 2)
        return (
            random.bits([31, 7], keys),
            random.rademacher([31, 7], keys),
            random.uniform([31, 7], keys),
            random.uniform([31, 7], keys, "float64"),
            random.normal([31, 7], keys),
            random.normal([31, 7], keys, "float64"),
        )

    key = random.key(5, "equal")
    eager = draw(key)
    for jit in (False, True):
        other = tf.function(draw, jit_compile=jit, autograph=False)(key)
        for a, b in zip(eager[:4], other[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(eager[4], other[4], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(eager[5], other[5], rtol=1e-11, atol=1e-11)


def test_number_depends_on_its_index_alone():
    key = random.key(3)
    flat = random.uniform([24], key).numpy()
    np.testing.assert_array_equal(random.uniform([4, 6], key).numpy().ravel(), flat)
    np.testing.assert_array_equal(random.uniform(1000, key).numpy()[:24], flat)


def test_batch_of_keys_equals_a_loop():
    keys = random.split(random.key(3), 3)
    for dtype in ("float32", "float64"):
        batch = random.normal([2, 5], keys, dtype)
        assert batch.shape == (3, 2, 5)
        for s in range(3):
            one = random.normal([2, 5], keys[s], dtype)
            np.testing.assert_allclose(batch[s], one, rtol=1e-6, atol=1e-6)


def test_shape_may_hold_tensors():
    key = random.key(3)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)], autograph=False)
    def signs(x):
        return random.rademacher(tf.shape(x), key), random.normal([tf.shape(x)[0], 4], key)

    sign, z = signs(tf.zeros([6, 4]))
    np.testing.assert_array_equal(sign, random.rademacher([6, 4], key))
    np.testing.assert_allclose(z, random.normal([6, 4], key), rtol=1e-6, atol=1e-6)
    assert random.normal((), key).shape == ()
    assert random.normal(tf.TensorShape([2, 0]), key).shape == (2, 0)


def test_key_is_the_same_whether_salts_are_known_when_traced_or_not():
    static = random.key(2**40 + 3, "kernel", 2**33 + 1).numpy()
    traced = tf.function(lambda s, t: random.key(s, "kernel", t), autograph=False)
    seed, step = tf.constant(2**40 + 3, tf.int64), tf.Variable(2**33 + 1, dtype=tf.int64)
    np.testing.assert_array_equal(traced(seed, step), static)
    np.testing.assert_array_equal(random.fold_in(random.key(seed, "kernel"), 2**33 + 1), static)
    assert static.dtype == np.uint32
    assert static.shape == (2,)


def test_keys_of_different_seeds_and_salts_differ():
    seeds = (0, 1, 2**31, 2**32, 2**32 + 1, 2**62, 2**63 - 1)
    salts = ((), (0,), (1,), (0, 0), (0, 1), (1, 0), ("a",), ("b",), ("a", "b"), ("b", "a"), (-1,))
    keys = [
        tuple(random.key(seed, *salt).numpy()) for seed, salt in itertools.product(seeds, salts)
    ]
    assert len(set(keys)) == len(seeds) * len(salts)


def test_fold_in_of_a_batch_equals_a_loop():
    key = random.key(9)
    data = tf.constant([0, 1, -1, 2**32, 2**40 + 7], tf.int64)
    batch = random.fold_in(key, data)
    assert batch.shape == (5, 2)
    for row, number in zip(batch, data.numpy(), strict=True):
        np.testing.assert_array_equal(row, random.fold_in(key, int(number)))
        np.testing.assert_array_equal(row, random.key(9, int(number)))
    again = random.fold_in(batch, tf.range(5))
    for s in range(5):
        np.testing.assert_array_equal(again[s], random.fold_in(batch[s], s))
    np.testing.assert_array_equal(random.split(key, 3), random.fold_in(key, [0, 1, 2]))


def test_moments_are_those_of_the_distribution(draws):
    for name in ("normal32", "normal64"):
        for power, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
            error = np.mean(draws[name] ** power) - expected
            assert abs(error) < 4 * np.sqrt(variance / N), (name, power)
    for name in ("uniform32", "uniform64"):
        for power in (1, 2, 3):
            variance = 1 / (2 * power + 1) - 1 / (power + 1) ** 2
            error = np.mean(draws[name] ** power) - 1 / (power + 1)
            assert abs(error) < 4 * np.sqrt(variance / N), (name, power)
    assert set(np.unique(draws["rademacher"])) == {-1.0, 1.0}
    assert abs(draws["rademacher"].mean()) < 4 / np.sqrt(N)


def test_draws_pass_kolmogorov_smirnov(draws):
    for name in ("normal32", "normal64"):
        assert scipy.stats.kstest(draws[name], "norm").pvalue > 1e-3, name
    for name in ("uniform32", "uniform64"):
        assert scipy.stats.kstest(draws[name], "uniform").pvalue > 1e-3, name


def test_streams_are_uncorrelated(draws):
    x = draws["normal32"]
    for lag in (1, 2, 3, 4, 7, 16, 31, 64, 400, 784):
        assert abs(np.mean(x[:-lag] * x[lag:])) < 4 / np.sqrt(N - lag), lag
    n = 100_000
    root = random.key(11)
    keys = tf.stack(
        [root, *random.split(root, 3), *(random.key(11, salt) for salt in ("a", "b", 2**32))]
        + [random.key(seed) for seed in (10, 12, 11 + 2**32)]
    )
    z = random.normal([n], keys).numpy().astype(np.float64)
    correlation = np.corrcoef(z)[np.triu_indices(len(z), 1)]
    assert np.abs(correlation).max() < 4 / np.sqrt(n)
    squares = np.corrcoef(z**2)[np.triu_indices(len(z), 1)]
    assert np.abs(squares).max() < 4 / np.sqrt(n)


def test_words_become_the_quantiles_of_the_normal():
    word = np.concatenate(
        [np.arange(0, 2**32, 2**20 + 12345, np.uint64), [0, 1, 2**31 - 1, 2**31, 2**32 - 1]]
    ).astype(np.uint32)
    signed = word.view(np.int32).astype(np.float64)
    single = random._normal32(tf.constant(word)).numpy()
    quantile = scipy.stats.norm.ppf((np.floor(signed / 256) + 0.5) * 2.0**-24 + 0.5)
    np.testing.assert_allclose(single, quantile, rtol=2e-6, atol=1e-7)
    double = random._normal64(tf.constant(word), tf.zeros_like(word)).numpy()
    tail = 0.5 - np.abs(signed * 2.0**21 + 0.5) * 2.0**-53
    np.testing.assert_allclose(np.abs(double), -scipy.stats.norm.ppf(tail), rtol=1e-11)
    np.testing.assert_array_equal(np.sign(double), np.sign(signed + 0.5))


@pytest.mark.parametrize("jit", [False, True])
def test_extreme_words_give_finite_numbers_and_far_tails(jit):
    compiled = tf.function(random._normal64, jit_compile=jit, autograph=False)
    high = tf.constant([2**31 - 1, 2**31], tf.uint32)
    low = tf.constant([2**32 - 1, 0], tf.uint32)
    # One half of 2**-53 is left in each tail.
    expected = scipy.stats.norm.isf(2.0**-54)
    np.testing.assert_allclose(compiled(high, low), [expected, -expected], rtol=1e-9)
    assert expected > 8.2
    single = tf.function(random._normal32, jit_compile=jit, autograph=False)(high)
    expected = scipy.stats.norm.isf(2.0**-25)
    np.testing.assert_allclose(single, [expected, -expected], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_uniform_stays_inside_the_open_interval(dtype, monkeypatch):
    extremes = (tf.constant([0, 2**32 - 1], tf.uint32),) * 2
    monkeypatch.setattr(random, "_blocks", lambda shape, keys: extremes)
    u = random.uniform([2], random.key(0), dtype)
    assert u.dtype.name == dtype
    u = tf.cast(u, tf.float64).numpy()
    assert 0.0 < u[0] < 1e-4
    assert 0.99 < u[1] < 1.0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_single_precision_rounded(dtype):
    key = random.key(1)
    half = random.normal([100], key, dtype)
    assert half.dtype.name == dtype
    np.testing.assert_array_equal(
        tf.cast(half, tf.float32), tf.cast(tf.cast(random.normal([100], key), dtype), tf.float32)
    )


def test_frozen_draws_are_centres_also_inside_a_trace():
    keys = random.split(random.key(1), 3)

    def draw():
        return random.normal([2], keys), random.uniform([2], keys), random.rademacher([2], keys)

    with random.frozen(), random.frozen():
        eager = draw()
        traced = tf.function(draw, jit_compile=True, autograph=False)()
    for z, u, sign in (eager, traced):
        np.testing.assert_array_equal(z, np.zeros([3, 2]))
        np.testing.assert_array_equal(u, np.full([3, 2], 0.5))
        np.testing.assert_array_equal(sign, np.ones([3, 2]))
    assert np.all(random.normal([2], keys).numpy() != 0)


def test_frozen_ends_with_an_error_inside():
    with pytest.raises(KeyError), random.frozen():
        raise KeyError
    assert random.normal((), random.key(1)).numpy() != 0


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_key_refuses_a_seed_out_of_range(seed):
    with pytest.raises(OptionsError, match=r"from 0 to 2\*\*63 - 1. Received: "):
        random.key(seed)


@pytest.mark.parametrize("salt", [0.5, None, True, b"x"])
def test_key_refuses_a_salt_of_another_type(salt):
    with pytest.raises(OptionsError, match="salts integers, texts or integer tensors"):
        random.key(0, salt)


def test_draws_refuse_what_they_cannot_make():
    key = random.key(0)
    with pytest.raises(OptionsError, match=r"at most 2\*\*32 elements.*\(65537, 65537\)"):
        random.normal((2**16 + 1, 2**16 + 1), key)
    with pytest.raises(OptionsError, match="a number or a tensor for each dimension"):
        random.normal((None, 3), key)
    with pytest.raises(OptionsError, match="Received: 'int32'"):
        random.normal([2], key, "int32")
    with pytest.raises(OptionsError, match=r"shape \[2\] or \[S, 2\].*float32"):
        random.normal([2], tf.zeros([2]))
