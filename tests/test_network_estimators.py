"""Noise of each row's own in ordinary layers: its law, its gradients, and where it has no form."""

from __future__ import annotations

import threading

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tfbdl import BayesianNetwork, functional, random
from tfbdl.errors import ModelError, OptionsError
from tfbdl.network.estimators import ESTIMATORS

layers = keras.layers
RNG = np.random.default_rng(5)
DRAWS = 4_000
NOISY = ("local_reparameterization", "flipout")
X = RNG.normal(size=(64, 3)).astype("float32")
Y = X[:, :1] - 0.5 * X[:, 1:2]
SHAPES = {
    "dense": ((3,), lambda: layers.Dense(2, "linear")),
    "dense on a series": ((4, 3), lambda: layers.Dense(2)),
    "causal": ((5, 2), lambda: layers.Conv1D(2, 2, padding="causal", dilation_rate=2)),
    "convolution": ((6, 3), lambda: layers.Conv1D(2, 3, strides=2, padding="same")),
    "dilated": ((7, 6, 2), lambda: layers.Conv2D(2, 2, dilation_rate=2, use_bias=False)),
    "groups": ((5, 5, 4), lambda: layers.Conv2D(4, 3, groups=2)),
    "volume": ((3, 3, 3, 2), lambda: layers.Conv3D(2, 2)),
    "transposed": ((4, 4, 2), lambda: layers.Conv2DTranspose(3, 3, strides=2, padding="same")),
}


def network(shape, make, estimator, **options):
    """A net of one layer with a wide posterior, and of known noise."""
    with functional.seeded(3):
        net = keras.Sequential([keras.Input(shape), make()], name="net")
    return seeded(net, estimator, posterior_options={"initial_raw_scale": 0.0}, **options)


def seeded(net, estimator, **options):
    """A model of known noise whose own noise is the same in each run."""
    model = BayesianNetwork(
        net, "gaussian", likelihood_options={"scale": 1.0}, estimator=estimator, **options
    )
    model.rng_seed.assign(7)
    return model


def outputs(model, x, draws=DRAWS):
    """``[draws, n, ...]``: calls of the model with noise that differs from call to call."""

    def call(step):
        model.rng_step.assign(step)
        return model(x, training=True)

    @tf.function
    def calls():
        steps = tf.range(draws, dtype=tf.int64)
        return tf.map_fn(call, steps, fn_output_signature=tf.float32, parallel_iterations=1)

    return calls().numpy()


def exact_moments(model, x):
    """Mean and variance of the outputs, by the same layer on moments (its bias has its own)."""
    mean, stddev = model.surrogate.mean(), model.surrogate.stddev()
    parts = []
    for values, inputs in ((mean, x), ({n: s**2 for n, s in stddev.items()}, x**2)):
        pairs = [(v, values[name]) for name, v in model.weight_sites().items()]
        parts.append(functional.apply(model.net, pairs, inputs)[0].numpy())
    return parts


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[pytest.mark.slow] if c != "dense" else []) for c in SHAPES]
)
@pytest.mark.parametrize("estimator", NOISY)
def test_outputs_have_the_mean_and_the_variance_of_the_posterior(case, estimator):
    shape, make = SHAPES[case]
    model = network(shape, make, estimator)
    x = RNG.normal(size=(2, *shape)).astype("float32")
    drawn = outputs(model, x)
    mean, variance = exact_moments(model, x)
    deviation = (drawn.mean(0) - mean) / np.sqrt(variance / DRAWS)
    # of normals; Flipout's products have heavier tails, and it is their mean that is compared
    assert np.abs(deviation).max() < scipy.stats.norm.isf(1e-4 / mean.size)
    np.testing.assert_allclose(drawn.var(0).mean(), variance.mean(), rtol=0.05)
    np.testing.assert_allclose(drawn.var(0), variance, rtol=0.25)


def correlation(estimator):
    """Of the outputs of two rows with equal inputs."""
    model = network((3,), lambda: layers.Dense(1, use_bias=False), estimator)
    drawn = outputs(model, np.ones((2, 3), "float32"))
    return np.corrcoef(drawn[:, 0, 0], drawn[:, 1, 0])[0, 1]


@pytest.mark.slow
def test_rows_err_together_only_by_reparameterisation():
    limit = scipy.stats.norm.isf(1e-4) / np.sqrt(DRAWS)
    assert correlation("reparameterization") == pytest.approx(1.0)
    assert abs(correlation("flipout")) < limit
    assert abs(correlation("local_reparameterization")) < limit


