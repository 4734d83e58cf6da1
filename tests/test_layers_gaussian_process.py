"""VariationalGaussianProcess: the law, bound and divergence of TFP's, and what it learns."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

import tfbdl
from tfbdl import layers
from tfbdl.errors import ModelError, OptionsError, TfbdlWarning, UnknownNameError

tfd, psd = tfp.distributions, tfp.math.psd_kernels
POINTS, ROWS = 6, 9
RNG = np.random.default_rng(0)
Z, X = RNG.normal(size=(POINTS, 2)), RNG.normal(size=(ROWS, 2))


@keras.saving.register_keras_serializable(package="test_layers_gp")
class OwnKernel(keras.layers.Layer):
    """As TFP's users write one, with weights made in the constructor."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        start = keras.initializers.Constant(0.54)
        self._amplitude = self.add_weight(initializer=start, name="amplitude")

    def call(self, x):
        return x

    @property
    def kernel(self):
        return psd.ExponentiatedQuadratic(amplitude=tf.nn.softplus(self._amplitude))


@keras.saving.register_keras_serializable(package="test_layers_gp")
def slope(points):
    return points[..., 0] - 0.5 * points[..., 1]


def layer(event_shape=(1,), whitened=False, **options):
    """A layer in float64 whose variational parameters are drawn."""
    options = {"num_data": 10, **options}
    head = layers.VariationalGaussianProcess(
        POINTS,
        layers.KernelProvider(amplitude=1.3, length_scale=[0.7, 1.3], dtype="float64"),
        event_shape=event_shape,
        inducing_index_points_initializer=Z,
        unconstrained_observation_noise_variance_initializer=-1.0,
        use_whitening_transform=whitened,
        **options,
    )
    head(X)
    rng = np.random.default_rng(1)
    own = head.event_shape
    head.variational_inducing_observations_loc.assign(rng.normal(size=(*own, POINTS)))
    scale = rng.normal(size=(*own, POINTS, POINTS))
    head.variational_inducing_observations_scale.assign(scale)
    if head.mean_fn is None:
        head.mean_constant.assign(0.3)
    return head


def process_of_tfp(head):
    """TFP's distribution with the same parameters; its last axis is that of the rows."""

    def mean(points):
        return (head.mean_fn or (lambda _: tf.constant(0.3, tf.float64)))(points)

    return tfd.VariationalGaussianProcess(
        psd.FeatureScaled(
            psd.ExponentiatedQuadratic(tf.constant(1.3, tf.float64)),
            scale_diag=np.array([0.7, 1.3]),
        ),
        X,
        np.broadcast_to(Z, (*head.event_shape, *Z.shape)),
        tf.convert_to_tensor(head.variational_inducing_observations_loc),
        np.tril(head.variational_inducing_observations_scale),
        mean_fn=mean,
        observation_noise_variance=np.logaddexp(0.0, -1.0),
        jitter=1e-6,
        use_whitening_transform=head.use_whitening_transform,
    )


@pytest.mark.parametrize(
    ("event_shape", "whitened", "mean_fn"),
    [((1,), False, None), ((3,), False, slope), ((), True, None), ((2, 3), True, slope)],
)
def test_law_bound_and_divergence_are_those_of_tfp(event_shape, whitened, mean_fn):
    head = layer(event_shape, whitened, mean_fn=mean_fn)
    theirs, outputs = process_of_tfp(head), head(X)
    assert outputs.shape == (ROWS, head.params_size(event_shape))
    rows_first = lambda value: np.moveaxis(np.asarray(value), -1, 0)  # noqa: E731
    law = head.distribution(outputs)
    assert law.batch_shape == (ROWS,)
    assert law.event_shape == event_shape
    np.testing.assert_allclose(law.mean(), rows_first(theirs.mean()), atol=1e-6)
    # TFP adds its jitter to another matrix than is factored
    np.testing.assert_allclose(law.stddev(), rows_first(theirs.stddev()), atol=2e-6)
    latent = head.latent_distribution(outputs).variance() + np.logaddexp(0.0, -1.0)
    np.testing.assert_allclose(latent, law.variance(), rtol=1e-9)

    divergence = tf.reduce_sum(theirs.surrogate_posterior_kl_divergence_prior())
    ours = head.surrogate_posterior_kl_divergence_prior()
    np.testing.assert_allclose(ours, divergence, rtol=1e-9)
    np.testing.assert_allclose(head.losses[-1], divergence / 10, rtol=1e-6)  # in float32

    y = np.random.default_rng(2).normal(size=(ROWS, *event_shape))
    turned = np.moveaxis(y, 0, -1)
    bound = tf.reduce_sum(head.loss(y, outputs)) + ours
    # TFP's expected log-likelihood counts the noise twice: one half for each number
    theirs_bound = tf.reduce_sum(theirs.variational_loss(turned)) - 0.5 * y.size
    np.testing.assert_allclose(bound, theirs_bound, rtol=1e-5)

    joint = head.joint(X)
    assert joint.event_shape == (ROWS, *event_shape)
    np.testing.assert_allclose(joint.log_prob(y), tf.reduce_sum(theirs.log_prob(turned)), rtol=1e-5)
    assert joint.sample(7, seed=(1, 2)).shape == (7, ROWS, *event_shape)


