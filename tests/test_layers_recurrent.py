"""Recurrent layers and tables with posteriors: Keras' own at no width, one draw for all steps."""

from __future__ import annotations

import keras
import noisy_layer_checks as checks
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from layer_cases import LIMIT, mean_error, variance_error

from tfbdl import layers
from tfbdl.errors import ModelError, OptionsError, TfbdlWarning

tfd = tfp.distributions
RNG = np.random.default_rng(3)
X = RNG.normal(size=(4, 6, 3)).astype("float32")
MASK = RNG.uniform(size=(4, 6)) < 0.6
WORDS = np.array([[1, 2, 2, 0], [5, 1, 0, 0], [6, 6, 6, 6]])
SIGMA = 0.4
RAW = float(np.log(np.expm1(SIGMA)))

each = pytest.mark.parametrize("kind", ["LSTM", "GRU"])
makers = pytest.mark.parametrize(
    ("make", "x"),
    [
        (lambda **k: layers.LSTMReparameterization(5, num_data=12, **k), X),
        (lambda **k: layers.GRUReparameterization(5, num_data=12, **k), X),
        (lambda **k: layers.EmbeddingReparameterization(7, 3, num_data=12, **k), WORDS),
    ],
    ids=["LSTM", "GRU", "Embedding"],
)


@keras.saving.register_keras_serializable(package="test_recurrent")
def ones(x):
    return keras.ops.ones_like(x)


def recurrent(kind, units=5, **options):
    return getattr(layers, f"{kind}Reparameterization")(units, **options)


def pair(kind, **options):
    """Keras' layer and ours, without width and with the same means."""
    theirs = getattr(keras.layers, kind)(5, **options)
    ours = recurrent(kind, num_data=12, **options)
    theirs(X)
    ours(X)
    given = {weight.name: weight for weight in theirs.weights}
    for weight in ours.trainable_weights:
        name = weight.name.removesuffix("_posterior_loc")
        weight.assign(given[name] if name in given else np.full(weight.shape, -40.0))
    return theirs, ours


# -- Keras' own ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LSTM", {}),
        ("LSTM", {"return_sequences": True, "return_state": True, "go_backwards": True}),
        ("LSTM", {"use_bias": False, "unroll": True, "recurrent_activation": "relu"}),
        ("GRU", {"return_state": True}),
        ("GRU", {"reset_after": False, "return_sequences": True, "activation": "elu"}),
    ],
    ids=str,
)
def test_without_width_it_is_the_layer_of_keras(kind, options):
    theirs, ours = pair(kind, **options)
    states = [RNG.normal(size=(4, 5)).astype("float32")] * (2 if kind == "LSTM" else 1)
    for given in ({}, {"mask": MASK}, {"initial_state": states}):
        for mine, keras_own in zip(
            checks.numbers(ours(X, **given)), checks.numbers(theirs(X, **given)), strict=True
        ):
            np.testing.assert_allclose(mine, keras_own, atol=1e-6)
    assert ours.compute_output_shape(X.shape) == theirs.compute_output_shape(X.shape)


@each
def test_states_are_kept_and_reset_as_in_keras(kind):
    theirs, ours = pair(kind, stateful=True)
    for layer in (theirs, ours):
        layer.reset_state()
    for _ in range(2):
        np.testing.assert_allclose(ours(X), theirs(X), atol=1e-6)
    before = ours(X)
    ours.reset_state()
    assert np.abs(ours(X) - before).max() > 1e-3
    for layer in (theirs, ours):
        layer.reset_state()
    np.testing.assert_allclose(ours(X), theirs(X), atol=1e-6)


@each
def test_gradients_by_the_means_are_those_of_keras(kind):
    theirs, ours = pair(kind)

    def gradients(layer, weights):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(X, mask=MASK)))
        return tape.gradient(loss, [weight.value for weight in weights])

    means = [weight for weight in ours.trainable_weights if weight.name.endswith("_loc")]
    for mine, keras_own in zip(
        gradients(ours, means), gradients(theirs, theirs.weights), strict=True
    ):
        np.testing.assert_allclose(mine, keras_own, rtol=1e-4, atol=1e-5)


