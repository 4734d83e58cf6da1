"""Heads: the laws of TFP's layers from the same numbers, and checked shapes."""

from __future__ import annotations

import head_cases
import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import layers
from tfbdl.errors import DataError, ModelError, OptionsError

tfd = tfp.distributions
CASES = head_cases.cases()
each_head = pytest.mark.parametrize("name", CASES)


def numbers(size, *batch, seed=0):
    return np.random.default_rng(seed).uniform(-3.0, 3.0, (*batch, size))


# -- the law -------------------------------------------------------------------------------------


@each_head
def test_law_is_that_of_tfp(name):
    case = CASES[name]
    params = tf.constant(numbers(case.size, 7, 3))
    head = case.make(dtype="float64", validate_args=True)
    ours, theirs = head.distribution(head(params)), case.tfp(params)
    assert ours.batch_shape == theirs.batch_shape == (7, 3)
    assert ours.event_shape == theirs.event_shape
    assert ours.dtype == tf.float64
    y = case.targets(np.random.default_rng(1), (7, 3))
    np.testing.assert_allclose(ours.log_prob(y), theirs.log_prob(y), rtol=1e-6, atol=1e-6)
    for moment in case.moments:
        expected = getattr(theirs, moment)()
        np.testing.assert_allclose(getattr(ours, moment)(), expected, rtol=1e-6, atol=1e-6)
        if hasattr(head, moment):
            np.testing.assert_array_equal(getattr(head, moment)(params), getattr(ours, moment)())


@each_head
def test_width_is_the_size_of_the_parameters(name):
    head = CASES[name].make()
    assert head.num_params == CASES[name].size
    assert head.compute_output_shape((None, CASES[name].size)) == (None, CASES[name].size)
    with pytest.raises(ModelError, match=rf"params_size\(...\) = {CASES[name].size} .*\(5, 99\)"):
        head(np.zeros((5, 99)))
    with pytest.raises(ModelError, match=r"inputs of shape \[..., .*Received: shape \(99,\)"):
        head.distribution(np.zeros(99))


def test_sizes_are_those_of_tfp():
    theirs = tfp.layers
    shape = (28, 28, 1)
    assert layers.IndependentNormal.params_size(shape) == theirs.IndependentNormal.params_size(
        shape
    )
    assert layers.IndependentNormal.params_size() == 2
    assert layers.IndependentBernoulli.params_size(tf.TensorShape(shape)) == 784
    assert layers.IndependentPoisson.params_size([4]) == 4
    assert layers.IndependentLogistic.params_size(tf.constant([2, 3])) == 12
    assert layers.MultivariateNormalTriL.params_size(3) == 9
    assert layers.OneHotCategorical.params_size(7) == 7
    assert layers.CategoricalMixtureOfOneHotCategorical.params_size(4, 2) == 10
    assert layers.MixtureNormal.params_size(5, [1]) == 15
    assert layers.MixtureLogistic.params_size(5, 1) == 15
    component = layers.IndependentNormal.params_size(1)
    assert layers.MixtureSameFamily.params_size(5, component) == 15
    assert layers.StudentT.params_size(2) == 6
    assert layers.StudentT.params_size(2, df=3.0) == 4
    assert layers.VariationalGaussianProcess.params_size(2) == 6


def test_new_makes_the_law_without_a_layer():
    t = numbers(12, 4)
    law = layers.IndependentNormal.new(t, (3, 2), validate_args=True)
    raw = t[:, 6:].reshape(4, 3, 2)
    np.testing.assert_allclose(law.mean(), t[:, :6].reshape(4, 3, 2))
    np.testing.assert_allclose(law.stddev(), np.logaddexp(0.0, raw))
    law = layers.MixtureSameFamily.new(t, 3, lambda u: tfd.Normal(u[..., 0], tf.exp(u[..., 1])))
    with pytest.raises(ModelError, match=r"params_size\(...\) = 2"):
        layers.MixtureSameFamily.new(t, 3, layers.IndependentNormal())
    law = layers.MixtureSameFamily.new(numbers(9, 4), 3, layers.IndependentNormal())
    assert law.dtype == tf.float64  # that of the parameters, whatever that of the component