def covariance_of_positions(estimator, make):
    """Variance of the mean over equal positions of a row, and that of one position."""
    model = network((16, 2), make, estimator)
    drawn = outputs(model, np.ones((1, 16, 2), "float32"))[:, 0, :, 0]
    return drawn.mean(axis=1).var() / drawn.var(axis=0).mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [lambda: layers.Dense(1, use_bias=False), lambda: layers.Conv1D(1, 1, use_bias=False)],
    ids=["dense", "convolution"],
)
def test_positions_of_a_row_share_its_kernel_but_for_local_reparameterisation(make):
    assert covariance_of_positions("reparameterization", make) == pytest.approx(1.0, rel=1e-4)
    assert covariance_of_positions("flipout", make) == pytest.approx(1.0, rel=1e-4)
    local = covariance_of_positions("local_reparameterization", make)
    assert local == pytest.approx(1 / 16, rel=0.15)


def test_whole_numbers_are_multiplied_by_fractions():
    net = keras.Sequential([keras.Input((3,), dtype="int32"), layers.Dense(1, use_bias=False)])
    net.layers[0].kernel.assign(np.full((3, 1), 0.5))
    for estimator in NOISY:
        model = seeded(net, estimator, posterior_options={"initial_raw_scale": -30.0})
        np.testing.assert_allclose(model(np.full((2, 3), 3), training=True), 4.5, rtol=1e-5)


def test_other_threads_see_the_layers_as_they_are():
    model = deep("flipout", posterior_options={"initial_raw_scale": 1.0})
    expected, seen = model.net(X).numpy(), []
    draw = model.surrogate.sample(random.key(1))
    with model.row_estimator.noisy(draw, random.key(2)):
        thread = threading.Thread(target=lambda: seen.extend(model.net(X).numpy() for _ in "12"))
        thread.start()
        thread.join()
    np.testing.assert_array_equal(seen, [expected, expected])
    np.testing.assert_array_equal(model.net(X), expected)


def deep(estimator, **options):
    """A net of two layers for numbers."""
    with functional.seeded(3):
        net = keras.Sequential(
            [keras.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(1)], name="net"
        )
    return seeded(net, estimator, **options)


def gradients(estimator, steps):
    """``[steps, parameters]``: of the loss by locations and scales of the kernels."""
    model = deep(estimator, posterior_options={"initial_raw_scale": -1.0}, num_data=len(X))
    kernels = [v.value for v in model.trainable_variables if "kernel" in v.path]

    def gradient(step):
        model.rng_step.assign(step)
        with tf.GradientTape() as tape:
            loss = model.compute_loss(X, Y, model(X, training=True))
        return tf.concat([tf.reshape(g, [-1]) for g in tape.gradient(loss, kernels)], 0)

    @tf.function
    def run():
        each = tf.range(steps, dtype=tf.int64)
        return tf.map_fn(gradient, each, fn_output_signature=tf.float32, parallel_iterations=1)

    return run().numpy()


@pytest.mark.slow
def test_gradients_agree_in_the_mean_and_vary_less():
    found = {estimator: gradients(estimator, 1_000) for estimator in ESTIMATORS}
    shared = found["reparameterization"]
    for estimator in NOISY:
        other = found[estimator]
        spread = np.sqrt((shared.var(0) + other.var(0)) / len(shared))
        z = (shared.mean(0) - other.mean(0)) / spread
        assert np.abs(z).max() < scipy.stats.norm.isf(1e-4 / z.size)
        assert other.var(0).sum() < 0.5 * shared.var(0).sum()


# -- as a model


