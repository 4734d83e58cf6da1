"""Densities of unconstrained states: gradients, and each Jacobian exactly once."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from small_models import LinearModel, linear_data, network, network_data

import tfbdl
from tfbdl import errors
from tfbdl.data import as_dataset
from tfbdl.inference.mcmc import FlatTarget, GaussianTarget
from tfbdl.inference.mcmc.target import full_batch, is_vectorizable
from tfbdl.inference.rows import set_num_data

tfb = tfp.bijectors
tfd = tfp.distributions


def flat(log_prob, shape, bijector):
    """The target of a density of one site ``x``."""
    return FlatTarget(tfbdl.LogDensity(log_prob, {"x": shape}, {"x": bijector}, "float64"))


def wobble(x):
    """A smooth density that treats all elements differently."""
    x = tf.reshape(x, [-1])
    return -tf.reduce_sum(tf.range(1.0, x.shape[0] + 1.0, dtype=x.dtype) * (x - 0.3) ** 2)


BIJECTORS = {
    "exp": ((3,), tfb.Exp()),
    "softplus": ((2, 2), tfb.Softplus()),
    "sigmoid": ((3,), tfb.Sigmoid(low=tf.constant(-1.0, tf.float64), high=2.0)),
    "ascending": ((3,), tfb.Ascending()),
    "scale": ((3,), tfb.Scale(tf.constant(2.0, tf.float64))),
    "simplex": ((3,), tfb.IteratedSigmoidCentered()),  # TFP's SoftmaxCentered fails with NumPy 2.4
    "fill_scale_tril": ((2, 2), tfb.FillScaleTriL(diag_shift=tf.constant(1e-5, tf.float64))),
    "correlation": ((3, 3), tfb.CorrelationCholesky()),
}


@pytest.mark.parametrize("name", BIJECTORS)
def test_gradients_are_those_of_finite_differences(name):
    shape, bijector = BIJECTORS[name]
    target = flat(wobble, shape, bijector)
    z = tf.constant(np.random.default_rng(0).normal(size=(2, target.dim)))
    value, gradient = tf.function(target.log_prob_and_gradient)(z)
    np.testing.assert_allclose(value, target.log_prob(z), rtol=1e-12)
    step = 1e-5 * tf.eye(target.dim, dtype=tf.float64)
    for chain in range(2):
        change = target.log_prob(z[chain] + step) - target.log_prob(z[chain] - step)
        np.testing.assert_allclose(gradient[chain], change / 2e-5, rtol=1e-6, atol=1e-7)


def test_a_density_of_all_chains_at_once_is_that_of_each():
    def one(scale, x):
        return tf.reduce_sum(-0.5 * (x / scale) ** 2) - 4.0 * tf.math.log(scale) - scale

    def many(scale, x):
        return -0.5 * tf.reduce_sum((x / scale[:, None]) ** 2, -1) - 4 * tf.math.log(scale) - scale

    shapes, bijectors = {"scale": (), "x": (4,)}, {"scale": tfb.Softplus(), "x": tfb.Ascending()}
    apart = FlatTarget(tfbdl.LogDensity(one, shapes, bijectors, "float64"))
    together = FlatTarget(tfbdl.LogDensity(many, shapes, bijectors, "float64", vectorized=True))
    z = tf.constant(np.random.default_rng(1).normal(size=(3, 5)))
    for a, b in zip(together.log_prob_and_gradient(z), apart.log_prob_and_gradient(z), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


class Vectorized:
    """A normal prior N(1, 0.5^2) of w and a likelihood N(3; w, 1), of many states at once."""

    vectorized = True
    sites = (tfbdl.protocols.Site("w", (), None, "float64"),)

    def init(self, seed):
        return {"w": tf.constant(0.1 * (seed % 7), tf.float64)}

    def gaussian_prior(self):
        return {"w": np.float64(1.0)}, {"w": np.float64(0.5)}

    def log_likelihood_total(self, params, batch):
        return -0.5 * (3.0 - params["w"]) ** 2

    def log_joints(self, params, batch):
        return self.log_likelihood_total(params, batch) - 2.0 * (params["w"] - 1.0) ** 2

    log_joint = log_joints


def test_a_normal_prior_counts_once_in_elliptical_slices():
    target = GaussianTarget(Vectorized())
    z = tf.constant([[0.3], [2.0]], tf.float64)
    expected = -0.5 * (3.0 - z[:, 0]) ** 2
    np.testing.assert_allclose(target.log_prob(z), expected, rtol=1e-12)
    np.testing.assert_allclose(target.log_prob_alone(z)[0], expected, rtol=1e-12)
    joint = FlatTarget(Vectorized()).log_prob(z)
    np.testing.assert_allclose(joint, expected - 2.0 * (z[:, 0] - 1.0) ** 2, rtol=1e-12)


SQUARE = ("exp", "softplus", "sigmoid", "ascending", "scale", "fill_scale_tril")


@pytest.mark.parametrize("name", SQUARE)
def test_the_jacobian_is_that_of_finite_differences(name):
    shape, bijector = BIJECTORS[name]
    target = flat(wobble, shape, bijector)
    z = np.random.default_rng(1).normal(size=target.dim)

    def constrained(state):
        x = target.constrain(tf.constant(state))["x"].numpy()
        return x[np.tril_indices(2)] if name == "fill_scale_tril" else x.ravel()

    columns = [(constrained(z + e) - constrained(z - e)) / 2e-5 for e in 1e-5 * np.eye(target.dim)]
    expected = wobble(target.constrain(tf.constant(z))["x"]) + np.linalg.slogdet(columns)[1]
    np.testing.assert_allclose(target.log_prob(tf.constant(z[None]))[0], expected, rtol=1e-7)


def grid(dim, width, points):
    """Points ``[n, dim]`` of the unconstrained space, and the volume that each stands for."""
    axis = np.linspace(-width, width, points)
    mesh = np.meshgrid(*[axis] * dim, indexing="ij")
    return tf.constant(np.stack([m.ravel() for m in mesh], -1)), (axis[1] - axis[0]) ** dim


def integrate(target, dim, width, points, values):
    """(integral of the density, mean of a function of the constrained value)."""
    z, volume = grid(dim, width, points)
    weights = np.exp(target.log_prob(z)) * volume
    x = target.constrain(z)["x"].numpy()
    return weights.sum(), np.tensordot(weights, values(x), 1) / weights.sum()


@pytest.mark.parametrize(
    ("distribution", "bijector", "width"),
    [
        (tfd.LogNormal(np.float64(0.5), np.float64(0.8)), tfb.Exp(), 12.0),
        (tfd.Gamma(np.float64(2.5), np.float64(1.5)), tfb.Softplus(), 40.0),
        (tfd.Beta(np.float64(2.0), np.float64(5.0)), tfb.Sigmoid(), 25.0),
    ],
)
def test_a_transformed_density_keeps_its_integral_and_mean(distribution, bijector, width):
    target = flat(lambda x: distribution.log_prob(x), (), bijector)
    integral, mean = integrate(target, 1, width, 20_001, lambda x: x)
    assert integral == pytest.approx(1.0, rel=1e-6)
    assert mean == pytest.approx(float(distribution.mean()), rel=1e-6)


def test_a_dirichlet_keeps_its_mean():
    dirichlet = tfd.Dirichlet(np.array([2.0, 3.0, 4.0]))
    target = flat(lambda x: dirichlet.log_prob(x), (3,), tfb.IteratedSigmoidCentered())
    _, mean = integrate(target, 2, 14.0, 241, lambda x: x)
    np.testing.assert_allclose(mean, np.array([2.0, 3.0, 4.0]) / 9.0, rtol=1e-6)


def test_ordered_normals_keep_their_integral():
    normal = tfd.Normal(np.float64(0.0), np.float64(1.0))
    target = flat(lambda x: tf.reduce_sum(normal.log_prob(x)), (2,), tfb.Ascending())
    integral, mean = integrate(target, 2, 9.0, 361, lambda x: x)
    assert integral == pytest.approx(0.5, rel=1e-4)  # one of two orders
    np.testing.assert_allclose(mean, [-1 / np.sqrt(np.pi), 1 / np.sqrt(np.pi)], rtol=1e-3)


def test_correlations_keep_their_variance():
    lkj = tfd.CholeskyLKJ(2, np.float64(1.5))
    target = flat(lambda x: lkj.log_prob(x), (2, 2), tfb.CorrelationCholesky())
    integral, square = integrate(target, 1, 500.0, 200_001, lambda x: x[:, 1, 0] ** 2)
    assert integral == pytest.approx(1.0, rel=1e-3)
    assert square == pytest.approx(1.0 / (2 * 1.5 + 1.0), rel=1e-3)  # r is 2 Beta(1.5, 1.5) - 1


def test_states_and_values_go_into_one_another():
    target = FlatTarget(
        tfbdl.LogDensity(
            lambda a, b, w: tf.cast(wobble(a), "float64") + wobble(b) + wobble(w),
            {"a": (2, 2), "b": (), "w": (3,)},
            {"b": tfb.Exp(), "w": tfb.IteratedSigmoidCentered()},
            {"a": "float32", "b": "float64", "w": "float64"},
        )
    )
    assert (target.dim, target.dtype) == (4 + 1 + 2, "float64")
    values = {"a": np.eye(2), "b": 2.5, "w": np.array([0.2, 0.3, 0.5])}
    z = target.unconstrain(values)
    back = target.constrain(tf.stack([[z, z]]))
    assert {name: value.dtype.name for name, value in back.items()} == {
        "a": "float32",
        "b": "float64",
        "w": "float64",
    }
    for name, value in values.items():
        assert back[name].shape == (1, 2, *np.shape(value))
        np.testing.assert_allclose(back[name][0, 1], value, rtol=1e-6)


def test_chains_start_at_different_points_of_the_model():
    target = flat(wobble, (3,), tfb.Exp())
    first, again, other = (target.initial_states(3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(np.concatenate([first, other])[:, 0])) == 6


def test_one_chain_after_the_other_gives_the_same_numbers():
    x, y = (tf.constant(part) for part in network_data())
    model = network(dropout=0.0)
    z = FlatTarget(model, (x, y)).initial_states(3, 0)
    together, apart = (
        tf.function(FlatTarget(model, (x, y), vectorize=v).log_prob_and_gradient)(z)
        for v in (True, False)
    )
    for a, b in zip(together, apart, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


def test_one_chain_has_the_numbers_and_shapes_of_many():
    x, y = (tf.constant(part) for part in network_data())
    target = FlatTarget(network(dropout=0.0), (x, y))
    z = target.initial_states(2, 0)
    compiled = tf.function(target.log_prob_and_gradient)
    alone, together = compiled(z[:1]), compiled(z)
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, two[:1], rtol=1e-4, atol=1e-3)
    traced = compiled.get_concrete_function(tf.TensorSpec((1, target.dim))).output_shapes
    assert [shape.as_list() for shape in traced] == [[1], [1, target.dim]]


def test_a_model_without_sites_is_refused():
    class Nothing:
        sites = ()

    with pytest.raises(errors.ModelError, match="no sites to sample"):
        FlatTarget(Nothing())


# -- data --------------------------------------------------------------------------------------


def test_all_rows_are_one_batch_and_a_net_is_told_their_number():
    x, y = network_data()
    model = network()
    batch = full_batch(model, as_dataset((x, y)))
    assert model.num_data == 64
    np.testing.assert_array_equal(batch[0], x)
    np.testing.assert_array_equal(full_batch(None, as_dataset(x)), x)
    assert full_batch(None, None) is None


def test_a_given_number_of_rows_counts():
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model = tfbdl.BayesianNetwork(net, "gaussian", num_data=1000)
    full_batch(model, as_dataset(network_data()))
    assert model.num_data == 1000


def test_a_stream_is_gathered_unless_it_has_no_end():
    x, y = linear_data()
    stream = tf.data.Dataset.from_tensor_slices((x, y)).batch(7)
    batch = full_batch(None, as_dataset(stream))
    np.testing.assert_array_equal(batch[0], x)
    np.testing.assert_array_equal(batch[1], y)
    with pytest.raises(errors.DataError, match="endless stream"):
        full_batch(None, as_dataset(stream.repeat(), num_rows=60))


def test_the_number_of_rows_of_ones_own_model_is_left_as_it_is():
    model = LinearModel()
    full_batch(model, as_dataset(tuple(part[:20] for part in linear_data())))
    assert "num_data" not in vars(model)
    assert set_num_data(model, 20) == 60
    frozen = ReadOnly()
    full_batch(frozen, as_dataset(linear_data()))
    assert set_num_data(frozen, 60) == 7
    assert set_num_data(object(), 60) == 60
    assert set_num_data(network(), None) is None


class ReadOnly:
    """What cannot be told anything."""

    num_data = property(lambda self: 7)


def test_weights_of_rows_are_refused():
    x, y = linear_data()
    with pytest.raises(errors.DataError, match=r"counts each row once.*sample_weight"):
        full_batch(None, as_dataset((x, y, np.ones(60, "float32"))))


def test_layers_decide_how_chains_are_computed():
    assert is_vectorizable(network())
    assert is_vectorizable(tfbdl.LogDensity(wobble, {"x": (2,)}))
    recurrent = keras.Sequential([keras.Input((5, 1)), keras.layers.LSTM(2), keras.layers.Dense(1)])
    assert not is_vectorizable(tfbdl.BayesianNetwork(recurrent, "gaussian"))
