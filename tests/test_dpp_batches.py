"""DPPBatches: unbiased weights by enumeration, draws, features, epochs and other processes."""

from __future__ import annotations

import itertools
import pickle

import dpp_cases as cases
import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits
from tfbdl_dpp import KDPP, DPPBatches
from tfbdl_dpp.batch_process import (
    ClusterKDPP,
    batch_process,
    batch_weights,
    fourier_features,
)
from tfbdl_dpp.kernels import rbf

from tfbdl.errors import DataError, OptionsError

RNG = np.random.default_rng(0)
N, K = 12, 4
CENTRES = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
SMALL = CENTRES[np.repeat([0, 1, 2, 3], [6, 3, 2, 1])] + 0.3 * RNG.normal(size=(N, 2))
RATIO = 0.1085  # of the gradient's variances on these points, by the sum over all 495 subsets
SETS = np.array(list(itertools.combinations(range(N), K)))
GRADIENTS = SMALL + np.array([1.0, -2.0])  # of rows: those of a squared error, up to its scale


def probabilities(L: np.ndarray) -> np.ndarray:
    """``P(Y)`` of all sets of four, by LU factors of each."""
    minors = np.array([np.linalg.det(L[np.ix_(rows, rows)]) for rows in SETS])
    return minors / minors.sum()


def estimates(weights: np.ndarray, sets: np.ndarray = SETS) -> np.ndarray:
    """The gradient that each batch gives, as Keras averages it."""
    return (weights[sets][..., np.newaxis] * GRADIENTS[sets]).mean(axis=1)


def spread(found: np.ndarray, p: np.ndarray) -> float:
    """The total variance of estimates under p."""
    return float(p @ ((found - GRADIENTS.mean(axis=0)) ** 2).sum(axis=1))


def small_batches(**options: object) -> DPPBatches:
    return DPPBatches(SMALL, np.arange(N), batch_size=K, **options)


def kernel_of(x: np.ndarray) -> np.ndarray:
    """The kernel by its definition: rows scaled to median distance 1."""
    distances = np.sqrt(((x[:, np.newaxis] - x) ** 2).sum(axis=-1))
    return np.exp(-0.5 * (distances / np.median(distances[np.triu_indices(len(x), 1)])) ** 2)


def test_the_weighted_gradient_is_unbiased_by_enumeration() -> None:
    batches = small_batches()
    p = probabilities(kernel_of(SMALL))
    mean = p @ estimates(batches.weights)
    np.testing.assert_allclose(mean, GRADIENTS.mean(axis=0), rtol=1e-9)
    included = np.array([p[np.any(i == SETS, axis=1)].sum() for i in range(N)])
    np.testing.assert_allclose(batches.weights, K / (N * included), rtol=1e-9)


def test_the_gradients_variance_is_that_of_enumeration_and_below_uniform() -> None:
    """Four crowds of 6, 3, 2 and 1 points: 495 subsets, weights 1 / (N p_i) from their sum."""
    batches = small_batches(seed=5)
    p = probabilities(kernel_of(SMALL))
    has = (SETS[:, :, np.newaxis] == np.arange(N)).any(axis=1)
    weights = K / (N * (p @ has))
    uniform = np.full(len(SETS), 1.0 / len(SETS))
    exact = spread(estimates(weights), p)
    ratio = exact / spread(estimates(np.ones(N)), uniform)
    assert ratio == pytest.approx(RATIO, abs=5e-4)
    drawn = batches.process.sample(20_000, seed=1)
    squares = ((estimates(batches.weights, drawn) - GRADIENTS.mean(axis=0)) ** 2).sum(axis=1)
    error = squares.std() / np.sqrt(len(squares))
    assert 2.0 * error < 0.05 * exact  # the draws are enough to see five per cent
    assert squares.mean() == pytest.approx(exact, abs=4.0 * error)


def test_batches_follow_the_k_dpp() -> None:
    batches = DPPBatches(SMALL[:8], np.arange(8), batch_size=3, steps=4_000, seed=3)
    expected = cases.probabilities(kernel_of(batches.x), 3)
    drawn = [batches.rows(i) for i in range(4_000)]
    assert abs(cases.chi_square_z(drawn, expected, 8)) < 4.0