def test_means_begin_where_the_weights_of_keras_begin():
    layer = recurrent("LSTM", 6)
    layer(X)
    recurrent_mean = layer.recurrent_kernel_posterior.mean().numpy()
    np.testing.assert_allclose(recurrent_mean @ recurrent_mean.T, np.eye(6), atol=1e-5)
    bias = layer.bias_posterior.mean().numpy()
    np.testing.assert_array_equal(bias, np.repeat([0.0, 1.0, 0.0, 0.0], 6))
    bound = np.sqrt(6 / (3 + 24))
    assert np.abs(layer.kernel_posterior.mean()).max() <= bound


def test_a_table_without_width_is_the_embedding_of_keras():
    ours = layers.EmbeddingReparameterization(7, 3, mask_zero=True)
    theirs = keras.layers.Embedding(7, 3, mask_zero=True)
    ours(WORDS)
    theirs(WORDS)
    ours.set_weights([theirs.get_weights()[0], np.full((7, 3), -40.0), np.array(0)])
    np.testing.assert_allclose(ours(WORDS), theirs(WORDS), atol=1e-6)
    np.testing.assert_array_equal(ours.compute_mask(WORDS), theirs.compute_mask(WORDS))
    after = recurrent("GRU")
    outputs = []
    for table in (ours, theirs):  # padding is left out in what follows
        model = keras.Sequential([table, after])
        model(WORDS)
        after.rng_step.assign(0)
        outputs.append(np.asarray(model(WORDS)))
    np.testing.assert_allclose(*outputs, atol=1e-6)


# -- the noise -----------------------------------------------------------------------------------


@each
def test_all_steps_of_a_call_share_one_draw(kind):
    """One input from one state at the first step or at the last gives one output."""
    layer = recurrent(kind)
    x = np.broadcast_to(X[0, 0], (3, 4, 3))
    mask = np.eye(4, dtype=bool)[[0, 2, 3]]  # a step is taken at time 0, 2 or 3 alone
    first, second = np.asarray(layer(x, mask=mask)), np.asarray(layer(x, mask=mask))
    np.testing.assert_allclose(first, np.broadcast_to(first[0], first.shape), atol=1e-6)
    np.testing.assert_allclose(second, np.broadcast_to(second[0], second.shape), atol=1e-6)
    assert np.abs(first - second).max() > 0.01


def test_a_linear_recurrence_has_the_moments_of_one_draw():
    """With open gates c_T is the sum of W x_t: its variance is sigma^2 (sum_t x_t)^2.

    A draw of its own for each step would give ``sigma^2 sum_t x_t^2``. Each unit is a draw.
    """
    normal = layers.default_mean_field_normal_fn
    layer = recurrent(
        "LSTM",
        400,
        activation="linear",
        recurrent_activation=ones,
        kernel_posterior_fn=normal(
            loc_initializer=keras.initializers.Constant(0.3),
            untransformed_scale_initializer=keras.initializers.Constant(RAW),
        ),
        recurrent_kernel_posterior_fn=normal(is_singular=True, loc_initializer="zeros"),
        use_bias=False,
        seed=1,
    )
    x = X[:1]
    draws = np.concatenate([np.asarray(layer(x)).T for _ in range(10)])
    total = x.sum(axis=1)
    assert mean_error(draws, 0.3 * total.sum()) < LIMIT
    variance = SIGMA**2 * np.square(total).sum()
    assert variance_error(draws, variance) < LIMIT
    assert variance_error(draws, SIGMA**2 * np.square(x).sum()) > LIMIT


def test_a_table_is_drawn_once_a_call():
    layer = layers.EmbeddingReparameterization(
        3,
        4000,
        kernel_posterior_fn=layers.default_mean_field_normal_fn(
            loc_initializer=keras.initializers.Constant(0.3),
            untransformed_scale_initializer=keras.initializers.Constant(RAW),
        ),
        seed=2,
    )
    indices = np.array([[0, 1, 0], [2, 1, 1]])
    first, second = np.asarray(layer(indices)), np.asarray(layer(indices))
    np.testing.assert_array_equal(first[0, 0], first[0, 2])
    np.testing.assert_array_equal(first[0, 1], first[1, 2])
    vectors = np.stack([first[0, 0], first[0, 1], first[1, 0], second[0, 0]])
    assert mean_error(vectors.T, 0.3) < LIMIT
    assert variance_error(vectors.T, SIGMA**2) < LIMIT
    between = np.corrcoef(vectors)[np.triu_indices(4, 1)]
    assert np.abs(between).max() < LIMIT / np.sqrt(4000)


