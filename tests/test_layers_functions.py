"""Functions that make posteriors and priors: TFP's protocol, its users' own, and the house's."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from layer_cases import LIMIT, mean_error, normals, outputs_of, set_posterior

import tfbdl
from tfbdl import layers
from tfbdl.errors import ModelError, OptionsError, UnknownNameError

tfd, tfb = tfp.distributions, tfp.bijectors
pytestmark = pytest.mark.filterwarnings("ignore:.*RandomNormal is unseeded.*:UserWarning")
X = normals(4, 3)


def dense(posterior=None, prior=layers.default_multivariate_normal_fn, **options):
    posterior = posterior or layers.default_mean_field_normal_fn()
    layer = layers.DenseReparameterization(
        2, kernel_posterior_fn=posterior, kernel_prior_fn=prior, **options
    )
    layer(X)
    return layer


def names(layer):
    return [variable.path.partition("/")[2] for variable in layer.trainable_variables]


# -- what one changes an import for --------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [f"Dense{kind}" for kind in ("Reparameterization", "LocalReparameterization", "Flipout")]
    + [f"Convolution{r}D{kind}" for r in (1, 2, 3) for kind in ("Reparameterization", "Flipout")]
    + ["DenseVariational", "VariableLayer"],
)
def test_arguments_stand_where_tfp_has_them_with_its_defaults(name):
    def arguments(module):
        found = inspect.signature(getattr(module, name).__init__).parameters.values()
        return {p.name: p.default for p in found if p.kind is p.POSITIONAL_OR_KEYWORD}

    theirs, mine = arguments(tfp.layers), arguments(layers)
    assert list(mine)[: len(theirs)] == list(theirs)
    for argument, default in theirs.items():
        if isinstance(default, tuple):  # one for each axis, as one number says too
            (default,) = set(default)
        assert mine[argument] == default or (callable(default) and callable(mine[argument]))


def test_functions_take_the_arguments_of_tfp():
    for name in ("default_mean_field_normal_fn", "default_loc_scale_fn"):
        theirs, mine = (
            inspect.signature(getattr(m, name)).parameters for m in (tfp.layers, layers)
        )
        assert list(mine) == list(theirs)


# -- the defaults ------------------------------------------------------------------------------


def test_weights_have_the_names_and_the_scale_of_tfp():
    layer = dense()
    assert names(layer) == [
        "kernel_posterior_loc",
        "kernel_posterior_untransformed_scale",
        "bias_posterior_loc",
    ]
    raw = layer.trainable_variables[1].numpy()
    expected = np.finfo("float32").eps + np.log1p(np.exp(raw))
    np.testing.assert_allclose(layer.kernel_posterior.stddev(), expected, rtol=1e-5)
    assert isinstance(layer.bias_posterior.distribution, tfd.Deterministic)


def test_first_values_are_drawn_as_in_tfp_anew_for_each_layer():
    keras.utils.set_random_seed(0)
    wide, other = (layers.DenseReparameterization(60) for _ in range(2))
    for layer in (wide, other):
        layer.build((None, 80))
    loc, raw = (variable.numpy().ravel() for variable in wide.trainable_variables[:2])
    assert scipy.stats.kstest(loc, scipy.stats.norm(0.0, 0.1).cdf).pvalue > 1e-4
    assert scipy.stats.kstest(raw, scipy.stats.norm(-3.0, 0.1).cdf).pvalue > 1e-4
    assert abs(np.corrcoef(loc, raw)[0, 1]) < LIMIT / np.sqrt(loc.size)
    assert not np.array_equal(wide.get_weights()[0], other.get_weights()[0])


def test_options_of_the_mean_field_reach_the_weights():
    posterior = layers.default_mean_field_normal_fn(
        loc_initializer="ones",
        untransformed_scale_initializer=keras.initializers.Constant(-1.0),
        loc_regularizer=keras.regularizers.L2(0.5),
        untransformed_scale_constraint="non_neg",
    )
    layer = dense(posterior, prior=None)
    loc, raw, _ = layer.trainable_variables
    np.testing.assert_array_equal(loc, np.ones((3, 2)))
    np.testing.assert_array_equal(raw, -np.ones((3, 2)))
    np.testing.assert_allclose(layer.losses, [0.5 * 6.0])
    assert isinstance(raw.constraint, keras.constraints.NonNeg)


def test_a_layer_that_is_frozen_can_be_thawed():
    layer = layers.DenseFlipout(2, trainable=False)
    layer(X)
    assert layer.trainable_variables == []
    layer.trainable = True
    assert len(layer.trainable_variables) == 3


# -- functions of TFP's users ------------------------------------------------------------------


def deferred(dtype, shape, name, trainable, add_variable_fn):
    """As TFP's own functions are written, with another transformation."""
    loc = add_variable_fn(
        name=name + "_loc",
        shape=shape,
        initializer=tf.random_normal_initializer(stddev=0.1),
        regularizer=None,
        constraint=None,
        dtype=dtype,
        trainable=trainable,
    )
    raw = add_variable_fn(
        name + "_log_scale", shape, dtype, tf.constant_initializer(-2.0), trainable=trainable
    )
    scale = tfp.util.DeferredTensor(raw, tf.exp)
    return tfd.Independent(tfd.Normal(loc, scale), reinterpreted_batch_ndims=tf.size(shape))