def test_student_t_is_that_of_scipy():
    t, y = numbers(6, 5), numbers(2, 5, seed=1)
    loc, scale = t[:, :2], np.logaddexp(0.0, t[:, 2:4])
    given = scipy.stats.t(1.0 + np.logaddexp(0.0, t[:, 4:]), loc, scale).logpdf(y).sum(1)
    head = layers.StudentT(2, dtype="float64")
    np.testing.assert_allclose(head.log_prob(t, y), given, rtol=1e-9)
    fixed = layers.StudentT(2, df=4.0, dtype="float64")
    expected = scipy.stats.t(4.0, loc, scale)
    np.testing.assert_allclose(fixed.log_prob(t[:, :4], y), expected.logpdf(y).sum(1), rtol=1e-9)
    np.testing.assert_allclose(fixed.stddev(t[:, :4]), expected.std(), rtol=1e-9)


def test_mixture_of_classes_has_the_log_of_its_mean():
    head = layers.CategoricalMixtureOfOneHotCategorical(4, 2, dtype="float64")
    t = numbers(10, 2, 3)
    weights, probs = np.exp(t[..., :2]), np.exp(t[..., 2:].reshape(2, 3, 2, 4))
    weights /= weights.sum(-1, keepdims=True)
    probs /= probs.sum(-1, keepdims=True)
    expected = np.log(np.einsum("abk,abkc->abc", weights, probs))
    np.testing.assert_allclose(head.log_mean(t), expected, rtol=1e-9)
    np.testing.assert_allclose(np.log(head.mean(t)), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["normal", "logistic", "tril", "mixture_normal"])
def test_marginals_are_those_of_the_law(name):
    head, t = CASES[name].make(dtype="float64"), numbers(CASES[name].size, 4)
    law, single = head.distribution(t), head.marginals(head.checked(t))
    assert single.batch_shape == law.batch_shape + law.event_shape
    assert single.event_shape == ()
    np.testing.assert_allclose(single.mean(), law.mean(), atol=1e-12)
    np.testing.assert_allclose(single.stddev(), law.stddev(), rtol=1e-9)
    assert np.all(single.cdf(1e6) > 1.0 - 1e-5)


def test_marginals_of_a_mixture_keep_weights_and_components_together():
    head = layers.MixtureNormal(2, 2, dtype="float64")
    t = np.array([[np.log(0.25), np.log(0.75), 0.0, 10.0, 0.0, 0.0, -3.0, 5.0, 1.0, 1.0]])
    s, u = np.logaddexp(0.0, 0.0), np.logaddexp(0.0, 1.0)
    y = np.array([[0.5, 9.0]])
    expected = 0.25 * scipy.stats.norm([0.0, 10.0], s).cdf(y)
    expected += 0.75 * scipy.stats.norm([-3.0, 5.0], u).cdf(y)
    np.testing.assert_allclose(head.marginals(t).cdf(y), expected, rtol=1e-9)


# -- dtypes, shapes, XLA -------------------------------------------------------------------------


def test_half_precision_is_widened():
    dense = keras.layers.Dense(2, dtype="mixed_float16")
    head = layers.IndependentNormal(1, dtype="mixed_float16")
    model = keras.Sequential([keras.Input((3,)), dense, head])
    assert model.outputs[0].dtype == "float32"
    outputs = model(np.ones((4, 3)))
    assert outputs.dtype == head.distribution(outputs).dtype == tf.float32
    assert head.distribution(model.predict(np.ones((4, 3)), verbose=0)).batch_shape == (4,)