@makers
def test_noise_is_a_function_of_seed_name_and_call(make, x):
    checks.check_noise(make, x)


@each
def test_masks_of_keras_are_one_through_time(kind):
    """Dropout of inputs and of states within Keras' own layers is that of Gal and Ghahramani."""
    layer = getattr(keras.layers, kind)(
        30, dropout=0.5, recurrent_dropout=0.5, activation="linear", seed=0
    )
    x = np.broadcast_to(X[0, 0], (3, 4, 3))
    state = [np.ones((3, 30), "float32")] * (2 if kind == "LSTM" else 1)
    seen = []
    cell = layer.cell
    create = cell._create_dropout_mask
    cell._create_dropout_mask = lambda like, rate: seen.append(rate) or create(like[:1], rate)
    taken = np.eye(4, dtype=bool)[[0, 2, 3]]
    out = np.asarray(layer(x, mask=taken, initial_state=state, training=True))
    np.testing.assert_allclose(out, np.broadcast_to(out[0], out.shape), atol=1e-6)
    assert seen == [0.5, 0.5]  # a mask for the inputs, a mask for the states, of each call
    again = np.asarray(layer(x, mask=taken, initial_state=state, training=True))
    assert np.abs(again - out).max() > 0.1


# -- the divergence ------------------------------------------------------------------------------


@each
def test_divergences_are_those_of_tfp_divided_by_the_rows(kind):
    normal = layers.default_mean_field_normal_fn()
    prior = layers.trainable_normal_fn(loc=0.2, scale=0.7)
    layer = recurrent(
        kind,
        kernel_prior_fn=prior,
        bias_posterior_fn=normal,
        bias_prior_fn=layers.prior_fn("normal", scale=2.0),
        num_data=12,
    )
    layer(X)
    posteriors = layer.kernel_posterior, layer.recurrent_kernel_posterior, layer.bias_posterior
    laws = (0.2, 0.7), (0.0, 1.0), (0.0, 2.0)
    for loss, posterior, (loc, scale) in zip(layer.losses, posteriors, laws, strict=True):
        expected = tfd.kl_divergence(posterior.distribution, tfd.Normal(loc, scale))
        np.testing.assert_allclose(loss, tf.reduce_sum(expected) / 12, rtol=1e-5)
    assert layer.recurrent_kernel_prior is not None
    assert layer.bias_prior is not None


def test_divergence_of_a_table_is_that_of_all_its_rows():
    layer = layers.EmbeddingReparameterization(7, 3, num_data=12)
    layer(WORDS[:1, :1])
    posterior = layer.kernel_posterior.distribution
    expected = tf.reduce_sum(tfd.kl_divergence(posterior, tfd.Normal(0.0, 1.0)))
    np.testing.assert_allclose(layer.losses, [expected / 12], rtol=1e-5)