@pytest.mark.parametrize(
    "posterior", [deferred, tfp.layers.default_mean_field_normal_fn()], ids=["own", "TFP's"]
)
@pytest.mark.parametrize("run", ["eager", "graph", "xla"])
def test_functions_written_for_tfp_work_and_train(posterior, run):
    layer = dense(posterior, tfp.layers.default_multivariate_normal_fn)
    variables = [variable.value for variable in layer.trainable_variables]

    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(X) ** 2) + layer.losses[0]
        return tape.gradient(loss, variables)

    if run != "eager":
        gradients = tf.function(gradients, jit_compile=run == "xla")
    assert all(np.abs(gradient).min() > 0 for gradient in gradients())


def test_the_scale_of_a_function_of_ones_own_counts():
    layer = dense(deferred)
    np.testing.assert_allclose(layer.kernel_posterior.stddev(), np.exp(-2.0), rtol=1e-6)
    layer.trainable_variables[1].assign(np.full((3, 2), -1.0))
    np.testing.assert_allclose(layer.kernel_posterior.stddev(), np.exp(-1.0), rtol=1e-6)
    loc, bias = layer.trainable_variables[0].numpy(), layer.trainable_variables[2].numpy()
    draws = outputs_of(layer, X, 4000)
    assert mean_error(draws, X @ loc + bias) < LIMIT


def test_one_distribution_for_all_layers_may_be_handed_out():
    fixed = tfd.Independent(tfd.Normal(tf.ones((3, 2)), 0.5), 2)
    layer = dense(lambda *args: fixed, lambda *args: tfd.Normal(0.0, 2.0))
    assert names(layer) == ["bias_posterior_loc"]
    expected = 6 * (np.log(4.0) + (0.25 + 1.0) / 8.0 - 0.5)
    np.testing.assert_allclose(layer.losses, [expected], rtol=1e-5)


def test_a_posterior_over_the_whole_kernel_may_be_correlated():
    def posterior(dtype, shape, name, trainable, add_variable_fn):
        size = int(np.prod(shape))
        loc = add_variable_fn(name=f"{name}_loc", shape=[size], initializer="zeros")
        raw = add_variable_fn(name=f"{name}_raw", shape=[size, size], initializer="identity")
        joint = tfd.MultivariateNormalTriL(loc, tf.linalg.band_part(raw, -1, 0))
        return tfd.TransformedDistribution(joint, tfb.Reshape(list(shape)))

    def prior(dtype, shape, name, trainable, add_variable_fn):
        return tfd.Sample(tfd.Normal(tf.zeros((), dtype), 1.0), shape)

    layer = dense(posterior, prior, seed=1)
    lower = np.tril(0.3 * normals(6, 6), -1) + np.eye(6)
    layer.trainable_variables[1].assign(lower)
    draws = outputs_of(layer, np.eye(3, dtype="float32"), 4000) - layer.get_weights()[2]
    outer = draws.reshape(-1, 6, 1) * draws.reshape(-1, 1, 6)
    assert mean_error(outer, lower @ lower.T) < LIMIT


