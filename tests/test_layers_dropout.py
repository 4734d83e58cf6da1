"""MCDropout and VariationalDropout by moments and quadrature; what all layers of dropout share."""

from __future__ import annotations

import itertools
import math

import keras
import noisy_layer_checks as checks
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from dropout_cases import MANY, ROW, SMALLEST_P, X, build, orthogonal, train, wrapped
from layer_cases import LIMIT, mean_error, variance_error

from tfbdl import layers
from tfbdl.errors import ModelError, OptionsError, TfbdlWarning
from tfbdl.inference import dropout
from tfbdl.layers.log_uniform import LogUniform, log_uniform_divergence

tfd = tfp.distributions
RNG = np.random.default_rng(5)


makers = pytest.mark.parametrize(
    "make",
    [
        lambda **k: layers.MCDropout(0.3, **k),
        lambda **k: layers.VariationalDropout(0.3, num_data=12, **k),
        lambda **k: layers.VariationalDropout(per="layer", num_data=12, **k),
        lambda **k: layers.ConcreteDropout(num_data=12, **k),
        lambda **k: wrapped(num_data=12, noise_precision=4.0, **k),
    ],
    ids=["mc", "variational", "variational_layer", "concrete", "concrete_dense"],
)


# -- Monte Carlo dropout -------------------------------------------------------------------------