def test_loss_is_the_expected_log_likelihood():
    head, rng = layer(), np.random.default_rng(0)
    outputs, y = head(X), rng.normal(size=(ROWS, 1))
    loc, scale, noise = np.moveaxis(np.asarray(outputs), -1, 0)
    f = loc + scale * rng.normal(size=(200_000, ROWS))
    terms = -0.5 * ((y[:, 0] - f) / noise) ** 2 - np.log(noise) - 0.5 * np.log(2 * np.pi)
    error = terms.std(0) / np.sqrt(len(f))
    np.testing.assert_array_less(np.abs(-terms.mean(0) - head.loss(y, outputs)), 5 * error)


def test_at_the_optimum_the_bound_is_the_evidence():
    """With a point at each row and the exact posterior there, Titsias' bound is tight."""
    y = np.sin(2.0 * X[:, 0])
    head = layers.VariationalGaussianProcess(
        ROWS,
        layers.KernelProvider(dtype="float64"),
        inducing_index_points_initializer=X,
        unconstrained_observation_noise_variance_initializer=0.0,
        jitter=1e-9,
        num_data=1,
    )
    head(X)
    noise = np.log(2.0)
    K = np.exp(-0.5 * np.sum((X[:, None] - X[None]) ** 2, -1))
    gain = K @ np.linalg.inv(K + noise * np.eye(ROWS))
    S = np.linalg.cholesky(K - gain @ K + 1e-12 * np.eye(ROWS))
    head.variational_inducing_observations_loc.assign((gain @ y)[np.newaxis])
    head.variational_inducing_observations_scale.assign(S[np.newaxis])
    evidence = scipy.stats.multivariate_normal(np.zeros(ROWS), K + noise * np.eye(ROWS))
    bound = np.sum(head.loss(y, head(X))) + np.asarray(head.losses[-1])
    np.testing.assert_allclose(bound, -evidence.logpdf(y), rtol=1e-5)
    new = X + 0.3
    cross = np.exp(-0.5 * np.sum((new[:, None] - X[None]) ** 2, -1))
    expected = cross @ np.linalg.solve(K + noise * np.eye(ROWS), y)
    np.testing.assert_allclose(head.mean(head(new))[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("family", ["MaternOneHalf", "MaternThreeHalves", "MaternFiveHalves"])
def test_kernels_have_the_amplitude_and_length_scale_they_begin_with(family):
    provider = layers.KernelProvider(family, amplitude=2.0, length_scale=0.5)
    provider.build((None, 2))
    expected = getattr(psd, family)(np.float64(2.0), np.float64(0.5))
    found = provider.kernel.matrix(X, X)
    assert found.dtype == tf.float64
    np.testing.assert_allclose(found, expected.matrix(X, X), rtol=1e-5)


def data(n=300):
    rng = np.random.default_rng(0)
    x = rng.uniform(-3.0, 3.0, size=(n, 1)).astype("float32")
    return x, (np.sin(2.0 * x) + 0.2 * rng.normal(size=(n, 1))).astype("float32")


@pytest.mark.slow
def test_it_learns_a_function_and_the_noise_and_is_stored(tmp_path):
    keras.utils.set_random_seed(0)
    x, y = data()
    head = layers.VariationalGaussianProcess(
        12,
        layers.KernelProvider(),
        inducing_index_points_initializer=np.linspace(-3.0, 3.0, 12)[:, np.newaxis],
        unconstrained_observation_noise_variance_initializer=0.0,
        use_whitening_transform=True,
    )
    model = keras.Sequential([keras.Input((1,)), head])
    layers.set_num_data(model, len(x))
    assert model.output_shape == (None, 3)
    assert len(model.trainable_weights) == 2 + 5
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss=head.loss)
    model.fit(x, y, 50, 25, verbose=0)
    outputs = model(x).numpy()
    assert outputs.dtype == np.float32
    assert np.sqrt(np.mean((head.mean(outputs) - np.sin(2.0 * x)) ** 2)) < 0.1
    assert outputs[0, 2] == pytest.approx(0.2, abs=0.03)
    model.save(tmp_path / "m.keras")
    again = tfbdl.load(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(x), outputs)
    bound = model.evaluate(x, y, verbose=0)
    assert again.evaluate(x, y, verbose=0) == pytest.approx(bound, rel=1e-6)
    assert again.layers[-1].num_data == len(x)
    far = head.latent_distribution(model(np.array([[40.0]], "float32")))
    amplitude = np.logaddexp(0.0, head.kernel_provider.raw_amplitude.numpy())
    np.testing.assert_allclose(far.stddev(), amplitude, rtol=1e-3)  # the prior's


def test_a_kernel_of_ones_own_as_in_tfp(tmp_path):
    n, bounds = 500, (-20.0, 60.0)
    rng = np.random.default_rng(43)
    x = rng.uniform(*bounds, size=n)
    spread = 3.0 * (0.25 + ((x - bounds[0]) / (bounds[1] - bounds[0])) ** 2)
    y = 0.125 * x * (1.0 + np.sin(x)) + 5.0 + spread * rng.normal(size=n)
    head = layers.VariationalGaussianProcess(
        num_inducing_points=50,
        kernel_provider=OwnKernel(dtype="float64"),
        inducing_index_points_initializer=tf.constant_initializer(
            np.linspace(*bounds, num=50)[:, np.newaxis]
        ),
        variational_inducing_observations_scale_initializer=1e-3 * np.eye(50)[np.newaxis],
        unconstrained_observation_noise_variance_initializer=2.0,
        num_data=n,
    )
    ones = keras.layers.Dense(1, kernel_initializer="ones", use_bias=False, dtype="float64")
    model = keras.Sequential([keras.Input((1,), dtype="float64"), ones, head])
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss=head.loss)
    losses = model.fit(x[:, np.newaxis], y, 64, 5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    joint = head.joint(np.linspace(*bounds, num=200)[:, np.newaxis])
    assert joint.sample(7, seed=(0, 1)).shape == (7, 200, 1)
    assert joint.dtype == model(x[:3, np.newaxis]).dtype == tf.float64
    model.save(tmp_path / "m.keras")
    again = tfbdl.load(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(x[:3, np.newaxis]), model(x[:3, np.newaxis]))


def test_points_of_sequences_and_under_mixed_precision():
    provider = layers.KernelProvider(dtype="mixed_float16")
    head = layers.VariationalGaussianProcess(4, provider, event_shape=2, num_data=10)
    inputs = keras.Input((5, 3))
    model = keras.Model(inputs, head(inputs))
    assert model.output_shape == (None, 5, 6)
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    outputs = model(x)
    assert outputs.dtype == tf.float32
    np.testing.assert_allclose(outputs[1, 2], head(x[1, 2:3])[0], rtol=1e-5)


def test_the_prior_mean_may_be_a_layer_that_is_learned():
    line = keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")
    provider = layers.KernelProvider()
    head = layers.VariationalGaussianProcess(3, provider, mean_fn=line, num_data=10)
    far = np.array([[100.0, -40.0], [-70.0, 80.0]], "float32")
    np.testing.assert_allclose(head.mean(head(far))[:, 0], far.sum(1) + 1.0, rtol=1e-6)
    assert len(head.trainable_weights) == 2 + 2 + 4
    again = layers.VariationalGaussianProcess.from_config(head.get_config())
    np.testing.assert_allclose(again.mean(again(far))[:, 0], far.sum(1) + 1.0, rtol=1e-6)


def step(jit_compile=False):
    keras.utils.set_random_seed(0)
    x, y = data(8)
    head = layers.VariationalGaussianProcess(
        3,
        layers.KernelProvider(),
        inducing_index_points_initializer=np.array([[-1.0], [0.0], [2.0]]),
        variational_inducing_observations_scale_initializer=0.5 * np.eye(3),
        num_data=8,
    )
    model = keras.Sequential([keras.Input((1,)), head])
    model.compile(optimizer=keras.optimizers.SGD(1e-4), loss=head.loss, jit_compile=jit_compile)
    before = [tf.convert_to_tensor(v).numpy() for v in model.trainable_variables]
    model.fit(x, y, 8, shuffle=False, verbose=0)
    after = [tf.convert_to_tensor(v).numpy() for v in model.trainable_variables]
    return [new - old for new, old in zip(after, before, strict=True)]


@pytest.mark.slow
@pytest.mark.replicas
def test_a_step_on_two_replicas_and_under_xla_is_a_step_on_one():
    single, compiled = step(), step(jit_compile=True)
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        double = step()
    for one, two, other in zip(single, double, compiled, strict=True):
        assert np.abs(one).max() > 0.0
        size = np.abs(one).max()
        np.testing.assert_allclose(two, one, atol=2e-3 * size + 1e-6)
        np.testing.assert_allclose(other, one, atol=2e-3 * size + 1e-6)


def test_an_unscaled_divergence_warns():
    head = layers.VariationalGaussianProcess(2, layers.KernelProvider())
    head(X)
    with pytest.warns(TfbdlWarning, match="set_num_data"):
        head(X, training=True)


def test_without_noise_there_is_a_law_but_no_loss():
    head = layers.VariationalGaussianProcess(
        2,
        layers.KernelProvider(),
        unconstrained_observation_noise_variance_initializer=None,
        num_data=ROWS,
    )
    outputs = head(X)
    latent = head.latent_distribution(outputs).stddev()
    np.testing.assert_allclose(head.stddev(outputs), latent, rtol=1e-6)
    with pytest.raises(ModelError, match="Without observation noise"):
        head.loss(np.zeros((ROWS, 1)), outputs)


def test_mistakes_are_named():
    provider = layers.KernelProvider()
    with pytest.raises(OptionsError, match="kernel_provider must be a Keras layer"):
        layers.VariationalGaussianProcess(3, psd.ExponentiatedQuadratic())
    with pytest.raises(OptionsError, match="num_inducing_points must be an integer"):
        layers.VariationalGaussianProcess(0, provider)
    with pytest.raises(OptionsError, match="num_data must be a number of rows"):
        layers.VariationalGaussianProcess(3, provider, num_data=-1)
    with pytest.raises(OptionsError, match="mean_fn must be"):
        layers.VariationalGaussianProcess(3, provider, mean_fn=0.5)
    with pytest.raises(OptionsError, match="'jitter' must be"):
        layers.VariationalGaussianProcess(3, provider, jitter=0.0)
    with pytest.raises(ModelError, match="has no weights yet"):
        layers.VariationalGaussianProcess(3, provider).joint(X)
    with pytest.raises(ModelError, match=r"takes points of 1 known axes.*\(4,\)"):
        layers.VariationalGaussianProcess(3, provider).build((4,))
    head = layers.VariationalGaussianProcess(3, provider, mean_fn=lambda points: points[..., 0])
    with pytest.raises(ModelError, match=r"mean_fn=.*cannot be stored"):
        head.get_config()
    with pytest.raises(UnknownNameError, match="Did you mean 'MaternOneHalf'"):
        layers.KernelProvider("MaternOneHalv")
    with pytest.raises(OptionsError, match="'amplitude' must be"):
        layers.KernelProvider(amplitude=0.0)
    with pytest.raises(OptionsError, match="length_scale"):
        layers.KernelProvider(length_scale=[])
    with pytest.raises(ModelError, match=r"length_scale has 3 numbers.*2 features"):
        layers.KernelProvider(length_scale=[1.0, 2.0, 3.0]).build((None, 2))