def test_variables_that_keras_does_not_see_are_refused():
    def transformed(dtype, shape, name, trainable, add_variable_fn):
        scale = tfp.util.TransformedVariable(tf.ones(shape), tfb.Softplus(), name="hidden")
        return tfd.Independent(tfd.Normal(tf.zeros(shape), scale), 2)

    shared = tf.Variable(1.0, name="hidden")
    for posterior in (transformed, lambda *args: tfd.Normal(tf.zeros((3, 2)), shared)):
        with pytest.raises(
            ModelError, match=r"holds the tf.Variable .*hidden.*add_variable_fn\(na"
        ):
            dense(posterior)
    with pytest.raises(ModelError, match=r"kernel_prior holds the tf.Variable"):
        dense(prior=lambda *args: tfd.Normal(0.0, shared))


def test_other_weights_at_a_later_call_are_refused():
    calls = []

    def fickle(dtype, shape, name, trainable, add_variable_fn):
        calls.append(name)
        loc = add_variable_fn(name=f"{name}_loc", shape=shape)
        if len(calls) == 3:
            add_variable_fn(name=f"{name}_more", shape=shape)
        return tfd.Independent(tfd.Deterministic(loc), 2)

    with pytest.raises(
        ModelError, match=r"asks for more weights than when .* kernel_posterior_loc"
    ):
        dense(fickle)


@pytest.mark.parametrize(
    ("posterior", "message"),
    [
        (lambda *args: tf.zeros((3, 2)), "must give a tfp.distributions.Distribution"),
        (lambda *args: tfd.Normal(tf.zeros(3), 1.0), r"over a weight of shape \(3, 2\)"),
        (lambda *args: tfd.Normal(0.0, 1.0), r"over a weight of shape \(3, 2\). Received: shape"),
    ],
)
def test_what_is_no_distribution_of_the_weight_is_refused(posterior, message):
    with pytest.raises(ModelError, match=message):
        dense(posterior)


def test_a_learned_posterior_without_gradients_is_refused():
    def discrete(dtype, shape, name, trainable, add_variable_fn):
        logits = add_variable_fn(name=f"{name}_logits", shape=shape)
        return tfd.Independent(tfd.Bernoulli(logits, dtype=dtype), 2)

    with pytest.raises(ModelError, match="Draws of kernel_posterior have no gradient"):
        dense(discrete)


def test_unknown_arguments_of_add_variable_are_refused_and_those_of_keras_2_ignored():
    def posterior(word):
        def fn(dtype, shape, name, trainable, add_variable_fn):
            loc = add_variable_fn(name=f"{name}_loc", shape=shape, **{word: None})
            return tfd.Independent(tfd.Deterministic(loc), 2)

        return fn

    assert names(dense(posterior("use_resource")))[0] == "kernel_posterior_loc"
    with pytest.raises(OptionsError, match=r"takes name, shape.* Received: initialiser"):
        dense(posterior("initialiser"))
    with pytest.raises(OptionsError, match=r"must be fn\(dtype, shape, name"):
        dense(posterior="normal")


# -- priors ------------------------------------------------------------------------------------


def test_a_trainable_prior_learns_what_empirical_bayes_says():
    layer = dense(prior=layers.trainable_normal_fn(loc=0.5, scale=2.0))
    loc, scale = normals(3, 2), np.abs(normals(3, 2)) + 0.1
    set_posterior(layer, loc, scale)
    assert names(layer)[2:4] == ["kernel_prior_loc", "kernel_prior_untransformed_scale"]
    assert float(layer.kernel_prior.mean()[0, 0]) == 0.5
    np.testing.assert_allclose(layer.kernel_prior.stddev(), 2.0, rtol=1e-6)
    optimizer = keras.optimizers.Adam(0.05)
    learned = layer.trainable_variables[2:4]
    optimizer.build(learned)

    @tf.function(jit_compile=True)
    def step():
        with tf.GradientTape() as tape:
            layer(X)
            loss = layer.losses[0]
        optimizer.apply(tape.gradient(loss, [v.value for v in learned]), learned)

    for _ in range(600):
        step()
    mean = loc.mean()
    np.testing.assert_allclose(layer.kernel_prior.mean(), np.full((3, 2), mean), atol=1e-3)
    best = np.sqrt(np.mean(scale**2 + (loc - mean) ** 2))
    np.testing.assert_allclose(layer.kernel_prior.stddev(), np.full((3, 2), best), atol=1e-3)