def test_labels_bring_rare_classes_into_batches() -> None:
    x = np.concatenate([RNG.normal(size=(200, 5)), RNG.normal(size=(10, 5)) + 0.5])
    y = np.repeat([0, 1], [200, 10])
    plain, labelled = (DPPBatches(x, y, batch_size=10, label_weight=w) for w in (0.0, 2.0))
    share = [b.process.inclusion_probabilities()[y == 1].sum() / 10 for b in (plain, labelled)]
    assert share[1] > 2.0 * 10 / 210
    assert share[1] > 1.5 * share[0]
    rows = np.concatenate([labelled.rows(i) for i in range(21)])
    p = labelled.process.inclusion_probabilities()[y == 1].sum() / 10
    assert (y[rows] == 1).mean() == pytest.approx(p, abs=4.0 * np.sqrt(p * (1 - p) / len(rows)))


def test_a_rare_digit_comes_twice_as_often_and_gradients_vary_less() -> None:
    digits = load_digits()
    keep = np.concatenate(
        [np.flatnonzero(digits.target == c)[: 5 if c == 9 else 100] for c in range(10)]
    )
    x, y = digits.data[keep] / 16.0, digits.target[keep]
    batches = DPPBatches(x, y, batch_size=20, label_weight=2.0, seed=1)
    residual = 0.1 - np.eye(10)[y]  # of softmax regression whose weights are zero
    whole = x.T @ residual / len(x)

    def variance(rows: np.ndarray, weights: np.ndarray) -> float:
        found = [x[r].T @ (weights[r][:, np.newaxis] * residual[r]) / 20 - whole for r in rows]
        return float(np.mean([(g**2).sum() for g in found]))

    drawn = batches.process.sample(200, seed=2)
    uniform = np.array([RNG.choice(len(x), 20, replace=False) for _ in range(200)])
    assert (y[drawn] == 9).mean() > 2.0 * (y == 9).mean()
    assert variance(drawn, batches.weights) < 0.9 * variance(uniform, np.ones(len(x)))


@pytest.mark.parametrize("method", ["low_rank", "clusters"])
def test_approximate_processes_have_exact_probabilities(method: str) -> None:
    process = batch_process(SMALL, K, method=method, columns=8, length_scale=2.0, seed=1)
    p = process.inclusion_probabilities()
    assert p.sum() == pytest.approx(K, rel=1e-9)
    drawn = process.sample(8_000, seed=2)
    assert (np.diff(drawn, axis=1) > 0).all()
    counts = np.bincount(drawn.reshape(-1), minlength=N) / len(drawn)
    deviation = np.sqrt(p * (1.0 - p) / len(drawn))
    assert (np.abs(counts - p) < 4.0 * deviation + 1e-12).all()
    weights = batch_weights(process)
    squares = estimates(weights, drawn)
    error = squares.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(squares.mean(axis=0) - GRADIENTS.mean(axis=0)) < 4.0 * error).all()


def test_clusters_are_the_k_dpp_of_centres_in_place_of_items() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 3, 3])
    centres = RNG.normal(size=(4, 2))
    process = ClusterKDPP(labels, rbf(centres), 3)
    expected = cases.probabilities(rbf(centres[labels]), 3)
    assert abs(cases.chi_square_z(process.sample(6_000, seed=4), expected, 8)) < 4.0
    p = KDPP(rbf(centres[labels]), 3).inclusion_probabilities()
    np.testing.assert_allclose(process.inclusion_probabilities(), p, rtol=1e-9)


def test_fourier_features_are_near_the_kernel() -> None:
    x = RNG.normal(size=(60, 3))
    F = fourier_features(x, 2_000, 1.5, seed=1)
    np.testing.assert_allclose((F**2).sum(axis=1), 1.0, rtol=1e-12)
    error = F @ F.T - rbf(x, length_scale=1.5)
    assert np.abs(error).max() < 5.0 / np.sqrt(2_000)  # of 1,770 entries, each sd <= 1 / sqrt(m)


def test_many_rows_need_no_kernel_matrix() -> None:
    x = RNG.normal(size=(30_000, 4)).astype("float32")
    for method in ("auto", "clusters"):
        batches = DPPBatches(x, x, batch_size=16, method=method, columns=64, seed=1)
        rows = batches.rows(0)
        assert len(set(rows)) == 16
        # k / (N p_i), whose probabilities add up to k
        assert np.sum(16 / (len(x) * batches.weights)) == pytest.approx(16.0, rel=1e-6)


