"""Convolutions with posteriors: the map, its law and its losses, beside TFP's own layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from layer_cases import (
    DRAWS,
    LIMIT,
    Spy,
    gradients_of,
    mean_error,
    normals,
    outputs_of,
    set_posterior,
    two_sample_error,
    variance_error,
)

from tfbdl import layers
from tfbdl.errors import ModelError, OptionsError

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*add_variable.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*RandomNormal is unseeded.*:UserWarning"),
]
KINDS = ("Reparameterization", "Flipout", "LocalReparameterization")
TRANSPOSED = ("TransposeReparameterization", "TransposeFlipout")
WAYS = {
    "valid": {},
    "same": {"padding": "same"},
    "strided": {"padding": "SAME", "strides": 2},
    "dilated": {"dilation_rate": 2},
    "dilated same": {"padding": "same", "dilation_rate": 2},
}
ranks = pytest.mark.parametrize("rank", [1, 2, 3])
kinds = pytest.mark.parametrize("kind", KINDS)
QUICK = {(2, way) for way in WAYS} | {(1, "strided"), (3, "dilated same")}
ranks_and_ways = pytest.mark.parametrize(
    ("rank", "way"),
    [
        pytest.param(rank, way, marks=() if (rank, way) in QUICK else pytest.mark.slow)
        for rank in (1, 2, 3)
        for way in WAYS
    ],
)
ranks_and_kinds = pytest.mark.parametrize(
    ("rank", "kind"),
    [
        pytest.param(rank, kind, marks=() if rank == 2 else pytest.mark.slow)
        for rank in (1, 2, 3)
        for kind in (*KINDS, *TRANSPOSED)
    ],
)


def ours(rank, kind, filters=2, kernel_size=2, **options):
    return getattr(layers, f"Convolution{rank}D{kind}")(filters, kernel_size, **options)


def images(rank, channels=3, rows=2, size=5):
    return normals(rows, *[size] * rank, channels)


def with_posterior(layer, x, posterior):
    layer(x)
    set_posterior(layer, *posterior)
    return layer


def posterior_of(rank, channels=3, filters=2, size=2):
    shape = (*[size] * rank, channels, filters)
    return normals(*shape), 0.5 * np.exp(0.2 * normals(*shape)), normals(filters)


def without_noise(layer, x, loc, bias):
    """Outputs where the kernel is its mean."""
    layer(x)
    set_posterior(layer, loc, np.full_like(loc, 1.2e-7 + 1e-9), bias)
    return layer(x)


# -- the map -----------------------------------------------------------------------------------


@ranks_and_ways
def test_convolution_is_that_of_tfp(rank, way):
    x, (loc, _, bias) = images(rank), posterior_of(rank)
    peer = getattr(tfp.layers, f"Convolution{rank}DReparameterization")(2, 2, **WAYS[way])
    expected = without_noise(peer, x, loc, bias)
    for kind in KINDS:
        layer = ours(rank, kind, **WAYS[way])
        np.testing.assert_allclose(without_noise(layer, x, loc, bias), expected, atol=2e-5)
        assert layer.compute_output_shape(x.shape) == expected.shape


@ranks_and_ways
def test_transposed_convolution_is_the_gradient_of_a_convolution(rank, way):
    options = WAYS[way]
    small = images(rank, channels=3)
    kernel, bias = normals(*[2] * rank, 2, 3), np.zeros(2, "float32")
    layers_ = [ours(rank, kind, **options) for kind in TRANSPOSED]
    outputs = [without_noise(layer, small, kernel, bias) for layer in layers_]

    @tf.function  # TensorFlow's eager gradient of Conv3D fails
    def gradient():
        with tf.GradientTape() as tape:
            wide = tf.zeros(outputs[0].shape)
            tape.watch(wide)
            narrow = tf.nn.convolution(
                wide,
                kernel,
                options.get("strides", 1),
                options.get("padding", "valid").upper(),
                dilations=options.get("dilation_rate", 1),
            )
        return tape.gradient(narrow, wide, output_gradients=small)

    expected = gradient()
    for layer, output in zip(layers_, outputs, strict=True):
        np.testing.assert_allclose(output, expected, atol=2e-5)
        assert layer.compute_output_shape(small.shape) == expected.shape


def test_output_padding_appends_to_the_outputs_of_a_transposed_convolution():
    x = images(2)
    options = {"strides": 2, "padding": "same", "output_padding": 1}
    kernel, bias = normals(3, 3, 2, 3), normals(2)
    layer = ours(2, "TransposeReparameterization", kernel_size=3, **options)
    peer = keras.layers.Conv2DTranspose(2, 3, **options)
    peer.build(x.shape)
    peer.set_weights([kernel, bias])
    np.testing.assert_allclose(without_noise(layer, x, kernel, bias), peer(x), atol=2e-5)


@kinds
@ranks
def test_groups_are_convolutions_of_their_own(rank, kind):
    x = images(rank, channels=4)
    loc, bias = normals(*[2] * rank, 2, 6), normals(6)
    grouped = without_noise(ours(rank, kind, 6, groups=2), x, loc, bias)
    parts = [
        tf.nn.convolution(x[..., 2 * i : 2 * i + 2], loc[..., 3 * i : 3 * i + 3]) for i in range(2)
    ]
    np.testing.assert_allclose(grouped, tf.concat(parts, -1) + bias, atol=2e-5)


@ranks_and_kinds
def test_channels_first_is_channels_last_transposed(rank, kind):
    x = images(rank)
    results = []
    for data_format in ("channels_last", "channels_first"):
        first = data_format == "channels_first"
        given = np.moveaxis(x, -1, 1) if first else x
        keras.utils.set_random_seed(4)
        options = {"strides": 2, "padding": "same", "activation": "relu"}
        layer = ours(rank, kind, data_format=data_format, seed=1, name="layer", **options)
        outputs = layer(given)
        assert layer.compute_output_shape(given.shape) == outputs.shape
        results.append(np.moveaxis(outputs, 1, -1) if first else outputs)
    np.testing.assert_allclose(results[1], results[0], atol=1e-5)


def test_an_activation_sees_the_outputs_as_they_leave_the_layer():
    x = np.moveaxis(images(2), -1, 1)
    layer = ours(2, "Reparameterization", activation="softmax", data_format="channels_first")
    np.testing.assert_allclose(np.sum(layer(x), axis=-1), 1.0, atol=1e-5)


# -- the law of the outputs --------------------------------------------------------------------


@kinds
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.slow
def test_outputs_have_the_moments_of_theory_and_of_tfp_in_every_way(kind, way):
    check_moments(2, kind, way)


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_have_the_moments_of_theory_and_of_tfp(kind):
    check_moments(1, kind, "strided")


def check_moments(rank, kind, way):
    x, (loc, scale, bias) = images(rank), posterior_of(rank)
    options = WAYS[way]
    layer = with_posterior(ours(rank, kind, **options), x, (loc, scale, bias))
    draws = outputs_of(layer, x)
    plain = {"strides": options.get("strides", 1), "padding": options.get("padding", "valid")}
    plain["padding"] = plain["padding"].upper()
    plain["dilations"] = options.get("dilation_rate", 1)
    assert mean_error(draws, tf.nn.convolution(x, loc, **plain) + bias) < LIMIT
    assert variance_error(draws, tf.nn.convolution(x**2, scale**2, **plain)) < LIMIT
    if kind in ("Reparameterization", "Flipout"):
        peer = getattr(tfp.layers, f"Convolution{rank}D{kind}")
        peer = peer(2, 2, kernel_divergence_fn=None, **options)
        theirs = outputs_of(with_posterior(peer, x, (loc, scale, bias)), x, jit=False)
        assert two_sample_error(draws, theirs) < LIMIT
        assert two_sample_error(np.square(draws), np.square(theirs)) < LIMIT


@pytest.mark.parametrize("kind", ["Reparameterization", "Flipout"])
def test_gradients_have_the_mean_of_those_of_tfp(kind):
    x, posterior, options = images(1), posterior_of(1), {"kernel_divergence_fn": None}
    layer = with_posterior(ours(1, kind, **options), x, posterior)
    peer = getattr(tfp.layers, f"Convolution1D{kind}")(2, 2, **options)
    with_posterior(peer, x, posterior)

    def loss(y):
        return tf.reduce_sum(tf.math.log(tf.cosh(y)))

    mine = gradients_of(layer, loss, x, 4000)
    theirs = gradients_of(peer, loss, x, 4000, jit=False)
    for first, second in zip(mine, theirs, strict=True):
        assert two_sample_error(first, second) < LIMIT


def test_flipout_decorrelates_the_rows_of_a_batch_and_reparameterization_does_not():
    x = np.repeat(images(1)[:1], 2, axis=0)
    posterior, correlations = posterior_of(1), {}
    for kind in ("Reparameterization", "Flipout", "TransposeFlipout"):
        layer = ours(1, kind)
        layer(x)
        if not kind.startswith("Transpose"):
            set_posterior(layer, *posterior)
        first, second = outputs_of(layer, x)[:, :, 1, 0].T
        correlations[kind] = np.corrcoef(first, second)[0, 1]
    assert correlations["Reparameterization"] > 0.9999
    bound = LIMIT * np.sqrt(3 / DRAWS)  # as for dense layers
    assert abs(correlations["Flipout"]) < bound
    assert abs(correlations["TransposeFlipout"]) < bound


def test_flipout_has_one_sign_for_a_channel_at_all_positions():
    spy = Spy()
    x = np.ones((3, 6, 1), "float32")
    layer = ours(1, "Flipout", 4, 1, kernel_divergence_fn=spy, bias_posterior_fn=None)
    perturbation = layer(x) - layer.kernel_posterior.mean()
    delta = spy.calls[-1][2] - layer.kernel_posterior.mean()
    ratio = np.asarray(perturbation / delta[0, 0])
    np.testing.assert_allclose(ratio, np.sign(ratio[:, :1]) * np.ones((1, 6, 1)), rtol=1e-3)


def test_local_reparameterization_has_a_gradient_where_all_inputs_are_zero():
    x = images(2, rows=1)
    x[:, :3, :3] = 0.0  # a patch of a corner, as beside a digit
    layer = ours(2, "LocalReparameterization")
    layer(x)
    with tf.GradientTape() as tape:
        variable = tf.convert_to_tensor(x)
        tape.watch(variable)
        loss = tf.reduce_sum(layer(variable) ** 2)
    weights = [weight.value for weight in layer.trainable_variables]
    for gradient in tape.gradient(loss, [variable, *weights]):
        assert np.isfinite(gradient).all()


# -- losses ------------------------------------------------------------------------------------


@ranks
@pytest.mark.parametrize("kind", [*KINDS, *TRANSPOSED])
def test_kernel_and_bias_add_a_scalar_loss_each(rank, kind):
    x = images(rank)
    layer = ours(rank, kind)
    assert layer.losses == []
    layer(x)
    assert [loss.shape for loss in layer.losses] == [()]
    both = ours(
        rank,
        kind,
        bias_posterior_fn=layers.default_mean_field_normal_fn(),
        bias_prior_fn=layers.default_multivariate_normal_fn,
    )
    both(x)
    assert [loss.shape for loss in both.losses] == [(), ()]


@ranks
@pytest.mark.parametrize("kind", ["Reparameterization", "Flipout"])
def test_divergence_is_that_of_tfp(rank, kind):
    x, posterior = images(rank), posterior_of(rank)
    layer = with_posterior(ours(rank, kind), x, posterior)
    peer = with_posterior(getattr(tfp.layers, f"Convolution{rank}D{kind}")(2, 2), x, posterior)
    layer(x)
    peer(x)
    np.testing.assert_allclose(layer.losses[0], peer.losses[0], rtol=1e-5)


@ranks
def test_reparameterization_convolves_with_the_drawn_weights(rank):
    spies = Spy(0.25), Spy(0.5)
    layer = ours(
        rank,
        "Reparameterization",
        padding="same",
        kernel_divergence_fn=spies[0],
        bias_divergence_fn=spies[1],
        bias_posterior_fn=layers.default_mean_field_normal_fn(),
        bias_prior_fn=layers.default_multivariate_normal_fn,
    )
    x = images(rank)
    outputs = layer(x)
    ((_, _, kernel),), ((_, _, bias),) = (spy.calls for spy in spies)
    expected = tf.nn.convolution(x, kernel, padding="SAME") + bias
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_allclose(layer.losses, [0.25, 0.5])


@ranks_and_kinds
def test_layers_follow_one_another(rank, kind):
    net = keras.Sequential([ours(rank, kind, kernel_size=3), ours(rank, kind, kernel_size=1)])
    assert net(images(rank)).shape[-1] == 2
    assert len(net.losses) == 2


@kinds
def test_seeds_tell_layers_apart(kind):
    x = images(1)

    def outputs(seed):
        keras.utils.set_random_seed(1)
        return ours(1, kind, seed=seed, name="layer")(x)

    np.testing.assert_array_equal(outputs(44), outputs(44))
    assert np.abs(outputs(44) - outputs(45)).min() > 0


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": 0}, "filters must be an integer of at least 1"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size must be a number, or 2 of them"),
        ({"strides": 0}, "strides must be an integer of at least 1"),
        ({"strides": 2, "dilation_rate": 2}, "strides above 1 do not go with a dilation_rate"),
        ({"padding": "some"}, "padding must be one of valid, same. Did you mean 'same'?"),
        ({"data_format": "channel_last"}, "Did you mean 'channels_last'?"),
        ({"groups": 2, "filters": 3}, "groups must divide filters"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(OptionsError) as error:
        ours(2, "Flipout", **options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 2}, "no groups"),
        ({"output_padding": 1}, "output_padding must be below strides"),
    ],
)
def test_wrong_arguments_of_transposed_convolutions_are_refused(options, message):
    with pytest.raises(OptionsError, match=message):
        ours(2, "TransposeFlipout", **options)


@pytest.mark.parametrize("shape", [(None, 5, 5, None), (None, 5, 5, 3)])
def test_inputs_whose_channels_do_not_fit_are_refused(shape):
    with pytest.raises(ModelError, match=r"a multiple of groups=2. Received: inputs of shape"):
        ours(2, "Reparameterization", groups=2).build(shape)