def test_a_prior_with_a_location_for_each_element_has_a_fixed_scale():
    layer = dense(prior=layers.trainable_normal_fn(elementwise=True, scale=0.5))
    assert names(layer)[2:3] == ["kernel_prior_loc"]
    assert layer.trainable_variables[2].shape == (3, 2)
    np.testing.assert_allclose(layer.kernel_prior.stddev(), np.full((3, 2), 0.5))


@pytest.mark.parametrize("name", ["normal", "scale_mixture", "student_t", "laplace", "horseshoe"])
def test_priors_of_plugins_go_by_their_names(name):
    layer = dense(prior=layers.prior_fn(name))
    expected = tfbdl.prior(name).distribution((3, 2))
    w = 0.5 * normals(3, 2)
    np.testing.assert_allclose(layer.kernel_prior.log_prob(w), expected.log_prob(w), rtol=1e-5)
    assert np.isfinite(layer.losses[0])


def test_what_a_prior_of_a_plugin_learns_is_a_weight():
    layer = dense(prior=layers.prior_fn("empirical_normal", initial=0.7))
    assert names(layer)[2] == "kernel_prior_untransformed_scale"
    np.testing.assert_allclose(layer.kernel_prior.stddev(), np.full((3, 2), 0.7), rtol=1e-5)
    with tf.GradientTape() as tape:
        layer(X)
        loss = layer.losses[0]
    assert float(tape.gradient(loss, layer.trainable_variables[2].value)) != 0.0


def test_a_prior_knows_the_kernel_from_the_bias():
    prior = layers.prior_fn("layerwise", gain=1.0, scale=3.0)
    posterior = layers.default_mean_field_normal_fn()
    layer = dense(prior=prior, bias_posterior_fn=posterior, bias_prior_fn=prior)
    np.testing.assert_allclose(layer.kernel_prior.stddev(), np.full((3, 2), 3**-0.5), rtol=1e-6)
    np.testing.assert_allclose(layer.bias_prior.stddev(), [3.0, 3.0], rtol=1e-6)


def test_wrong_priors_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'laplace'"):
        layers.prior_fn("laplase")
    with pytest.raises(OptionsError, match="scale must be above 0"):
        layers.trainable_normal_fn(scale=0.0)


# -- divergences -------------------------------------------------------------------------------


def test_the_closed_form_of_normals_is_exact_where_they_are_nearly_equal():
    ratio = 1.0 + np.float32(1e-3) * np.arange(-5, 6, dtype="float32")
    from tfbdl.layers.divergences import normal_divergence

    exact = 0.5 * (ratio.astype("float64") ** 2 - 1.0) - np.log(ratio.astype("float64"))
    computed = normal_divergence(tf.zeros(11), ratio, 0.0, 1.0)
    np.testing.assert_allclose(computed, exact, atol=2e-9)


def test_an_estimate_can_be_asked_for_and_so_can_the_closed_form():
    layer = dense(kernel_divergence_fn=layers.KLDivergence("monte_carlo"))
    estimates = []
    for _ in range(2):
        layer(X)
        estimates.append(float(layer.losses[0]))
    assert estimates[0] != estimates[1]
    with pytest.raises(ModelError, match="No closed form of KL"):
        dense(prior=layers.prior_fn("laplace"), kernel_divergence_fn=layers.KLDivergence("exact"))
    with pytest.raises(OptionsError, match="Did you mean 'exact'"):
        layers.KLDivergence("exakt")


def test_sample_is_a_draw_of_tfp_where_no_layer_gives_a_key():
    law = tfd.Normal(tf.zeros(4000), 2.0)
    assert scipy.stats.kstest(layers.Sample()(law), scipy.stats.norm(0, 2).cdf).pvalue > 1e-4