def test_batches_are_a_function_of_seed_epoch_and_place() -> None:
    batches = small_batches(seed=7, steps=5)
    first = [batches[i] for i in range(5)]
    assert [part.shape for part in first[0]] == [(K, 2), (K,), (K,)]
    copy = pickle.loads(pickle.dumps(batches))
    for i in (4, 0, 2):
        for was, now in zip(first[i], copy[i], strict=True):
            np.testing.assert_array_equal(was, now)
    np.testing.assert_array_equal(SMALL[first[1][1]], first[1][0])
    batches.on_epoch_end()  # of no epoch that began
    np.testing.assert_array_equal(batches[0][1], first[0][1])
    batches.on_epoch_begin()
    batches.on_epoch_end()
    assert any((batches[i][1] != first[i][1]).any() for i in range(5))
    other = small_batches(seed=8, steps=5)
    assert any((other[i][1] != first[i][1]).any() for i in range(5))
    assert len(small_batches(weighted=False)[0]) == 2
    assert len(DPPBatches(SMALL, batch_size=K, weighted=False)[0]) == 1
    assert len(batches) == batches.num_batches == 5


@pytest.fixture(scope="module")
def net() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(5, "tanh", name="high"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def test_features_of_a_layer_are_computed_anew_every_r_epochs(net: keras.Model) -> None:
    y = SMALL.sum(axis=1)
    batches = DPPBatches(SMALL, y, K, model=net, layer_name="high", every=2, steps=3, seed=1)
    seen = [batches.weights]
    net.fit(batches, epochs=1, verbose=0)
    seen.append(batches.weights)
    net.fit(batches, epochs=1, verbose=0)
    seen.append(batches.weights)
    assert batches.epoch == 2
    np.testing.assert_array_equal(seen[0], seen[1])
    assert np.abs(seen[2] - seen[1]).max() > 1e-6
    h = np.tanh(SMALL @ net.layers[0].kernel.numpy() + net.layers[0].bias.numpy())
    expected = KDPP(kernel_of(h), K).inclusion_probabilities()
    np.testing.assert_allclose(batches.weights, K / (N * expected), rtol=1e-3)
    other = pickle.loads(pickle.dumps(batches))  # for a worker: without the net
    np.testing.assert_array_equal(other.rows(1), batches.rows(1))
    with pytest.raises(DataError, match="copied DPPBatches has no net"):
        pickle.loads(pickle.dumps(other)).refresh()


@pytest.mark.parametrize("options", [{}, {"workers": 2}])
def test_fit_sees_the_weighted_batches_of_each_epoch(options: dict[str, int]) -> None:
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    net.compile(keras.optimizers.SGD(0.0), "mse")
    y = SMALL[:, 0] ** 2
    losses = net.fit(
        DPPBatches(SMALL, y, K, steps=3, seed=1, **options), epochs=2, verbose=0
    ).history["loss"]
    same = DPPBatches(SMALL, y, K, steps=3, seed=1)
    for loss in losses:
        expected = [(w * (x.sum(axis=1) - t) ** 2).mean() for x, t, w in same]
        assert loss == pytest.approx(np.mean(expected), rel=1e-5)
        same.on_epoch_begin()
        same.on_epoch_end()
    assert losses[0] != losses[1]


def test_wrong_arguments_are_refused(net: keras.Model) -> None:
    with pytest.raises(DataError, match="x has 12, y has 11"):
        DPPBatches(SMALL, np.arange(11), K)
    with pytest.raises(OptionsError, match="at most 12, the number of items"):
        DPPBatches(SMALL, SMALL, batch_size=13)
    with pytest.raises(OptionsError, match="at most 2, the rank of the kernel"):
        DPPBatches(SMALL, SMALL, batch_size=4, kernel="linear")
    with pytest.raises(DataError, match="1 items of probability 0, the first is item 0"):
        DPPBatches(SMALL * (np.arange(N) > 0)[:, np.newaxis], SMALL, batch_size=2, kernel="linear")
    with pytest.raises(OptionsError, match="needs targets"):
        DPPBatches(SMALL, batch_size=4, label_weight=1.0, weighted=False)
    with pytest.raises(OptionsError, match="weights beside targets alone"):
        DPPBatches(SMALL, batch_size=4)
    with pytest.raises(OptionsError, match="model and layer_name together"):
        DPPBatches(SMALL, SMALL, batch_size=4, layer_name="high")
    with pytest.raises(OptionsError, match="Did you mean 'high'"):
        DPPBatches(SMALL, SMALL, batch_size=4, model=net, layer_name="hig")
    with pytest.raises(DataError, match="NaN"):
        DPPBatches(np.full_like(SMALL, np.nan), SMALL, batch_size=4)
    with pytest.raises(OptionsError, match="Received: 'nearest'"):
        DPPBatches(SMALL, SMALL, batch_size=4, method="nearest")