def test_the_engines_draw_is_one_mask_for_all_rows():
    first, second = layers.MCDropout(0.5, name="first"), layers.MCDropout(0.5, name="second")
    net = keras.Sequential([keras.Input((2000,)), first, second])
    calls = int(first.rng_step)
    x = np.ones((3, 2000), "float32")
    one, again, other = (
        dropout.apply(net, [], x, tf.constant(seed, tf.int64)).numpy() for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(one, np.tile(one[:1], (3, 1)))
    np.testing.assert_array_equal(one, again)
    assert np.mean(one == other) < 0.8  # 0.25^2 + 0.75^2 of independent masks
    kept = scipy.stats.binomtest(int(np.sum(one[0] > 0)), 2000, 0.25)  # 0.5 if masks were the same
    assert kept.pvalue > SMALLEST_P
    assert int(first.rng_step) == calls  # the net is as before
    twins = [keras.Sequential([layers.MCDropout(0.5, name="twin")]) for _ in range(2)]
    inputs = keras.Input((2000,))
    paths = keras.Model(inputs, [twin(inputs) for twin in twins])
    left, right = dropout.apply(paths, [], x[:1], tf.constant(7, tf.int64))
    assert np.mean(left == right) < 0.6  # layers of one name have masks of their own
    behind = keras.Sequential([keras.Input((2,)), first, keras.layers.Dense(1, name="dense")])
    assert dropout.rates(behind)["dense.kernel"] == 0.5


@pytest.mark.parametrize("training", [False, True])
def test_mc_dropout_drops_its_share_at_every_call(training):
    layer = layers.MCDropout(0.3, seed=1)
    outputs = np.asarray(layer(MANY, training=training))
    dropped = outputs == 0
    share = scipy.stats.binomtest(int(dropped.sum()), dropped.size, 0.3)
    assert share.pvalue > SMALLEST_P
    np.testing.assert_allclose(outputs[~dropped], (MANY / 0.7)[~dropped], rtol=1e-6)


def test_mc_dropout_keeps_means_and_adds_the_variance_of_masks():
    outputs = np.asarray(layers.MCDropout(0.3, seed=2)(MANY))
    assert mean_error(outputs, ROW) < LIMIT
    assert variance_error(outputs, ROW**2 * 0.3 / 0.7) < LIMIT
    assert np.abs(np.corrcoef(outputs.T)[np.triu_indices(4, 1)]).max() < LIMIT / np.sqrt(len(MANY))


def test_mc_dropout_at_rate_zero_is_the_identity():
    np.testing.assert_array_equal(layers.MCDropout(0.0)(X), X)


def test_noise_shape_shares_masks():
    sequence = np.ones((300, 8, 4), "float32")
    shared = np.asarray(layers.MCDropout(0.5, noise_shape=(None, 1, None), seed=3)(sequence))
    np.testing.assert_array_equal(shared, np.broadcast_to(shared[:, :1], shared.shape))
    assert len(np.unique(shared[:, 0], axis=0)) == 16  # each of the masks of a row
    whole = np.asarray(layers.MCDropout(0.5, noise_shape=[300, 8, 1], seed=3)(sequence))
    np.testing.assert_array_equal(whole, np.broadcast_to(whole[..., :1], whole.shape))


def test_predictions_of_a_net_with_mc_dropout_differ():
    model = keras.Sequential([keras.Input((4,)), layers.MCDropout(0.5), keras.layers.Dense(1)])
    first, second = (model.predict(X, verbose=0) for _ in range(2))
    assert np.abs(first - second).max() > 0


# -- the log-uniform prior -----------------------------------------------------------------------


def exact_divergence(log_alpha):
    """By quadrature, zero where alpha is infinite.

    ``E log|m + z| - E log|z|`` with z standard normal and m = alpha^(-1/2): the KL of Kingma et
    al. 2015, section 3.3, is ``E log|eps| - log(alpha) / 2`` with eps normal about 1, and a
    constant.
    """
    m = math.exp(-0.5 * log_alpha)

    def integrand(u):
        return math.exp(-0.5 * (u - m) ** 2) * math.log(abs(u))

    ends = sorted({-12.0, 0.0, m, m + 12.0})
    parts = [scipy.integrate.quad(integrand, a, b)[0] for a, b in itertools.pairwise(ends)]
    return sum(parts) / math.sqrt(2 * math.pi) + 0.5 * (np.euler_gamma + math.log(2.0))


def test_divergence_is_that_of_quadrature_to_a_hundredth():
    log_alphas = np.linspace(-8.0, 8.0, 65)
    approximation = np.asarray(log_uniform_divergence(tf.constant(log_alphas)))
    exact = [exact_divergence(value) for value in log_alphas]
    np.testing.assert_allclose(approximation, exact, atol=0.01)
    assert (np.diff(approximation) < 0).all()  # more noise costs less


def test_divergence_at_drawn_weights_differs_by_a_constant():
    """log q(w) - log p(w) has the mean of the approximation, less a constant of alpha alone."""
    constant = -0.5 * np.log(2 * np.pi * np.e) - 0.5 * (np.euler_gamma + np.log(2.0))
    z = RNG.normal(size=200_000)
    for log_alpha, loc in ((-2.0, 3.0), (0.5, -0.2), (3.0, 1.0)):
        law = tfd.Normal(tf.constant(loc, tf.float64), abs(loc) * np.exp(0.5 * log_alpha))
        w = np.asarray(law.loc + law.scale * z)
        estimates = law.log_prob(w) - LogUniform([], "float64").log_prob(w)
        expected = float(tfd.kl_divergence(law, LogUniform([], "float64")))
        error = np.std(estimates) / np.sqrt(len(z))
        assert abs(np.mean(estimates) - constant - expected) < 0.01 + LIMIT * error


def test_log_uniform_prior_gives_each_weight_of_a_layer_its_own_alpha():
    layer = layers.DenseLocalReparameterization(3, kernel_prior_fn=layers.log_uniform_fn)
    layer(X)
    posterior = layer.kernel_posterior.distribution
    log_alpha = 2 * np.log(posterior.scale / np.abs(posterior.loc))
    expected = np.sum(log_uniform_divergence(log_alpha))
    np.testing.assert_allclose(layer.losses[0], expected, rtol=1e-5)
    assert layers.sparsity(layer.kernel_posterior, 0.0) == np.mean(log_alpha > 0)
    with tf.GradientTape() as tape:
        layer.set_weights([np.zeros((4, 3)), np.full((4, 3), -3.0), np.zeros(3), np.array(0)])
        layer(X)
        loss = layer.losses[0]
    gradients = tape.gradient(loss, [v.value for v in layer.trainable_variables[:2]])
    assert np.isfinite(gradients).all()  # at a mean of zero too
    assert layers.sparsity(layer.kernel_posterior) == 1.0
    copy = type(layer).from_config(layer.get_config())
    assert copy.kernel_prior_fn.get_config() == {}
    assert type(copy.kernel_prior_fn) is type(layers.log_uniform_fn)


WEIGHTS = np.array([1.0, 0.5, 0.2, 0.0])
ROWS = orthogonal(20, 4)


def optimum(weight):
    """The best log alpha and mean, of a weight or of a unit, by quadrature.

    With orthogonal inputs the mean squared error is ``(w - m)^2 + alpha m^2`` for each.
    """

    def loss(params):
        log_alpha, m = params
        fit = (weight - m) ** 2 + math.exp(log_alpha) * m**2
        return fit + exact_divergence(log_alpha) / len(ROWS)

    exact = {"xatol": 1e-5, "fatol": 1e-12}
    found = [
        scipy.optimize.minimize(loss, [start, weight], method="Nelder-Mead", options=exact)
        for start in (-3.0, 0.0)
    ]
    return min(found, key=lambda one: one.fun).x


@pytest.mark.slow
def test_sparse_variational_dropout_finds_the_optimum_of_each_weight():
    layer = layers.DenseLocalReparameterization(
        1, kernel_prior_fn=layers.log_uniform_fn, bias_posterior_fn=None, num_data=20, seed=0
    )
    train(ROWS, ROWS @ WEIGHTS[:, None], layer)
    posterior = layer.kernel_posterior.distribution
    log_alpha = 2 * np.log(posterior.scale / np.abs(posterior.loc))[:, 0]
    expected, means = np.transpose([optimum(weight) for weight in WEIGHTS[:3]])
    np.testing.assert_allclose(log_alpha[:3], expected, atol=0.15)
    np.testing.assert_allclose(posterior.loc[:3, 0], means, atol=0.01)
    assert log_alpha[3] > 3.0
    assert layers.sparsity(layer.kernel_posterior) == 0.25


# -- variational dropout -------------------------------------------------------------------------


def test_variational_noise_has_its_moments():
    log_alpha = np.array([-4.0, -1.0, 0.0, 1.0], "float32")
    layer = build(layers.VariationalDropout(num_data=1, seed=4), MANY[:1], log_alpha=log_alpha)
    for training in (False, True):
        outputs = np.asarray(layer(MANY, training=training))
        assert mean_error(outputs, ROW) < LIMIT
        assert variance_error(outputs, ROW**2 * np.exp(log_alpha)) < LIMIT


def test_variational_dropout_begins_at_a_rate_of_dropout():
    """Bernoulli noise of rate p, rescaled, has variance p / (1 - p)."""
    for per, shape in (("unit", (4,)), ("layer", ())):
        layer = build(layers.VariationalDropout(0.2, per, num_data=1))
        np.testing.assert_allclose(np.exp(layer.log_alpha), np.full(shape, 0.25), rtol=1e-6)


def test_variational_divergence_counts_units_and_rows():
    log_alpha = np.array([-3.0, -1.0, 0.5, 4.0], "float32")
    layer = build(layers.VariationalDropout(num_data=50), log_alpha=log_alpha)
    layer(X)
    expected = sum(exact_divergence(value) for value in log_alpha) / 50
    np.testing.assert_allclose(layer.losses, [expected], atol=4 * 0.01 / 50)
    assert layer.sparsity() == 0.25
    assert layer.sparsity(threshold=0.0) == 0.5
    one = build(layers.VariationalDropout(per="layer", num_data=50), log_alpha=-1.0)
    one(X)
    np.testing.assert_allclose(one.losses, [4 * exact_divergence(-1.0) / 50], atol=0.04 / 50)


def test_log_alpha_stays_in_range():
    model = keras.Sequential([keras.Input((4,)), layers.VariationalDropout(num_data=1)])
    model.compile(keras.optimizers.SGD(1e3), "mse", run_eagerly=True)
    model.fit(0 * X, 0 * X, verbose=0)
    np.testing.assert_array_equal(model.layers[0].log_alpha, np.full(4, 8.0))


@pytest.mark.slow
def test_variational_dropout_finds_the_optimum_of_each_unit():
    dropout, dense = (
        layers.VariationalDropout(num_data=20, seed=0),
        keras.layers.Dense(1, use_bias=False),
    )
    train(ROWS, ROWS @ WEIGHTS[:, None], dropout, dense)
    expected, means = np.transpose([optimum(weight) for weight in WEIGHTS[:3]])
    np.testing.assert_allclose(np.asarray(dropout.log_alpha)[:3], expected, atol=0.15)
    np.testing.assert_allclose(np.asarray(dense.kernel)[:3, 0], means, atol=0.01)
    assert dropout.sparsity() == 0.25


# -- what they share -----------------------------------------------------------------------------


@makers
def test_noise_is_a_function_of_seed_name_and_call(make):
    checks.check_noise(make, X)


@makers
def test_half_precision_leaves_weights_and_losses_whole(make):
    checks.check_half_precision(make, X)


@makers
def test_configuration_makes_the_layer_again(make):
    checks.check_configuration(make(), X)


@makers
def test_a_stored_model_goes_on_with_the_same_noise(make, tmp_path):
    checks.check_file(make(), X, tmp_path / "model.keras")


@pytest.mark.slow
@makers
def test_a_step_under_xla_is_a_step_without(make):
    checks.check_xla(make, X)


@pytest.mark.slow
@pytest.mark.replicas
@makers
def test_a_step_on_two_replicas_is_a_step_on_one(make):
    checks.check_replicas(make, X)


@pytest.mark.parametrize(
    "make", [layers.VariationalDropout, layers.ConcreteDropout, wrapped], ids=["v", "c", "w"]
)
def test_unscaled_divergence_warns_and_set_num_data_scales_it(make):
    layer = make()
    model = keras.Sequential([keras.Input((4,)), layer])
    with pytest.warns(TfbdlWarning, match="set_num_data"):
        model(X, training=True)
    unscaled = float(layer.losses[0])
    layers.set_num_data(model, 50)
    model(X, training=True)
    np.testing.assert_allclose(layer.losses, [unscaled / 50], rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: layers.MCDropout(1.0), "rate must be.*Received: 1.0"),
        (lambda: layers.MCDropout("half"), "rate must be"),
        (lambda: layers.MCDropout(0.5, noise_shape=(None, 0)), r"such as \(None, 1, None\)"),
        (lambda: layers.MCDropout(0.5, noise_shape=1), "noise_shape must"),
        (lambda: layers.MCDropout(0.5, noise_shape=(1,))(X), "must fit the inputs"),
        (lambda: layers.MCDropout(0.5, noise_shape=(None, 3))(X), r"shape is \(6, 4\)"),
        (lambda: layers.VariationalDropout(0.0), "initial_rate must be.*above 0"),
        (lambda: layers.VariationalDropout(per="units"), "Did you mean 'unit'"),
        (lambda: layers.VariationalDropout(num_data=-1), "num_data"),
    ],
)
def test_wrong_arguments_are_named(make, says):
    with pytest.raises(OptionsError, match=says):
        make()


def test_what_does_not_fit_is_refused_when_it_is_built():
    with pytest.raises(ModelError, match="last axis"):
        layers.VariationalDropout().build((None, None))
    with pytest.raises(ModelError, match="before it is built"):
        layers.VariationalDropout().sparsity()
    with pytest.raises(ModelError, match="kernel_posterior"):
        layers.sparsity(layers.MCDropout(0.1))
    with pytest.raises(ModelError, match="independent normals"):
        layers.sparsity(tfd.Laplace([0.0], 1.0))
