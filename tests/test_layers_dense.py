"""Dense layers with posteriors: their law, their losses and their noise, beside TFP's own."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from layer_cases import (
    DENSE,
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

tfd = tfp.distributions
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*add_variable.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*RandomNormal is unseeded.*:UserWarning"),
]
kinds = pytest.mark.parametrize("kind", DENSE)

X = normals(2, 3)
LOC, BIAS = normals(3, 4), normals(4)
SCALE = np.exp(0.3 * normals(3, 4)) * 0.6
MEAN, VARIANCE = X @ LOC + BIAS, X**2 @ SCALE**2


def ours(kind, units=4, **options):
    return getattr(layers, f"Dense{kind}")(units, **options)


def built(kind, x=X, **options):
    """A layer with the posterior of this page."""
    layer = ours(kind, **options)
    layer(x)
    set_posterior(layer, LOC, SCALE, BIAS)
    return layer


def of_tfp(kind, **options):
    layer = getattr(tfp.layers, f"Dense{kind}")(4, **options)
    layer(X)
    set_posterior(layer, LOC, SCALE, BIAS)
    return layer


# -- losses ------------------------------------------------------------------------------------


@kinds
def test_kernel_alone_adds_one_scalar_loss_at_a_call(kind):
    layer = ours(kind)
    assert layer.losses == []
    layer(X)
    layer(X)
    assert [loss.shape for loss in layer.losses] == [()]


@kinds
def test_kernel_and_bias_add_a_loss_each(kind):
    layer = ours(
        kind,
        bias_posterior_fn=layers.default_mean_field_normal_fn(),
        bias_prior_fn=layers.default_multivariate_normal_fn,
    )
    layer(X)
    assert [loss.shape for loss in layer.losses] == [(), ()]


@kinds
@pytest.mark.parametrize("none", ["kernel_prior_fn", "kernel_divergence_fn"])
def test_without_prior_or_divergence_there_is_no_loss(kind, none):
    layer = ours(kind, **{none: None})
    assert layer(X).shape == (2, 4)
    assert layer.losses == []


@kinds
def test_divergence_is_that_of_tfp(kind):
    options = {"bias_posterior_fn": None}
    layer = built(kind, **options)
    layer(X)
    peer = of_tfp(kind, **options)
    peer(X)
    np.testing.assert_allclose(layer.losses[0], peer.losses[0], rtol=1e-5)


@kinds
def test_divergence_of_a_random_bias_is_that_of_tfp(kind):
    def functions(module):
        return {
            "bias_posterior_fn": module.default_mean_field_normal_fn(),
            "bias_prior_fn": module.default_multivariate_normal_fn,
        }

    layer, peer = ours(kind, **functions(layers)), None
    layer(X)
    peer = getattr(tfp.layers, f"Dense{kind}")(4, **functions(tfp.layers))
    peer(X)
    for mine, theirs in zip(layer.trainable_variables, peer.trainable_variables, strict=True):
        theirs.assign(mine.numpy())
    layer(X)
    peer(X)
    np.testing.assert_allclose(layer.losses, peer.losses, rtol=1e-5)


@pytest.mark.parametrize(
    "kind",
    [
        "LocalReparameterization",  # which draws no kernel but for this
        pytest.param("Reparameterization", marks=pytest.mark.slow),
        pytest.param("Flipout", marks=pytest.mark.slow),
    ],
)
def test_divergence_from_a_laplace_prior_is_estimated_without_bias(kind):
    from scipy.integrate import quad

    layer = built(kind, kernel_prior_fn=layers.prior_fn("laplace", scale=0.7))

    @tf.function(jit_compile=True)
    def losses():
        def one(_):
            layer(X)
            return layer.losses[0]

        return tf.map_fn(one, tf.range(DRAWS), fn_output_signature=tf.float32)

    def divergence(m, s):
        q, p = scipy.stats.norm(m, s), scipy.stats.laplace(scale=0.7)
        parts = (quad(lambda w: q.pdf(w) * p.logpdf(w), a, b)[0] for a, b in ((-12, 0), (0, 12)))
        return -q.entropy() - sum(parts)

    exact = sum(divergence(m, s) for m, s in zip(LOC.ravel(), SCALE.ravel(), strict=True))
    assert mean_error(losses().numpy()[:, None], exact) < LIMIT


def test_a_point_is_trained_to_its_mode():
    prior = layers.default_multivariate_normal_fn
    layer = ours(
        "Reparameterization",
        kernel_posterior_fn=layers.default_mean_field_normal_fn(is_singular=True),
        kernel_prior_fn=prior,
        bias_prior_fn=prior,
    )
    layer(X)
    for loss, weight in zip(layer.losses, layer.trainable_variables, strict=True):
        expected = -scipy.stats.norm.logpdf(weight.numpy()).sum()
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


# -- the law of the outputs --------------------------------------------------------------------


@kinds
def test_outputs_have_the_moments_of_theory_and_of_tfp(kind):
    draws = outputs_of(built(kind), X)
    theirs = outputs_of(of_tfp(kind, kernel_divergence_fn=None), X, jit=False)
    for sample in (draws, theirs):
        assert mean_error(sample, MEAN) < LIMIT
        assert variance_error(sample, VARIANCE) < LIMIT
    assert two_sample_error(draws, theirs) < LIMIT


@kinds
def test_gradient_of_the_expected_loss_is_that_of_theory(kind):
    target = normals(2, 4)
    layer = built(kind, kernel_divergence_fn=None)
    by_loc, by_raw = gradients_of(layer, lambda y: tf.reduce_sum(tf.square(y - target)), X)
    assert mean_error(by_loc, 2 * X.T @ (MEAN - target)) < LIMIT
    sigmoid = 1 - np.exp(-SCALE)  # of the raw scale, whose softplus is SCALE
    assert mean_error(by_raw, 2 * SCALE * (X**2).sum(0)[:, None] * sigmoid) < LIMIT


def test_local_reparameterization_draws_from_the_exact_law():
    moments = {}

    def keep(law):
        moments["mean"], moments["variance"] = law.mean(), law.variance()
        return law.mean()

    layer = built("LocalReparameterization", kernel_posterior_tensor_fn=keep)
    np.testing.assert_allclose(layer(X), MEAN, rtol=1e-5)
    np.testing.assert_allclose(moments["mean"] + BIAS, MEAN, rtol=1e-5)
    np.testing.assert_allclose(moments["variance"], VARIANCE, rtol=1e-5)


def test_flipout_decorrelates_the_rows_of_a_batch_and_reparameterization_does_not():
    x = np.repeat(X[:1], 2, axis=0)
    correlations = {}
    for kind in DENSE:
        first, second = outputs_of(built(kind), x)[:, :, 0].T
        correlations[kind] = np.corrcoef(first, second)[0, 1]
    assert correlations["Reparameterization"] > 0.9999
    # The product of two rows' perturbations has signs of its own: a mean of zero, and under
    # normal perturbations a standard deviation of at most sqrt(3) of their variance.
    assert abs(correlations["Flipout"]) < LIMIT * np.sqrt(3 / DRAWS)
    assert abs(correlations["LocalReparameterization"]) < LIMIT / np.sqrt(DRAWS)


# -- what a call computes ----------------------------------------------------------------------


def test_reparameterization_multiplies_by_the_drawn_weights():
    spies = Spy(0.25), Spy(0.5)
    layer = ours(
        "Reparameterization",
        kernel_divergence_fn=spies[0],
        bias_divergence_fn=spies[1],
        bias_posterior_fn=layers.default_mean_field_normal_fn(),
        bias_prior_fn=layers.default_multivariate_normal_fn,
        activation="tanh",
    )
    outputs = layer(X)
    ((q, p, kernel),), ((_, _, bias),) = (spy.calls for spy in spies)
    np.testing.assert_allclose(outputs, np.tanh(X @ kernel + bias), rtol=1e-5)
    np.testing.assert_allclose(layer.losses, [0.25, 0.5])
    np.testing.assert_allclose(q.mean(), layer.kernel_posterior.mean())
    assert p.event_shape == (3, 4)


def test_flipout_flips_the_drawn_perturbation_by_signs_of_each_row():
    spy = Spy()
    layer = built("Flipout", kernel_divergence_fn=spy)
    spy.calls.clear()
    perturbed = layer(X) - MEAN
    delta = spy.calls[0][2] - LOC
    possible = [(X * s) @ delta for s in itertools.product((-1, 1), repeat=3)]
    for row, candidates in zip(perturbed, np.swapaxes(possible, 0, 1), strict=True):
        distance = np.abs(np.abs(row) - np.abs(candidates)).max(axis=1)
        assert np.sort(distance)[1] < 1e-5  # s and -s are alike, for r may flip both
        assert np.sort(distance)[2] > 1e-3


def test_own_tensor_functions_are_called_as_in_tfp():
    seen = {}

    def mean_of(name):
        def fn(distribution):
            seen[name] = distribution
            return distribution.mean()

        return fn

    expected = {"Reparameterization": LOC, "LocalReparameterization": X @ LOC, "Flipout": 0 * LOC}
    for kind, mean in expected.items():
        layer = built(kind, kernel_posterior_tensor_fn=mean_of(kind))
        np.testing.assert_allclose(layer(X), MEAN, rtol=1e-5)
        np.testing.assert_allclose(seen[kind].mean(), mean, rtol=1e-5)


@kinds
def test_leading_axes_are_kept(kind):
    x = normals(2, 5, 3)
    layer = built(kind, x)
    assert layer(x).shape == layer.compute_output_shape(x.shape) == (2, 5, 4)
    loc = LOC if kind == "Reparameterization" else None
    if loc is not None:
        set_posterior(layer, LOC, np.full_like(SCALE, 1e-6), BIAS)
        np.testing.assert_allclose(layer(x), x @ LOC + BIAS, atol=1e-4)


def test_layers_of_all_kinds_follow_one_another():
    net = keras.Sequential(
        [
            ours("Reparameterization", 6, activation=tf.nn.relu),
            ours("Flipout", 6, activation=tf.nn.relu),
            ours("LocalReparameterization", 4),
        ]
    )
    assert net(X).shape == (2, 4)
    assert len(net.losses) == 3


def test_no_bias_posterior_is_no_bias():
    layer = ours("Reparameterization", bias_posterior_fn=None)
    layer(X)
    assert len(layer.trainable_variables) == 2
    assert layer.bias_posterior is None
    assert layer.bias_prior is None


# -- noise -------------------------------------------------------------------------------------


@kinds
@pytest.mark.parametrize("training", [True, False])
def test_each_call_draws_anew(kind, training):
    layer = built(kind, num_data=10)
    assert np.abs(layer(X, training=training) - layer(X, training=training)).min() > 0


@kinds
def test_noise_is_a_function_of_seed_name_and_count(kind):
    def outputs(seed, name="layer", calls=1):
        layer = built(kind, seed=seed, name=name)
        layer.rng_step.assign(0)
        return np.array([layer(X) for _ in range(calls)])

    first = outputs(3, calls=2)
    np.testing.assert_array_equal(first, outputs(3, calls=2))
    assert np.abs(first - outputs(4, calls=2)).min() > 0
    assert np.abs(first - outputs(3, "other", calls=2)).min() > 0


def test_without_a_seed_the_count_begins_where_keras_seed_says():
    steps = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        steps.append(int(built("Flipout").rng_step.numpy()))
    assert steps[0] == steps[1] != steps[2]


def test_noise_is_equal_in_eager_graph_and_xla():
    layer = built("Flipout", seed=5)
    results = []
    for run in (layer, tf.function(layer), tf.function(layer, jit_compile=True)):
        layer.rng_step.assign(7)
        results.append(run(X).numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(results[2], results[0], rtol=1e-5, atol=1e-6)


def test_a_large_kernel_draws_the_same_compiled_or_not(monkeypatch):
    from tfbdl.layers import variational_weight

    x, results = normals(2, 160), []
    for least in (20_000, 10**9):
        monkeypatch.setattr(variational_weight, "COMPILED_SIZE", least)
        keras.utils.set_random_seed(1)
        layer = layers.DenseReparameterization(128, name="large", seed=2)
        results.append((layer(x).numpy(), layer.losses[0].numpy()))
        compiled = hasattr(layer._kernel._compute, "get_concrete_function")
        assert compiled == (least == 20_000)
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-5)


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["LocalReparameterization", "Flipout"])
def test_estimators_of_normals_refuse_other_posteriors(kind):
    def laplace(dtype, shape, name, trainable, add_variable_fn):
        loc = add_variable_fn(name=f"{name}_loc", shape=shape)
        return tfd.Independent(tfd.Laplace(loc, 1.0), 2)

    with pytest.raises(ModelError, match=f"Dense{kind} needs a posterior of independent normals"):
        ours(kind, kernel_posterior_fn=laplace)(X)
    assert ours("Reparameterization", kernel_posterior_fn=laplace)(X).shape == (2, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": 0}, "units must be an integer of at least 1. Received: 0"),
        ({"units": 2, "seed": -1}, "seed must be an integer of at least 0"),
        ({"units": 2, "num_data": 0}, "num_data must be a number of rows above 0"),
        ({"units": 2, "num_data": True}, "num_data must be a number of rows above 0"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(OptionsError, match=message):
        layers.DenseReparameterization(**options)


def test_inputs_of_unknown_width_are_refused():
    with pytest.raises(ModelError, match=r"last axis .* must be known .*\(None, None\)"):
        layers.DenseFlipout(2).build((None, None))


def test_distributions_wait_for_the_weights():
    with pytest.raises(ModelError, match="has no posterior before it is built"):
        _ = layers.DenseFlipout(2).kernel_posterior
