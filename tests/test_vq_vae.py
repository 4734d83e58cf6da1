"""Vector-quantised auto-encoders against brute force, hand-written recursions and k-means."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from sklearn.cluster import KMeans
from small_models import Stop, stop_at
from tfbdl_vae import VQVAE
from tfbdl_vae.codebook import Codebook, nearest, straight_through
from vae_by_name import eagerly

import tfbdl
from tfbdl import errors, random, testing


def dense(inputs, units, name):
    layers = [keras.Input((inputs,)), keras.layers.Dense(units, use_bias=False)]
    return keras.Sequential(layers, name=name)


def identity(size, name):
    return keras.Sequential([keras.Input((size,)), keras.layers.Activation("linear")], name=name)


def small(seed=0, **options):
    """Five numbers, three codes of two dimensions, a decoder with fixed noise."""
    options = {"likelihood": "gaussian", "likelihood_options": {"scale": 0.5}, **options}
    with tfbdl.functional.seeded(seed):
        nets = dense(5, 6, "encoder"), dense(6, 5, "decoder")
    return VQVAE(*nets, embedding_dim=2, codebook_size=4, seed=seed, **options)


def rows(n=12, size=5, seed=0):
    return np.random.default_rng(seed).normal(size=(n, size)).astype("float32")


def brute_force(z, vectors):
    """The nearest vector, one distance after the other."""
    distances = ((z[..., np.newaxis, :] - vectors) ** 2).sum(-1)
    return distances.argmin(-1)


# -- the codebook ------------------------------------------------------------------------------


def test_quantisation_is_the_nearest_neighbour():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(37, 3))
    z = rng.normal(size=(20, 4, 5, 3))
    found = nearest(tf.constant(z), tf.constant(vectors))
    np.testing.assert_array_equal(found, brute_force(z, vectors))
    model, x = small(), rows()
    vectors = 0.5 * rng.normal(size=(4, 2)).astype("float32")
    model.book.vectors.assign(vectors)
    encoded = (x @ model.encoder.weights[0].numpy()).reshape(12, 3, 2)
    expected = brute_force(encoded, vectors)
    np.testing.assert_array_equal(model.codes(x), expected)
    np.testing.assert_array_equal(model.quantise(x), vectors[expected])
    outputs = vectors[expected].reshape(12, 6) @ model.decoder.weights[0].numpy()
    np.testing.assert_allclose(model.reconstruct(x), outputs, rtol=1e-5, atol=1e-6)


def test_straight_through_is_the_code_with_the_gradient_of_the_vector():
    z, e = tf.constant([[0.1, 0.7]]), tf.constant([[1 / 3, -2.0]])
    with tf.GradientTape() as tape:
        tape.watch([z, e])
        passed = straight_through(z, e)
        value = tf.reduce_sum(passed**3)
    np.testing.assert_array_equal(passed, e)
    by_z, by_e = tape.gradient(value, [z, e])
    np.testing.assert_allclose(by_z, 3 * e.numpy() ** 2, rtol=1e-6)
    assert by_e is None


def test_moving_averages_are_the_recursion_of_the_paper():
    book = Codebook(5, 2, True, decay=0.9, restart=0.0, seed=3)
    vectors = np.asarray(book.vectors, np.float64)
    N, m = np.ones(5), vectors.copy()
    rng = np.random.default_rng(0)
    for _ in range(3):
        z = rng.normal(size=(6, 4, 2)).astype("float32")
        indices = brute_force(z, np.asarray(book.vectors))
        book.follow(tf.constant(z), book.nearest(tf.constant(z)), random.key(0))
        for i in range(5):
            mine = z[indices == i]
            N[i] = 0.9 * N[i] + 0.1 * len(mine)
            m[i] = 0.9 * m[i] + 0.1 * mine.sum(0)
        smooth = (N + 1e-5) / (N.sum() + 5e-5) * N.sum()
        np.testing.assert_allclose(book.counts, N, rtol=1e-5)
        np.testing.assert_allclose(book.vectors, m / smooth[:, None], rtol=1e-5)


@pytest.mark.parametrize("moving_averages", [True, False])
def test_codes_out_of_use_begin_anew_at_vectors_of_the_batch(moving_averages):
    book = Codebook(3, 2, moving_averages, decay=0.5, restart=0.2, seed=0)
    book.vectors.assign([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]])
    if moving_averages:
        book.sums.assign(book.vectors)
    z = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    # Their counts go from 1 to 0.5, then to 0.25; all 8 points are at the first code, whose count
    # goes to 4.5, then to 6.25. The mean count is 5.5 / 3, then 6.75 / 3, below 8 / 3.
    for step in range(2):
        far = np.abs(np.asarray(book.vectors)).max(1) > 20
        np.testing.assert_array_equal(far, [False, True, True])
        book.follow(tf.constant(z), book.nearest(tf.constant(z)), random.key(step))
    vectors = np.asarray(book.vectors)
    for code in (1, 2):
        assert any(np.array_equal(vectors[code], point) for point in z)
        assert float(book.counts[code]) == pytest.approx(6.75 / 3)
    book.follow(tf.zeros((0, 2)), tf.zeros((0,), tf.int32), random.key(0))  # a replica without rows
    assert np.isfinite(book.vectors).all()


@pytest.mark.parametrize("moving_averages", [True, False])
@pytest.mark.parametrize("points", [2, 8, 800])
def test_evenly_used_codes_never_restart(moving_averages, points):
    """Eight codes are chosen by turns, with fewer points in a step than codes and with more."""
    book = Codebook(8, 2, moving_averages, decay=0.9, restart=0.5, seed=0)
    turns = np.resize(np.arange(8), 60 * points).reshape(60, points)
    centres = book.vectors.numpy()
    for step, indices in enumerate(turns):
        z = tf.constant(centres[indices])
        book.follow(z, tf.constant(indices, tf.int32), random.key(step))
    # Vectors stay where all their points are, but for the smoothing; a restart would move them.
    np.testing.assert_allclose(book.vectors, centres, rtol=1e-3)
    np.testing.assert_allclose(book.counts / np.sum(book.counts), 1 / 8, rtol=0.25)


def test_codebook_of_separated_clusters_ends_at_the_centres_of_k_means():
    rng = np.random.default_rng(0)
    centres = np.array([[3.0, 3.0], [-3.0, 3.0], [3.0, -3.0], [-3.0, -3.0]])
    x = (np.repeat(centres, 25, axis=0) + 0.3 * rng.normal(size=(100, 2))).astype("float32")
    model = VQVAE(identity(2, "encoder"), identity(2, "decoder"), 2, 4, "gaussian", decay=0.4)
    first = x[[0, 25, 50, 75]]
    model.book.vectors.assign(first)
    model.book.sums.assign(first)
    model.compile(keras.optimizers.Adam(0.05), run_eagerly=True)
    history = model.fit(np.tile(x, (6, 1)), batch_size=100, epochs=2, verbose=0, shuffle=False)
    expected = KMeans(4, n_init=5, random_state=0).fit(x).cluster_centers_
    order = [np.abs(expected - c).sum(1).argmin() for c in centres]
    # 0.4^12 of the start is left; the smoothing moves a centre by 1e-5 of itself
    np.testing.assert_allclose(model.codebook, expected[order], atol=1e-4)
    assert history.history["perplexity"][-1] == pytest.approx(4.0, rel=1e-5)
    np.testing.assert_allclose(model.code_frequencies, 0.25, atol=1e-4)
    inertia = ((x - np.repeat(expected[order], 25, axis=0)) ** 2).sum(-1).mean()
    assert history.history["commitment"][-1] == pytest.approx(inertia, rel=1e-3)


# -- the loss ----------------------------------------------------------------------------------


def by_hand(model, x):
    """Parts of the loss, and the vectors that it is made of."""
    W, V = model.encoder.weights[0].numpy(), model.decoder.weights[0].numpy()
    z = (x @ W).reshape(-1, 3, 2)
    e = model.codebook[brute_force(z, model.codebook)]
    log_lik = stats.norm(e.reshape(-1, 6) @ V, 0.5).logpdf(x).sum(1)
    distance = ((z - e) ** 2).sum(-1).mean(-1)  # a mean over positions
    return log_lik, distance, z, e, V


@pytest.mark.parametrize(("update", "terms"), [("moving_averages", 0), ("gradient", 1)])
def test_loss_is_that_of_the_paper(update, terms):
    model, x = small(update=update, beta=0.4), rows()
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    log_lik, distance, *_ = by_hand(model, x)
    found = model.test_on_batch(x, return_dict=True)
    assert found["loss"] == pytest.approx((-log_lik + (0.4 + terms) * distance).mean(), rel=1e-5)
    assert found["reconstruction"] == pytest.approx(log_lik.mean(), rel=1e-5)
    assert found["commitment"] == pytest.approx(distance.mean(), rel=1e-5)
    share = np.bincount(model.codes(x).ravel(), minlength=4) / 36
    assert found["perplexity"] == pytest.approx(np.exp(stats.entropy(share)), rel=1e-5)


@pytest.mark.parametrize("update", ["moving_averages", "gradient"])
def test_gradients_go_where_the_paper_sends_them(update):
    model, x = small(update=update, beta=0.4), rows()
    n = len(x)
    _, _, z, e, V = by_hand(model, x)
    residual = e.reshape(n, 6) @ V - x
    by_code = (residual / 0.25) @ V.T / n  # d(-log p) / d(decoder's inputs), at the codes
    by_vector = by_code.reshape(n, 3, 2) + 0.4 * 2 * (z - e) / 3 / n
    with tf.GradientTape() as tape:
        model(x, training=True)
        loss = model.compute_loss(x)
    weights = [model.encoder.weights[0], model.decoder.weights[0], model.book.vectors]
    of_encoder, of_decoder, of_book = tape.gradient(loss, [w.value for w in weights])
    np.testing.assert_allclose(of_encoder, x.T @ by_vector.reshape(n, 6), rtol=1e-4, atol=1e-5)
    expected = e.reshape(n, 6).T @ (residual / 0.25) / n
    np.testing.assert_allclose(of_decoder, expected, rtol=1e-4, atol=1e-5)
    if update == "moving_averages":
        assert of_book is None
        return
    by_book = np.zeros((4, 2))
    np.add.at(by_book, brute_force(z, model.codebook), 2 * (e - z) / 3 / n)
    np.testing.assert_allclose(tf.convert_to_tensor(of_book), by_book, rtol=1e-4, atol=1e-6)


def test_the_codebook_moves_in_training_alone():
    model, x = small(), rows()
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    first = model.codebook
    model(x, training=True)
    model.evaluate(x, verbose=0)
    np.testing.assert_array_equal(model.codebook, first)
    model.train_on_batch(x)
    assert not np.array_equal(model.codebook, first)


@pytest.mark.slow
@pytest.mark.replicas
@pytest.mark.parametrize("update", ["moving_averages", "gradient"])
def test_two_replicas_move_the_codebook_as_one_does(update):
    assert testing.two_logical_cpus()
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    found = []
    for scope in (tf.distribute.get_strategy().scope, strategy.scope):
        with scope():
            model = small(update=update)
            model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
            model.fit(rows(16), batch_size=8, epochs=2, shuffle=False, verbose=0)
        state = (model.book.vectors, model.book.counts, model.encoder.weights[0])
        found.append([tf.convert_to_tensor(v).numpy() for v in state])
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


# -- as a model --------------------------------------------------------------------------------


@pytest.mark.parametrize("traced", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_maps_of_codes_are_learned_by_name_from_images_of_any_size(tmp_path, traced):
    with nullcontext() if traced else eagerly():
        check_maps_of_codes(tmp_path)


def check_maps_of_codes(folder):
    x = (np.random.default_rng(0).random((24, 5, 7, 1)) > 0.5).astype("float32")
    model = tfbdl.fit(
        "vq_vae",
        x,
        model_options={"filters": (3, 4), "residual_blocks": 1, "codebook_size": 6,
                       "embedding_dim": 3},
        engine_options={"epochs": 1, "batch_size": 24},
    ).model  # fmt: skip
    codes = model.codes(x)
    assert codes.shape == (24, 2, 2)
    assert codes.dtype.kind == "i"
    assert model.quantise(x).shape == (24, 2, 2, 3)
    assert model.reconstruct(x).shape == x.shape
    np.testing.assert_array_equal(model.mean_at(codes), model.mean_at(model.quantise(x)))
    log_prob = model.decode(codes).log_prob(x)
    logits = model.decoder(model.quantise(x)).numpy()
    expected = stats.bernoulli(1 / (1 + np.exp(-logits))).logpmf(x).sum((1, 2, 3))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4)
    model.save(folder / "vq.keras")
    copy = tfbdl.load(folder / "vq.keras")
    np.testing.assert_array_equal(copy.codes(x), codes)
    np.testing.assert_array_equal(model.clone().codes(x), codes)
    assert not np.array_equal(model.clone(seed=5).codebook, model.codebook)


class Dense(keras.Model):
    """A linear net that does not know the shape of its outputs before it is called."""

    def __init__(self, units):
        super().__init__()
        self.dense = keras.layers.Dense(units)

    def call(self, x):
        return self.dense(x)


def test_subclassed_nets_are_built_by_a_call():
    model, x = VQVAE(Dense(6), Dense(5), 2, 4, "gaussian", seed=0), rows()
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    assert np.isfinite(model.fit(x, batch_size=12, verbose=0).history["loss"][0])
    with eagerly():
        assert model.codes(x).shape == (12, 3)


@pytest.mark.parametrize("update", ["moving_averages", "gradient"])
def test_held_out_figures_are_those_by_hand(update):
    model, x = small(update=update), rows(20)
    log_lik, distance, z, _, _ = by_hand(model, x)
    share = np.bincount(brute_force(z, model.codebook).ravel(), minlength=4) / 60
    with eagerly():
        found = model.held_out(x)
    expected = {
        "reconstruction": log_lik.mean(),
        "commitment": distance.mean(),
        "perplexity": np.exp(stats.entropy(share)),
    }
    assert found == pytest.approx(expected, rel=1e-5)


def test_draws_take_codes_by_the_prior_that_was_asked_for():
    model = small()
    model.book.counts.assign([6.0, 3.0, 1.0, 0.0])
    drawn = model.sample_codes(2_000, seed=1, prior="frequencies")
    share = np.bincount(drawn.ravel(), minlength=4) / drawn.size
    assert drawn.shape == (2_000, 3)
    assert share[3] == 0
    np.testing.assert_allclose(share, [0.6, 0.3, 0.1, 0.0], atol=0.025)  # four standard errors
    even = np.bincount(model.sample_codes(2_000, seed=1).ravel(), minlength=4)
    np.testing.assert_allclose(even / 6_000, 0.25, atol=0.025)
    np.testing.assert_allclose(
        model.sample(3, seed=2, mean=True), model.mean_at(model.sample_codes(3, seed=2))
    )
    noise = model.sample(4_000, seed=3) - model.sample(4_000, seed=3, mean=True)
    assert noise.std() == pytest.approx(0.5, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("update", ["moving_averages", "gradient"])
def test_stopped_run_resumes_to_the_same_codebook(tmp_path, update):
    x = rows(24)

    def run(out, on_step=None):
        return tfbdl.fit(
            small(update=update, restart=0.5, decay=0.6), x, out=out, on_step=on_step,
            engine_options={"epochs": 3, "batch_size": 8, "checkpoint_seconds": 0,
                            "steps_per_execution": 1},
        )  # fmt: skip

    with pytest.raises(Stop):
        run(tmp_path / "stopped", stop_at(5))
    resumed = tfbdl.resume(
        tmp_path / "stopped", model=small(update=update, restart=0.5, decay=0.6), data=x
    )
    whole = run(tmp_path / "whole")
    np.testing.assert_array_equal(whole.model.codebook, resumed.model.codebook)
    np.testing.assert_array_equal(whole.model.book.counts, resumed.model.book.counts)
    assert whole.history == resumed.history


# -- bad input ---------------------------------------------------------------------------------


def test_codes_and_vectors_of_another_shape_are_refused():
    model = small()
    with pytest.raises(errors.DataError, match=r"codes \[n, 3\]\. Received: shape \[2, 4\]"):
        model.decode(np.zeros((2, 4), int))
    with pytest.raises(errors.DataError, match=r"codes from 0 to 3\. Received: codes from 0 to 7"):
        model.decode([[0, 7, 1]])
    with pytest.raises(errors.DataError, match=r"or vectors \[n, 3, 2\]\. Received: .* \[1, 3\]"):
        model.decode([[0.0, 1.0, 2.0]])


def test_nets_that_do_not_fit_the_codes_are_refused():
    gaussian = {"likelihood": "gaussian"}
    with pytest.raises(errors.ModelError, match=r"a multiple of 4 units.*Received: \[n, 6\]"):
        VQVAE(dense(5, 6, "encoder"), dense(6, 5, "decoder"), 4, **gaussian)
    with pytest.raises(errors.ModelError, match=r"\[n, 6\]\. Received: a decoder of \[n, 4\]"):
        VQVAE(dense(5, 6, "encoder"), dense(4, 5, "decoder"), 2, **gaussian)


def test_options_out_of_range_are_refused():
    with pytest.raises(errors.OptionsError, match=r"codebook_size must be .* Received: 0"):
        VQVAE(dense(5, 6, "e"), dense(6, 5, "d"), 2, 0)
    with pytest.raises(errors.OptionsError, match="decay must be at least 0 and below 1"):
        small(decay=1.0)
    with pytest.raises(errors.OptionsError, match="Did you mean 'gradient'"):
        small(update="gradiant")
    with pytest.raises(errors.OptionsError, match="beta must be a finite number"):
        small(beta=-1.0)
    with pytest.raises(errors.OptionsError, match=r"beta must be a finite number.*Received: 'x'"):
        small(beta="x")
    with pytest.raises(errors.OptionsError, match=r"restart must be at least 0.*Received: 'x'"):
        small(restart="x")
    with pytest.raises(errors.OptionsError, match=r"codebook_size must be .* Received: True"):
        VQVAE(dense(5, 6, "e"), dense(6, 5, "d"), 2, True)
    with pytest.raises(errors.OptionsError, match="Did you mean 'frequencies'"):
        small().sample(prior="frequency")