def test_draws_have_the_dtype_that_was_asked_for():
    t = numbers(4, 2)
    assert layers.IndependentBernoulli(4).distribution(t).sample(seed=1).dtype == tf.float32
    head = layers.IndependentBernoulli(4, sample_dtype=tf.int32)
    assert head.distribution(t).sample(seed=1).dtype == tf.int32
    head = layers.OneHotCategorical(4, sample_dtype="int32")
    assert head.distribution(t).sample(seed=1).dtype == tf.int32
    head = layers.CategoricalMixtureOfOneHotCategorical(1, 2, sample_dtype="int32")
    assert head.distribution(t).sample(seed=1).dtype == tf.int32


def test_unknown_batches_keep_their_static_shapes():
    heads = {name: case.make() for name, case in CASES.items()}
    laws = {}

    @tf.function(autograph=False)
    def trace(params):
        for name, head in heads.items():
            laws[name] = head.distribution(params[name])
        return tf.constant(0)

    specs = {name: tf.TensorSpec([None, None, case.size]) for name, case in CASES.items()}
    trace.get_concrete_function(specs)
    for name, law in laws.items():
        expected = CASES[name].targets(np.random.default_rng(0), ()).shape
        assert law.batch_shape.as_list() == [None, None], name
        assert law.event_shape == expected, name


@pytest.mark.parametrize(
    "names", [("normal", "tril"), pytest.param(tuple(CASES), marks=pytest.mark.slow)]
)
def test_losses_compile_with_xla(names):
    rng, chosen = np.random.default_rng(0), {name: CASES[name] for name in names}
    heads = {name: case.make() for name, case in chosen.items()}
    params = {n: tf.constant(numbers(c.size, 5), "float32") for n, c in chosen.items()}
    y = {n: tf.constant(c.targets(rng, (5,)), "float32") for n, c in chosen.items()}

    def gradients():
        found = {}
        for name, head in heads.items():
            with tf.GradientTape() as tape:
                tape.watch(params[name])
                loss = head.loss(y[name], params[name])
            assert loss.shape == (5,)
            found[name] = (loss, tape.gradient(loss, params[name]))
        return found

    compiled = tf.function(gradients, jit_compile=True, autograph=False)()
    for name, pair in gradients().items():
        for ours, theirs in zip(compiled[name], pair, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5, err_msg=name)


# -- the loss ------------------------------------------------------------------------------------


@each_head
def test_loss_is_the_negative_log_likelihood_of_each_example(name):
    case = CASES[name]
    head, t = case.make(), numbers(case.size, 6)
    y = case.targets(np.random.default_rng(2), (6,))
    expected = -head.distribution(t).log_prob(y.astype("float32"))
    np.testing.assert_array_equal(head.loss(y, t), expected)


def test_targets_may_lack_or_have_an_axis_of_one_and_nothing_is_broadcast():
    y, t = numbers(1, 5, seed=1)[:, 0], numbers(2, 5)
    scalar, vector = layers.IndependentNormal(), layers.IndependentNormal(1)
    expected = -scipy.stats.norm(t[:, 0], np.logaddexp(0.0, t[:, 1])).logpdf(y)
    for head in (scalar, vector):
        for targets in (y, y[:, np.newaxis]):
            np.testing.assert_allclose(head.loss(targets, t), expected, rtol=1e-5)
    with pytest.raises(DataError, match=r"targets of shape \(5, 1\).*Received: \(5, 3\)"):
        vector.loss(np.zeros((5, 3)), t)
    with pytest.raises(DataError, match=r"Received: \(4,\)"):
        scalar.loss(np.zeros(4), t)
    with pytest.raises(DataError, match=r"whose events are \(4,\)"):
        layers.OneHotCategorical(4).loss(np.zeros(5), numbers(4, 5))


def test_keras_averages_and_weighs_the_loss_of_sequences_with_one_parameter():
    """Keras takes an axis of one away from the outputs before it calls a loss."""
    x, y = numbers(1, 4, 3), np.random.default_rng(0).poisson(2.0, (4, 3))
    head = layers.IndependentPoisson()
    model = keras.Sequential([keras.Input((3, 1)), head])
    model.compile(loss=head.loss)
    terms = -scipy.stats.poisson(np.exp(x[..., 0])).logpmf(y)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(terms.mean(), rel=1e-5)
    weights = np.array([[1.0], [0.0], [2.0], [0.5]])
    weighted = model.evaluate(x, y, sample_weight=weights, verbose=0)
    assert weighted == pytest.approx((terms * weights).mean(), rel=1e-5)


