"""Learned priors in a VAE and in a network: objective, gradient, pseudo-inputs, files."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
from tfbdl_vae import VAE
from tfbdl_vae.priors.learned_prior import MIN_SCALE
from vae_by_name import eagerly
from vae_linear import float64
from vae_prior_cases import NAMES, SMALL, log_mixture

import tfbdl
from tfbdl import random, testing
from tfbdl.errors import ModelError, OptionsError
from tfbdl.testing.steps import require_equal_steps, train_one_step

layers = keras.layers


@pytest.fixture
def double():
    with float64():
        yield


def binary_rows(n=12, size=6, seed=0):
    return (np.random.default_rng(seed).uniform(size=(n, size)) < 0.4).astype("float32")


def small_vae(prior, latent_dim=2, units=None, size=6, **options):
    encoder = keras.Sequential(
        [keras.Input((size,)), layers.Dense(4, "tanh"), layers.Dense(units or 2 * latent_dim)]
    )
    decoder = keras.Sequential(
        [keras.Input((latent_dim,)), layers.Dense(4, "tanh"), layers.Dense(size)]
    )
    if isinstance(prior, str):
        options.setdefault("prior_options", SMALL.get(prior))
    return VAE(encoder, decoder, latent_dim, prior=prior, seed=1, **options)


def perturbed(prior, **options):
    """A VAE whose weights have left their start."""
    model, rng = small_vae(prior, **options), np.random.default_rng(2)
    for weight in model.trainable_variables:
        weight.assign_add(0.3 * rng.normal(size=weight.shape))
    return model


def encoded(model, x):
    """Means and standard deviations of q(z | x), by NumPy."""
    kernel, bias, last_kernel, last_bias = (w.numpy() for w in model.encoder.weights)
    loc, raw = np.split(np.tanh(x @ kernel + bias) @ last_kernel + last_bias, 2, axis=-1)
    return loc, np.log1p(np.exp(raw))


# -- in a VAE -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_gradient_of_the_loss_agrees_with_finite_differences(name, double):
    x = np.random.default_rng(0).normal(size=(5, 6))
    model = perturbed(name, likelihood="gaussian", num_data=5)
    weights, rng = model.trainable_variables, np.random.default_rng(1)

    def loss():
        model(x, training=True)  # the noise is that of a step, which does not move
        return model.compute_loss(x)

    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, [weight.value for weight in weights])
    assert all(gradient is not None for gradient in gradients)
    own = ("prior.", "pseudo_inputs/")
    assert any(word in weight.path for weight in weights for word in own)
    start = [weight.numpy() for weight in weights]
    for prior_alone in (False, True):
        directions = [
            rng.normal(size=w.shape) * (not prior_alone or any(word in w.path for word in own))
            for w in weights
        ]
        ends = []
        for h in (1e-5, -1e-5):
            for weight, middle, direction in zip(weights, start, directions, strict=True):
                weight.assign(middle + h * direction)
            ends.append(float(loss()))
        pairs = zip(gradients, directions, strict=True)
        expected = sum(float(tf.reduce_sum(g * d)) for g, d in pairs)
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_stick_breaking_loss_bears_the_density_of_sticks_and_atoms():
    x, options = binary_rows(), SMALL["stick_breaking"]
    model, costs = perturbed("stick_breaking"), {}
    for rows in (12, 24):
        model.num_data = rows
        model(x, training=True)
        costs[rows] = float(model.compute_loss(x))
    learned = model.prior_learned.items()
    values = {name: item.constrain(model.prior_raw[name]) for name, item in learned}
    v = scipy.special.expit(values["prior.stick_logits"].numpy())
    sticks = scipy.stats.beta(1, options["concentration"]).logpdf(v) + np.log(v * (1 - v))
    atoms = scipy.stats.norm(0, 10).logpdf(values["prior.loc"].numpy())
    scales = scipy.stats.lognorm(1.0).logpdf(values["prior.scale"].numpy())
    total = sticks.sum() + atoms.sum() + scales.sum()
    assert costs[12] - costs[24] == pytest.approx(-total * (1 / 12 - 1 / 24), rel=1e-3)


@pytest.mark.parametrize("name", ["gaussian_mixture", "vamp"])
def test_kl_agrees_with_an_independent_monte_carlo(name):
    model, x = perturbed(name), binary_rows(3, seed=5)
    with eagerly():
        parts = model.elbo_parts(x, draws=2000)
    assert "kl_parts" not in parts
    loc, scale = encoded(model, x)
    z = loc + scale * np.random.default_rng(0).normal(size=(4000, 3, 2))
    if name == "vamp":
        mixture = (np.log(np.full(4, 0.25)), *encoded(model, model.pseudo_inputs.raw.numpy()))
    else:
        raw = {key: weight.numpy() for key, weight in model.prior_raw.items()}
        log_pi = scipy.special.log_softmax(raw["prior.logits"])
        scales = np.log1p(np.exp(raw["prior.scale"])) + MIN_SCALE
        mixture = (log_pi, raw["prior.loc"], scales)
    log_q = scipy.stats.norm.logpdf(z, loc, scale).sum(-1)
    ratio = log_q - np.stack([log_mixture(z[:, i], *mixture) for i in range(3)], axis=1)
    error = ratio.std(0) * math.sqrt(1 / 4000 + 1 / 2000)
    assert (np.abs(parts["kl"] - ratio.mean(0)) < 4.5 * error + 1e-4).all()


@pytest.mark.parametrize(
    "name",
    [
        "gaussian_mixture",
        "vamp",
        pytest.param("stick_breaking", marks=pytest.mark.slow),
        "normalizing_flow",
    ],
)
def test_learned_prior_survives_file_and_clone(name, tmp_path):
    model = perturbed(name)
    z = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    expected = model.latent_prior().log_prob(z).numpy()
    start = small_vae(name)
    assert not np.allclose(start.latent_prior().log_prob(z), expected, atol=1e-3)
    model.save(tmp_path / "model.keras")
    for copy in (tfbdl.load(tmp_path / "model.keras"), model.clone()):
        np.testing.assert_array_equal(copy.latent_prior().log_prob(z), expected)
        paths = [v.path.rpartition("/")[2] for v in copy.trainable_variables]
        assert paths == [v.path.rpartition("/")[2] for v in model.trainable_variables]
    assert not np.allclose(model.clone(7).latent_prior().log_prob(z), expected, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_resumed_run_equals_an_uninterrupted_one(name, tmp_path):
    x = binary_rows(16)
    options = {
        "model_options": {"hidden": (4,), "latent_dim": 2},
        "prior": name,
        "prior_options": SMALL[name],
        "seed": 3,
    }
    engine = {"batch_size": 8, "epochs": 4, "checkpoint_seconds": 0.0}
    whole = tfbdl.fit("vae", x, engine_options=engine, **options)
    seen = []

    def stop(metrics):
        seen.append(metrics)
        if len(seen) == 2:
            raise tfbdl.errors.RunCancelled("enough")

    with pytest.raises(tfbdl.errors.RunCancelled):
        tfbdl.fit("vae", x, engine_options=engine, out=tmp_path / "run", on_step=stop, **options)
    resumed = tfbdl.resume(tmp_path / "run", data=x)
    for one, other in zip(whole.model.weights, resumed.model.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)


def test_sample_uses_the_learned_prior():
    model = small_vae("gaussian_mixture", prior_options={"components": 2})
    centres = np.array([[30.0, -30.0], [-30.0, 30.0]], "float32")
    model.prior_raw["prior.loc"].assign(centres)
    z = model.sample_codes(200, seed=1)
    nearest = np.abs(z[:, None] - centres).max(-1).min(1)
    assert nearest.max() < 6.0
    assert 60 < np.sum(z[:, 0] > 0) < 140
    assert model.sample(3, seed=1).shape == (3, 6)


def test_estimator_b_is_refused_for_a_prior_without_a_closed_kl():
    for prior in ("gaussian_mixture", "vamp"):
        with pytest.raises(OptionsError, match="estimator='B' needs a KL in closed form"):
            small_vae(prior, estimator="B")


# -- pseudo-inputs ------------------------------------------------------------------------------


def test_pseudo_inputs_start_at_training_rows_and_then_learn():
    x = np.unique(binary_rows(60), axis=0)
    model = small_vae("vamp")
    before = model.pseudo_inputs.value().numpy()
    assert ((before > 0) & (before < 1)).all()
    model.on_fit(tfbdl.data.as_dataset(x))
    started = model.pseudo_inputs.value().numpy()
    assert len({row.tobytes() for row in started}) == 4
    assert {row.tobytes() for row in started} <= {row.tobytes() for row in x}
    model.compile(keras.optimizers.Adam(0.4), run_eagerly=True)
    model.fit(x, batch_size=len(x), verbose=0)
    model.on_fit(tfbdl.data.as_dataset(x))  # does not begin again
    learned = model.pseudo_inputs.value().numpy()
    assert np.abs(learned - started).max() > 0.1
    assert learned.min() >= 0.0
    assert learned.max() <= 1.0


def test_pseudo_inputs_at_a_bound_have_a_gradient():
    x = np.zeros((4, 6), "float32")
    model = small_vae("vamp")
    model.pseudo_inputs.raw.assign(x)
    with tf.GradientTape() as tape:
        model(x, training=True)
        loss = model.compute_loss(x)
    gradient = tape.gradient(loss, model.pseudo_inputs.raw.value)
    assert (np.abs(gradient) > 1e-8).all()


def test_pseudo_inputs_move_in_units_of_the_data():
    x = np.random.default_rng(0).normal([1e5, 2.0], [2e4, 1e-3], size=(40, 2)).astype("float32")
    model = small_vae("vamp", likelihood="gaussian", size=2)
    model.on_fit(tfbdl.data.as_dataset(x))
    np.testing.assert_allclose(model.pseudo_inputs.unit, x.std(0), rtol=1e-3)
    distance = np.abs(model.pseudo_inputs.value()[:, None] - x) / x.std(0)
    assert distance.max(-1).min(1).max() < 1e-2  # each is a row of the data, up to rounding


def test_pseudo_inputs_of_few_rows_and_of_streams():
    x = np.unique(binary_rows(3), axis=0)
    stream = tf.data.Dataset.from_tensor_slices(x).batch(2)
    for data in (x, stream):
        model = small_vae("vamp", num_data=len(x))
        model.on_fit(tfbdl.data.as_dataset(data))
        rows = {row.tobytes() for row in model.pseudo_inputs.value().numpy()}
        assert rows == {row.tobytes() for row in x}


def test_vamp_prior_is_encoded_without_the_noise_of_training():
    encoder = keras.Sequential(
        [keras.Input((6,)), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(4)]
    )
    decoder = keras.Sequential([keras.Input((2,)), layers.Dense(6)])
    model = VAE(encoder, decoder, 2, prior="vamp", prior_options=SMALL["vamp"], seed=1)
    x = binary_rows()
    model(x, training=True)
    moving = [v.numpy() for v in encoder.non_trainable_variables]
    model.compute_loss(x)
    for before, after in zip(moving, encoder.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(before, after.numpy())


def test_vamp_prior_leaves_losses_of_the_encoder_as_they_were():
    def loss(prior):
        encoder = keras.Sequential(
            [keras.Input((6,)), layers.Dense(4, activity_regularizer=keras.regularizers.L2(100.0))]
        )
        encoder.set_weights([np.full((6, 4), 0.1), np.zeros(4)])
        decoder = keras.Sequential([keras.Input((2,)), layers.Dense(6)])
        decoder.set_weights([np.zeros((2, 6)), np.zeros(6)])
        model = VAE(encoder, decoder, 2, prior=prior, seed=1)
        model(np.ones((3, 6), "float32"), training=True)
        return float(model.compute_loss(None)) - 6 * math.log(2)

    # Activities of 0.6 in 4 units: 100 * 4 * 0.36 a row; the KL is below 5 nats either way.
    assert loss("standard_normal") == pytest.approx(144.0, abs=5.0)
    assert loss(tfbdl.prior("vamp", pseudo_inputs=3)) == pytest.approx(144.0, abs=5.0)


def test_encoder_that_is_not_built_gets_its_pseudo_inputs_later(tmp_path):
    encoder = keras.Sequential([layers.Dense(4, "tanh"), layers.Dense(4)])
    decoder = keras.Sequential([layers.Dense(4, "tanh"), layers.Dense(6)])
    model = VAE(encoder, decoder, 2, prior="vamp", prior_options=SMALL["vamp"], seed=1)
    with pytest.raises(ModelError, match="not known before the model is built"):
        model.latent_prior()
    model.on_fit(tfbdl.data.as_dataset(binary_rows()))
    assert model.pseudo_inputs.raw.shape == (4, 6)
    model.save(tmp_path / "model.keras")
    for copy in (tfbdl.load(tmp_path / "model.keras"), model.clone()):
        np.testing.assert_array_equal(copy.pseudo_inputs.value(), model.pseudo_inputs.value())


def test_vamp_is_refused_where_it_has_no_meaning():
    with pytest.raises(OptionsError, match=r"density must be known at any z.*Received: 'iaf'"):
        small_vae("vamp", posterior="iaf")
    with pytest.raises(OptionsError, match="whose rows are labels"):
        small_vae("vamp", likelihood="categorical")
    encoder = keras.Sequential([keras.Input((None, 3)), layers.GRU(4)])
    decoder = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
    with pytest.raises(ModelError, match=r"rows of one shape.*Received: rows \[None, 3\]"):
        VAE(encoder, decoder, 2, "gaussian", "vamp")


@pytest.mark.slow
@pytest.mark.replicas
def test_vamp_prior_trains_on_two_replicas_as_on_one():
    data = tfbdl.data.as_dataset(binary_rows(16))

    def step(scope):
        with testing.frozen_noise(), scope():
            model = small_vae("vamp")
            for weight in (*model.encoder.weights, *model.decoder.weights):
                values = random.normal(weight.shape, random.key(1, *weight.shape))
                weight.assign(0.5 * values)
            return train_one_step("VAE with a VampPrior", model, data)

    single = step(tf.distribute.get_strategy().scope)
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    require_equal_steps("VAE with a VampPrior", single, step(strategy.scope))
    assert any("pseudo_inputs" in path and change.any() for path, change in single)


# -- what they are good for ---------------------------------------------------------------------


@pytest.mark.slow
def test_learned_mixture_finds_two_clusters_that_one_normal_cannot():
    """A linear decoder cannot bend N(0, 1) into two clusters: its best is PPCA's Gaussian."""
    rng = np.random.default_rng(0)
    direction = np.array([1.0, -1.0, 0.5, 0.8])
    labels = rng.choice([-2.0, 2.0], size=1200)
    codes = labels + 0.3 * rng.normal(size=1200)
    x = (codes[:, None] * direction + 0.5 * rng.normal(size=(1200, 4))).astype("float32")
    train, test = x[:800], x[800:]

    def covariance(of_code):
        return of_code * np.outer(direction, direction) + 0.25 * np.eye(4)

    pair = [scipy.stats.multivariate_normal(c * direction, covariance(0.09)) for c in (-2.0, 2.0)]
    truth = np.log(np.mean([one.pdf(test) for one in pair], axis=0)).mean()
    normal = scipy.stats.multivariate_normal(test.mean(0), np.cov(test.T, bias=True))
    best_normal = normal.logpdf(test).mean()  # no Gaussian is better on these rows

    found = {}
    for prior, options in (("standard_normal", None), ("gaussian_mixture", {"components": 2})):
        encoder = keras.Sequential([keras.Input((4,)), layers.Dense(16, "tanh"), layers.Dense(2)])
        decoder = keras.Sequential([keras.Input((1,)), layers.Dense(4)])
        model = VAE(
            encoder,
            decoder,
            1,
            "gaussian",
            prior,
            likelihood_options={"scale": 0.5},
            prior_options=options,
            seed=2,
        )
        model.compile(keras.optimizers.Adam(0.02), jit_compile=True)
        model.fit(train, batch_size=100, epochs=60, verbose=0)
        found[prior] = model.log_marginal(test, k=200).mean()
    assert found["standard_normal"] <= best_normal + 0.02
    assert found["gaussian_mixture"] > best_normal + 0.3
    assert truth - 0.1 < found["gaussian_mixture"] < truth + 0.05


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("gaussian_mixture", marks=pytest.mark.slow),
        pytest.param("vamp", marks=pytest.mark.slow),
        "stick_breaking",
        "normalizing_flow",
    ],
)
def test_network_trains_with_it_as_a_prior_of_weights(name):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 2)).astype("float32"), rng.normal(size=8).astype("float32")
    net = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    options = {"prior_options": SMALL[name], "likelihood_options": {"scale": 0.5}}
    model = tfbdl.BayesianNetwork(net, "gaussian", name, **options)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    before = {w.path: w.numpy() for w in model.trainable_variables}
    history = model.fit(x, y, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    changed = {w.path for w in model.trainable_variables if (w.numpy() != before[w.path]).any()}
    own = {path for path in before if "prior.dense.kernel" in path}
    assert own
    assert own <= changed
