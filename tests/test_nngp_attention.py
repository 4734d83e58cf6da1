"""Attention of infinitely many heads: recursions by hand, nets of many heads, limits."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tfbdl_nngp import Kernel, blocks, layers

TOKENS = np.random.default_rng(0).normal(size=(3, 1, 3, 4))
IMAGES = np.random.default_rng(1).normal(size=(9, 2, 2, 3))
RELU, SINE = layers.Activation("relu"), layers.Activation("sin")
POOL = layers.GlobalAveragePooling()
KINDS = [("linear", "softmax"), ("linear", "identity"), ("square_root", "identity")]
kinds = pytest.mark.parametrize(("scaling", "activation"), KINDS)

QUERY, KEY, VALUE, OUTPUT, BIAS = 1.3, 0.9, 1.6, 0.8, 0.2
NAMES = ("query", "key", "value", "output", "bias")
VARIANCES = {
    f"{n}_variance": v for n, v in zip(NAMES, (QUERY, KEY, VALUE, OUTPUT, BIAS), strict=True)
}
RHO, PHI = 0.6, 0.7
POSITIONS = {"position_variance": RHO, "position_decay": PHI}
CLOSENESS = np.exp(-PHI * (np.arange(3)[:, None] - np.arange(3)) ** 2)  # of the three tokens


def attention(scaling, activation, **options):
    return layers.Attention(scaling, activation, **VARIANCES, **options)


# -- by hand ------------------------------------------------------------------------------------


def softmax_of_two(own):
    """To which of two places each of a row attends, by the logistic function."""
    scale = (QUERY * KEY) ** 0.5
    to_first = [1.0 / (1.0 + np.exp(scale * (own[p][1] - own[p][0]))) for p in (0, 1)]
    return [[to_first[0], 1.0 - to_first[0]], [to_first[1], 1.0 - to_first[1]]]


def linear_by_hand(own, K, T, p, q):
    """One entry of the covariance and of the tangent of two rows of two places."""
    A1, A2 = softmax_of_two(own[0]), softmax_of_two(own[1])
    k = t = BIAS
    for i, j in itertools.product((0, 1), repeat=2):
        path = OUTPUT * VALUE * A1[p][i] * A2[q][j]
        k += path * K[i][j]
        # of the output's weights, of the values', of what is before
        t += path * K[i][j] + path * K[i][j] + path * T[i][j]
    return k, t


def square_root_by_hand(own, K, T, p, q):
    """The same; in the tangent one factor after the other gives way to that of its derivatives."""
    k = t = BIAS
    for i, j in itertools.product((0, 1), repeat=2):
        # of queries, keys and values
        factors, tangents = (K[p][q], K[i][j], K[i][j]), (T[p][q], T[i][j], T[i][j])
        path = QUERY * KEY * VALUE * OUTPUT * np.prod(factors)
        k += path
        t += path  # of the output's weights
        for factor, tangent in zip(factors, tangents, strict=True):
            t += path / factor * (factor + tangent)
    return k, t


def before_by_hand(x):
    """Covariance and tangent of two dense layers, ``[n, n, places, places]``."""
    first = 0.1 + 1.5 * np.einsum("apc,bqc->abpq", x[:, 0], x[:, 0]) / x.shape[-1]
    K = 0.3 + 0.7 * first
    return K, K + 0.7 * first


BEFORE = [layers.Dense(1.5, 0.1), layers.Dense(0.7, 0.3)]


@pytest.mark.parametrize(
    ("scaling", "by_hand"), [("linear", linear_by_hand), ("square_root", square_root_by_hand)]
)
@pytest.mark.parametrize("end", ["pooled", "flattened"])
def test_two_tokens_follow_the_recursion_by_hand(scaling, by_hand, end):
    x = TOKENS[:, :, :2]
    K, T = before_by_hand(x)
    want = np.zeros((2, 3, 3))
    ends = [(0, 0), (1, 1)] if end == "flattened" else [(0, 0), (0, 1), (1, 0), (1, 1)]
    for a, b in itertools.product(range(3), repeat=2):
        for p, q in ends:
            entry = by_hand((K[a, a], K[b, b]), K[a, b], T[a, b], p, q)
            want[:, a, b] += np.array(entry) / len(ends)
    last = POOL if end == "pooled" else layers.Flatten()
    kernel = Kernel([*BEFORE, layers.Attention(scaling, **VARIANCES), last])
    np.testing.assert_allclose(kernel.nngp(x), want[0], rtol=1e-12)
    np.testing.assert_allclose(kernel.ntk(x), want[1], rtol=1e-12)


@pytest.mark.parametrize("scaling", ["linear", "square_root"])
@pytest.mark.parametrize("values", [False, True], ids=["queries and keys", "values too"])
def test_positions_are_added_to_what_is_seen(scaling, values):
    K, T = before_by_hand(TOKENS)
    R = RHO * CLOSENESS
    seen, V, TV = K + R, (K + R if values else K), (T + R if values else T)
    layer = layers.Attention(scaling, **VARIANCES, **POSITIONS, position_values=values)
    kernel = Kernel([*BEFORE, layer, POOL])
    if scaling == "linear":
        scores = np.exp((QUERY * KEY) ** 0.5 * seen[range(3), range(3)])
        A = scores / scores.sum(axis=-1, keepdims=True)
        paths = VALUE * OUTPUT * np.einsum("api,brj->abprij", A, A)
        k = np.einsum("abprij,abij->abpr", paths, V)
        t = np.einsum("abprij,abij->abpr", paths, 2 * V + TV)
    else:
        variance, summed = QUERY * KEY * VALUE * OUTPUT, "abpq,abij,abij->abpq"
        k = variance * np.einsum(summed, seen, seen, V)
        t = 4 * k + variance * np.einsum(summed, T + R, seen, V)
        t += variance * (np.einsum(summed, seen, T + R, V) + np.einsum(summed, seen, seen, TV))
    np.testing.assert_allclose(kernel.nngp(TOKENS), BIAS + k.mean(axis=(2, 3)), rtol=1e-12)
    np.testing.assert_allclose(kernel.ntk(TOKENS), BIAS + t.mean(axis=(2, 3)), rtol=1e-12)


# -- nets of many heads -------------------------------------------------------------------------


def random_heads(seen, values, scaling, activation, heads, width, columns, rng):
    """What the output's weights see, ``[n, p, heads * columns]``, of a net with random weights.

    ``seen`` and ``values`` are ``[n, p, c]`` and divided by sqrt(c) already.
    """
    first = rng.standard_normal((heads, 1, seen.shape[-1], width))
    # under the linear scaling query and key weights are the same
    second = first if scaling == "linear" else rng.standard_normal(first.shape)
    Q, K = QUERY**0.5 * (seen @ first), KEY**0.5 * (seen @ second)
    G = Q @ np.swapaxes(K, -1, -2) / (width if scaling == "linear" else width**0.5)
    if activation == "softmax":
        G = np.exp(G) / np.exp(G).sum(axis=-1, keepdims=True)
    V = values @ rng.standard_normal((heads, 1, values.shape[-1], columns)) * VALUE**0.5
    found = np.moveaxis(G @ V, 0, -2)
    return found.reshape(*found.shape[:2], -1)


def assert_mean_is(found, K, bias):
    """The mean over nets is K within five standard errors, and a part ``bias`` of its diagonal."""
    error, size = found.std(axis=0, ddof=1) / np.sqrt(len(found)), np.diag(K).max()
    assert error.max() < 0.02 * size  # else the test could not tell
    np.testing.assert_array_less(abs(found.mean(axis=0) - K), 5.0 * error + bias * size)


@kinds
@pytest.mark.parametrize(
    "positions", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "positions"]
)
def test_nets_of_many_heads_have_the_covariances_of_the_kernel(scaling, activation, positions):
    # scores of the linear scaling are off by O(1 / sqrt(width)), covariances by O(1 / width): here
    # a part in 200 at most; those of the square root scaling have their covariance at any width
    heads, width, columns = (16, 1024, 64) if scaling == "linear" else (1024, 16, 4)
    rng, nets, a = np.random.default_rng(2), 24, TOKENS[:, 0] / 2.0
    options = dict(POSITIONS) if positions else {}
    factor, found = np.linalg.cholesky(CLOSENESS), []
    for _ in range(nets):
        seen = a
        if positions:
            encodings = factor @ rng.standard_normal((3, 256)) * (RHO / 256) ** 0.5
            seen = np.concatenate([a, np.broadcast_to(encodings, (3, 3, 256))], axis=-1)
        z = random_heads(seen, a, scaling, activation, heads, width, columns, rng).mean(axis=1)
        found.append(BIAS + OUTPUT * z @ z.T / z.shape[-1])
    K = Kernel([attention(scaling, activation, **options), POOL]).nngp(TOKENS)
    bias = 0.005 if scaling == "linear" else 0.0
    # encodings of 256 channels are off by O(1 / sqrt(256)) in a net, by O(1 / 256) in the mean
    assert_mean_is(np.array(found), K, bias + (0.01 if positions else 0.0))


@pytest.mark.slow
@kinds
def test_deep_nets_of_attention_have_the_covariances_of_the_kernel(scaling, activation):
    heads, width, columns, units = (32, 512, 64, 256) if scaling == "linear" else (1024, 16, 2, 512)
    rng, nets, found = np.random.default_rng(3), 60, []
    for _ in range(nets):
        a = TOKENS[:, 0] / 2.0
        for _ in range(2):
            z = random_heads(a, a, scaling, activation, heads, width, columns, rng)
            weights = rng.standard_normal((z.shape[-1], units)) * (OUTPUT / z.shape[-1]) ** 0.5
            z = z @ weights + BIAS**0.5 * rng.standard_normal(units)
            a = np.sin(z) / units**0.5
        flat = a.reshape(3, -1)
        found.append(flat @ flat.T / 3)
    block = [attention(scaling, activation), SINE]
    K = Kernel([*block, *block, layers.Flatten(), layers.Dense(1.0)]).nngp(TOKENS)
    assert_mean_is(np.array(found), K, 0.03)


def tangent_of_net(x, scaling, activation, sizes, rng):
    """The sum over weights of products of derivatives: dense, sine, attention, mean over places."""
    units, heads, width, columns = sizes

    def normal(*shape):
        return tf.constant(rng.standard_normal(shape, np.float32))

    weights = {
        "W": normal(x.shape[-1], units),
        "c": normal(units),
        "Q": normal(heads, units, width),
        "V": normal(heads, units, columns),
        "O": normal(heads, columns),
        "b": normal(1),
    }
    if scaling == "square_root":
        weights["K"] = normal(heads, units, width)
    gradients = []
    for row in tf.constant(x[:, 0], tf.float32):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            z = (1.5 / x.shape[-1]) ** 0.5 * row @ weights["W"] + 0.1**0.5 * weights["c"]
            a = tf.sin(z) / units**0.5
            Q = QUERY**0.5 * (a @ weights["Q"])
            K = KEY**0.5 * (a @ weights.get("K", weights["Q"]))
            G = Q @ tf.linalg.matrix_transpose(K)
            G /= width if scaling == "linear" else width**0.5
            if activation == "softmax":
                G = tf.nn.softmax(G)
            V = VALUE**0.5 * (a @ weights["V"])
            f = tf.reduce_sum(G @ V * weights["O"][:, None]) / len(row)
            f = f * (OUTPUT / (heads * columns)) ** 0.5 + BIAS**0.5 * weights["b"][0]
        gradients.append(tape.gradient(f, weights))
    found = np.empty((len(x), len(x)))
    for i, j in itertools.product(range(len(x)), repeat=2):
        found[i, j] = sum(tf.reduce_sum(gradients[i][w] * gradients[j][w]) for w in weights)
    return found


@pytest.mark.slow
@kinds
def test_tangents_of_nets_of_many_heads_have_the_tangent_kernel(scaling, activation):
    # units, heads, their width, columns of their values; a sine, as a ReLU's second moments vary
    # more from net to net and want some thousand units
    sizes, nets = ((512, 16, 384, 32), 24) if scaling == "linear" else ((512, 256, 16, 8), 40)
    x, rng = TOKENS[:2], np.random.default_rng(4)
    found = np.array([tangent_of_net(x, scaling, activation, sizes, rng) for _ in range(nets)])
    T = Kernel([layers.Dense(1.5, 0.1), SINE, attention(scaling, activation), POOL]).ntk(x)
    assert_mean_is(found, T, 0.01)
    np.testing.assert_allclose(found.mean(axis=0), T, rtol=0.05)


# -- limits and properties ----------------------------------------------------------------------


@pytest.mark.parametrize("which", ["nngp", "ntk"])
def test_one_token_attends_to_itself_as_two_dense_layers(which):
    found = Kernel([attention("linear", "softmax"), POOL])
    want = Kernel([layers.Dense(VALUE), layers.Dense(OUTPUT, BIAS), POOL])
    x = TOKENS[:, :, :1]
    np.testing.assert_allclose(getattr(found, which)(x), getattr(want, which)(x), rtol=1e-13)


@pytest.mark.parametrize("which", ["nngp", "ntk"])
def test_scores_without_variance_attend_to_all_places_alike(which):
    chain = [layers.Dense(1.5, 0.1), RELU]
    layer = layers.Attention(query_variance=1e-300, value_variance=VALUE, output_variance=OUTPUT)
    found = getattr(Kernel([*chain, layer, layers.Flatten()]), which)(IMAGES)
    pooled = Kernel([*chain, POOL, layers.Dense(VALUE), layers.Dense(OUTPUT)])
    np.testing.assert_allclose(found, getattr(pooled, which)(IMAGES), rtol=1e-12)


@kinds
def test_the_order_of_tokens_counts_with_positions_alone(scaling, activation):
    other = TOKENS[:, :, [2, 0, 1]]
    without = Kernel([attention(scaling, activation), POOL])
    positions = Kernel([attention(scaling, activation, **POSITIONS), POOL])
    np.testing.assert_allclose(without.ntk(other, TOKENS), without.ntk(TOKENS), rtol=1e-12)
    assert abs(positions.ntk(other) - positions.ntk(TOKENS)).max() > 0.01


def test_distances_of_positions_are_those_of_the_image():
    # one vector for all inputs: K is R alone where inputs are 0, here at 2 x 2 places
    layer = layers.Attention("square_root", position_values=True, **POSITIONS)
    found = Kernel([layer, layers.Flatten()]).nngp(np.zeros((1, 2, 2, 3)))
    # each place is at distance 0 from itself, at 1 from two others, at sqrt(2) from one
    want = RHO * 4 * RHO**2 * (1.0 + 2 * np.exp(-PHI) ** 2 + np.exp(-2 * PHI) ** 2)
    np.testing.assert_allclose(found, [[want]], rtol=1e-12)
    independent = layers.Attention("square_root", position_values=True, position_variance=RHO)
    found = Kernel([independent, layers.Flatten()]).nngp(np.zeros((1, 2, 2, 3)))
    np.testing.assert_allclose(found, [[RHO * 4 * RHO**2]], rtol=1e-12)


@kinds
@pytest.mark.parametrize("which", ["nngp", "ntk"])
def test_kernels_are_symmetric_positive_and_the_same_however_they_are_computed(
    scaling, activation, which, monkeypatch
):
    layer = attention(scaling, activation, **POSITIONS)
    chain = [layer, layers.LayerNormalization(), SINE, layers.Convolution(2), layer, POOL]
    compute = getattr(Kernel(chain), which)
    # of two sets that happen to be equal nothing is mirrored, nor the diagonal set apart
    whole = compute(IMAGES, IMAGES.copy())
    np.testing.assert_allclose(whole, whole.T, rtol=1e-12)
    values = np.linalg.eigvalsh(whole)
    assert values[0] > -1e-12 * values[-1]
    np.testing.assert_allclose(Kernel(chain).diagonal(IMAGES, which), np.diag(whole), rtol=1e-12)
    monkeypatch.setattr(blocks, "ELEMENTS", 64)  # blocks of two rows
    np.testing.assert_allclose(compute(IMAGES), whole, rtol=1e-12)
    single = getattr(Kernel(chain, "float32"), which)(IMAGES)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, whole, rtol=1e-4)


def test_attention_is_a_branch_of_a_residual_block():
    head, layer = layers.Dense(1.5, 0.1), attention("linear", "softmax")
    found = Kernel([head, layers.Residual([layer]), POOL])
    parts = [Kernel([head, POOL]), Kernel([head, layer, POOL])]
    for which in ("nngp", "ntk"):
        want = sum(getattr(part, which)(TOKENS) for part in parts)
        np.testing.assert_allclose(getattr(found, which)(TOKENS), want, rtol=1e-13)


@kinds
def test_psd_kernel_goes_into_a_gaussian_process(scaling, activation):
    kernel = Kernel([attention(scaling, activation, **POSITIONS), RELU, POOL, layers.Dense(1.5)])
    psd, K = kernel.psd_kernel(), kernel.nngp(TOKENS)
    np.testing.assert_allclose(psd.matrix(TOKENS, TOKENS[:2]), K[:, :2], rtol=1e-12)
    np.testing.assert_allclose(psd.apply(TOKENS, TOKENS), np.diag(K), rtol=1e-12)
    np.testing.assert_allclose(psd.apply(TOKENS[:2], TOKENS[1:]), np.diag(K, 1), rtol=1e-12)
    process = tfp.distributions.GaussianProcess(psd, TOKENS, observation_noise_variance=0.1)
    np.testing.assert_allclose(process.covariance(), K + 0.1 * np.eye(3), rtol=1e-8)
    # without its own diagonal a matrix at equal inputs keeps half of the digits of ReLU's slopes
    tangent = kernel.psd_kernel("ntk").matrix(TOKENS, TOKENS)
    np.testing.assert_allclose(tangent, kernel.ntk(TOKENS), rtol=1e-7)


@kinds
def test_gradients_by_inputs_and_options_are_those_of_differences(scaling, activation):
    x, y = tf.constant(TOKENS), tf.constant(TOKENS[::-1] + 0.3)
    start = {"query_variance": 1.3, "value_variance": 1.6, "position_variance": RHO}
    start = {
        name: tf.constant(v, tf.float64) for name, v in {**start, "position_decay": PHI}.items()
    }

    def total(options, first, second):
        layer = layers.Attention(scaling, activation, **options)
        kernel = Kernel([layer, RELU, POOL, layers.Dense()])
        return sum(tf.reduce_sum(kernel.between(first, second, w)) for w in ("nngp", "ntk"))

    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, start])
        value, at_equal_inputs = total(start, x, y), total(start, x, x)
    assert np.isfinite(tape.gradient(at_equal_inputs, x)).all()
    by_x, slopes = tape.gradient(value, [x, start])
    direction = np.random.default_rng(5).normal(size=x.shape)
    change = total(start, x + 1e-6 * direction, y) - total(start, x - 1e-6 * direction, y)
    assert np.sum(by_x * direction) == pytest.approx(float(change) / 2e-6, rel=1e-5)
    for name, slope in slopes.items():
        up, down = ({**start, name: start[name] + step} for step in (1e-6, -1e-6))
        change = total(up, x, y) - total(down, x, y)
        assert float(slope) == pytest.approx(float(change) / 2e-6, rel=1e-5)