def test_masks_of_sequences_pass_through():
    head = layers.IndependentNormal(2)
    parts = [keras.layers.Masking(), keras.layers.Dense(2), layers.AppendVariable(2), head]
    model = keras.Sequential([keras.Input((3, 1)), *parts])
    model.compile(loss=head.loss)
    x = np.array([[[1.0], [2.0], [0.0]], [[3.0], [0.0], [0.0]]], "float32")
    y = np.ones((2, 3, 2), "float32")
    losses = head.loss(y, model(x)).numpy()
    valid = np.array([[1, 1, 0], [1, 0, 0]], bool)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(losses[valid].mean(), rel=1e-5)


# -- mistakes ------------------------------------------------------------------------------------


def test_mistakes_are_named():
    with pytest.raises(OptionsError, match=r"ConvertToTensor\(head, 'sample'\)"):
        layers.IndependentNormal(2, tfd.Distribution.mean)
    with pytest.raises(OptionsError, match=r"event_shape must be .*Received: \(0,\)"):
        layers.IndependentNormal((0,))
    with pytest.raises(OptionsError, match="event_shape"):
        layers.IndependentPoisson("3")
    with pytest.raises(OptionsError, match="event_shape"):
        layers.IndependentPoisson([[1], [2, 3]])
    with pytest.raises(OptionsError, match="event_size must be an integer"):
        layers.MultivariateNormalTriL(0)
    with pytest.raises(OptionsError, match="num_components must be an integer"):
        layers.MixtureNormal(2.5)
    with pytest.raises(OptionsError, match="component_layer must be a head"):
        layers.MixtureSameFamily(2, keras.layers.Dense(2))
    with pytest.raises(OptionsError, match="'df' must be above 1"):
        layers.StudentT(1, df=0.5)
    with pytest.raises(OptionsError, match="make_distribution_fn must be a function"):
        layers.DistributionLambda(tfd.Normal(0.0, 1.0))
    with pytest.raises(ModelError, match=r"must return a tfp\.distributions"):
        layers.DistributionLambda(lambda t: t).distribution(np.zeros((2, 2)))
    with pytest.raises(AttributeError, match="KLDivergenceAddLoss"):
        layers.KLDivergenceAddLoss  # noqa: B018


def test_a_law_with_a_tensorflow_variable_is_refused():
    scale = tfp.util.TransformedVariable(1.0, tfp.bijectors.Softplus())
    head = layers.DistributionLambda(lambda t: tfd.Normal(t, scale))
    with pytest.raises(ModelError, match=r"never train.*AppendVariable"):
        head.distribution(np.zeros((2, 1)))


def test_joint_distributions_have_a_law_of_their_own():
    def joint(t):
        return tfd.JointDistributionSequential(
            [
                tfd.Gamma(tf.exp(t[..., 0]), tf.exp(t[..., 1])),
                tfd.Normal(t[..., 2], 1.0),
                lambda m, s: tfd.Normal(m, s),
            ]
        )

    head, t = layers.DistributionLambda(joint, num_params=3), numbers(3, 4)
    parts = [np.full(4, 0.7), np.full(4, -0.2), np.full(4, 0.1)]
    expected = (
        scipy.stats.gamma(np.exp(t[:, 0]), scale=np.exp(-t[:, 1])).logpdf(0.7)
        + scipy.stats.norm(t[:, 2], 1.0).logpdf(-0.2)
        + scipy.stats.norm(-0.2, 0.7).logpdf(0.1)
    )
    values = [part.astype("float32") for part in parts]
    np.testing.assert_allclose(head.log_prob(t, values), expected, rtol=1e-4)