def test_unscaled_divergence_warns_and_set_num_data_reaches_nested_layers():
    both = keras.layers.Bidirectional(recurrent("LSTM"))
    model = keras.Sequential([keras.Input((6, 3)), both, keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    with pytest.warns(TfbdlWarning, match="set_num_data"):
        model.train_on_batch(X, np.zeros((4, 1)))
    model(X)
    unscaled = float(sum(both.losses))
    layers.set_num_data(model, 50)
    assert both.forward_layer.num_data == both.backward_layer.num_data == 50
    model(X)
    np.testing.assert_allclose(float(sum(both.losses)), unscaled / 50, rtol=1e-5)


# -- training, precision, files ------------------------------------------------------------------


def test_training_moves_means_and_widths_and_lowers_the_loss():
    words = RNG.integers(1, 7, size=(64, 5))
    y = np.isin(words, [1, 2]).mean(axis=1, keepdims=True)
    model = keras.Sequential(
        [
            layers.EmbeddingReparameterization(7, 4, num_data=len(words)),
            recurrent("LSTM", 8, num_data=len(words)),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model(words)
    before = [v.numpy() for v in model.trainable_variables]
    loss = model.fit(words, y, 32, epochs=4, verbose=0).history["loss"]
    assert loss[-1] < loss[0]
    for variable, start in zip(model.trainable_variables, before, strict=True):
        assert np.abs(variable.numpy() - start).min() > 0, variable.path


@makers
def test_half_precision_draws_in_full(make, x):
    checks.check_half_precision(make, x)


def test_half_precision_leaves_indices_whole():
    layer = layers.EmbeddingReparameterization(4100, 2, dtype="mixed_float16")
    words = keras.Input((1,), dtype="int32")
    model = keras.Model(words, layer(words))
    layer.set_weights(
        [np.arange(8200.0).reshape(4100, 2) / 8, np.full((4100, 2), -40.0), np.array(0)]
    )
    outputs = model.predict(np.array([[2049], [4095]], "int32"), verbose=0)
    np.testing.assert_allclose(outputs[:, 0, 0], [2049 / 4, 4095 / 4], rtol=1e-3)
    assert outputs[0, 0, 1] != outputs[0, 0, 0]


@makers
def test_configuration_makes_the_layer_again(make, x):
    checks.check_configuration(make(trainable=True, name="again"), x)


def test_configuration_keeps_every_argument():
    given = {
        "activation": "relu",
        "recurrent_activation": ones,
        "return_sequences": True,
        "go_backwards": True,
        "reset_after": False,
        "kernel_prior_fn": layers.prior_fn("laplace", scale=0.5),
        "bias_posterior_fn": layers.default_mean_field_normal_fn(),
        "bias_prior_fn": layers.trainable_normal_fn(),
        "activity_regularizer": keras.regularizers.L2(0.1),
        "num_data": 30,
        "seed": 4,
    }
    copy = layers.GRUReparameterization.from_config(recurrent("GRU", **given).get_config())
    config = copy.get_config()
    assert config == recurrent("GRU", name=copy.name, **given).get_config()
    assert copy.recurrent_activation is ones
    assert copy.kernel_prior_fn.prior.options.scale == 0.5
    assert copy.activity_regularizer.l2 == pytest.approx(0.1)
    assert not set(config) & {"dropout", "kernel_initializer", "unit_forget_bias"}


@makers
def test_a_stored_model_goes_on_with_the_same_noise(make, x, tmp_path):
    checks.check_file(make(), x, tmp_path / "model.keras")


@pytest.mark.slow
@makers
def test_a_step_under_xla_is_a_step_without(make, x):
    checks.check_xla(make, x)


@pytest.mark.slow
@pytest.mark.replicas
@makers
def test_a_step_on_two_replicas_is_a_step_on_one(make, x):
    checks.check_replicas(make, np.concatenate([x, x])[:4])


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"units": 0}, "units must be"),
        ({"dropout": 0.2}, r"MCDropout\(rate, noise_shape=\(None, 1, None\)\)"),
        ({"recurrent_dropout": 0.2}, "drops nothing"),
        ({"kernel_initializer": "zeros"}, "kernel_posterior_fn=.*kernel_initializer"),
        ({"unit_forget_bias": False}, "through the functions"),
        ({"num_data": 0}, "num_data"),
        ({"seed": -1}, "seed"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(options, says):
    with pytest.raises(OptionsError, match=says):
        layers.LSTMReparameterization(**{"units": 3, **options})


@pytest.mark.parametrize("name", ["input_dim", "output_dim"])
def test_a_table_needs_a_size(name):
    with pytest.raises(OptionsError, match=f"{name} must be"):
        layers.EmbeddingReparameterization(**{"input_dim": 3, "output_dim": 3, name: 0})


def test_what_does_not_fit_is_refused_when_it_is_built():
    with pytest.raises(ModelError, match="no posterior before it is built"):
        _ = recurrent("GRU").kernel_posterior
    with pytest.raises(ModelError, match="last axis"):
        recurrent("GRU").build((None, 4, None))
    with pytest.raises(OptionsError, match="function of recurrent_kernel_posterior"):
        recurrent("LSTM", recurrent_kernel_posterior_fn="normal").build((None, 4, 2))
    with pytest.raises(ModelError, match=r"bias_posterior_fn=.* cannot be stored"):
        recurrent("LSTM", bias_posterior_fn=lambda *args: None).get_config()