@pytest.mark.slow
def test_fit_recovers_the_conjugate_posterior():
    with functional.seeded(3):
        net = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False)], name="net")
    model = BayesianNetwork(net, "gaussian", likelihood_options={"scale": 5.0}, estimator=NOISY[0])
    x = np.tile(np.linalg.qr(X)[0] * 8.0, (50, 1))  # orthogonal columns: independent elements
    y = x @ [[1.0], [-1.0], [0.5]] + 5.0 * np.random.default_rng(1).normal(size=(len(x), 1))
    model.rng_seed.assign(1)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 500)))
    model.fit(x.astype("float32"), y.astype("float32"), batch_size=len(x), epochs=500, verbose=0)
    precision = 1.0 + len(x) / 25.0
    mean = (x.T @ y) / 25.0 / precision
    np.testing.assert_allclose(
        model.posterior.mean()["dense.kernel"], mean, atol=0.1 * precision**-0.5
    )
    np.testing.assert_allclose(model.posterior.stddev()["dense.kernel"], precision**-0.5, rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", NOISY)
def test_a_stored_model_goes_on_as_the_first_would(tmp_path, estimator):
    model = deep(estimator)
    model.compile("adam", jit_compile=False)
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.estimator == estimator
    for one in (model, again):
        one.fit(X, Y, batch_size=16, epochs=3, initial_epoch=2, verbose=0)
    for was, now in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", NOISY)
def test_half_precision_trains(estimator):
    with functional.seeded(3):
        dtype = {"dtype": "mixed_float16"}
        net = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(4, 3, activation="relu", **dtype),
                layers.Flatten(**dtype),
                layers.Dense(3, **dtype),
            ]
        )
    model = BayesianNetwork(net, "categorical", estimator=estimator)
    model.compile("adam", jit_compile=False)
    images, labels = RNG.random((32, 8, 8, 1)), np.arange(32) % 3
    history = model.fit(images, labels, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert model.predictive(images[:2], 3).probs.shape == (2, 3)


def test_pruned_weights_stay_zero_in_a_row():
    model = deep("local_reparameterization").prune(1.0)
    assert model.estimator == "local_reparameterization"
    np.testing.assert_allclose(model(X, training=True), np.zeros((len(X), 1)), atol=1e-15)


# -- where it has no form


def test_a_layer_without_such_a_form_is_named():
    net = keras.Sequential([keras.Input((5, 2)), layers.LSTM(3), layers.Dense(1)])
    with pytest.raises(ModelError, match=r"'lstm.lstm_cell.kernel' of LSTMCell.*reparameteriza"):
        BayesianNetwork(net, "gaussian", estimator="flipout")
    points = BayesianNetwork(net, "gaussian", estimator="flipout", sites="dense.*")
    assert points.random_sites == ("dense.kernel", "dense.bias")


def test_a_subclass_with_a_call_of_its_own_is_refused():
    class Doubled(layers.Dense):
        def call(self, inputs, training=None):
            return 2.0 * super().call(inputs, training=training)

    with pytest.raises(ModelError, match="of Doubled"):
        BayesianNetwork(
            keras.Sequential([keras.Input((2,)), Doubled(1)]), "gaussian", estimator="flipout"
        )


def test_kernels_must_be_independent_under_the_posterior_and_random():
    with pytest.raises(OptionsError, match=r"posterior='mean_field'. Received: 'low_rank'"):
        deep("flipout", posterior="low_rank")
    with pytest.raises(ModelError, match="one of kernels, and none is random"):
        deep("flipout", sites="*.bias")
    with pytest.raises(OptionsError, match="Did you mean 'flipout'"):
        deep("flipuot")


def test_a_layer_that_is_shared_is_refused_when_it_is_called_again():
    inputs = keras.Input((3,))
    dense = layers.Dense(3)
    net = keras.Model(inputs, layers.Dense(1)(dense(dense(inputs))))
    model = BayesianNetwork(net, "gaussian", estimator="local_reparameterization", num_data=9)
    with pytest.raises(ModelError, match="called twice in one pass"):
        model(X, training=True)
    expected = X
    for layer in (dense, dense, net.layers[-1]):
        expected = expected @ layer.kernel.numpy() + layer.bias.numpy()
    np.testing.assert_allclose(net(X), expected, rtol=1e-4, atol=1e-5)  # as they were


def test_a_kernel_in_a_wrapper_is_refused():
    inside = layers.SpectralNormalization(layers.Dense(2))
    net = keras.Sequential([keras.Input((3,)), inside, layers.Dense(1)])
    with pytest.raises(ModelError, match="outside of wrappers"):
        BayesianNetwork(net, "gaussian", estimator="flipout", sites="*kernel")


@pytest.mark.replicas
@pytest.mark.parametrize("estimator", [NOISY[0], pytest.param(NOISY[1], marks=pytest.mark.slow)])
def test_replicas_that_wait_for_each_other_amid_a_pass_train(estimator):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        net = keras.Sequential(
            [
                keras.Input((3,)),
                layers.Dense(2),
                layers.BatchNormalization(synchronized=True),
                layers.Dense(1),
            ]
        )
        model = seeded(net, estimator)
        model.compile("sgd")
    history = model.fit(X, Y, batch_size=32, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
