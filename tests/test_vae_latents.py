"""Families of q(z | x): densities, draws and divergences against TFP, scipy and differences."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import integrate, stats
from tfbdl_vae import VAE, latents
from tfbdl_vae.architectures import mlp_decoder, mlp_encoder
from tfbdl_vae.latents import autoregressive
from vae_by_name import eagerly
from vae_linear import float64, loss_of

import tfbdl
from tfbdl import errors, random

tfd = tfp.distributions

DIM = 4
STRAIGHT = {"classes": 2, "straight_through": True}
FAMILIES = {
    "diagonal": ("diagonal", {}),
    "full": ("full", {}),
    "iaf": ("iaf", {"hidden": (8,), "context": 3}),
    "concrete": ("concrete", {"classes": 2}),
    "straight_through": ("concrete", STRAIGHT),
}


@pytest.fixture(autouse=True)
def double():
    with float64():
        yield


def family(name, seed=0):
    word, options = FAMILIES[name]
    return latents.get(word, DIM, options, seed)


def outputs(made, rows=3, seed=1):
    return tf.constant(np.random.default_rng(seed).normal(size=(rows, made.units)))


def keys_of(draws, seed=5):
    return random.split(random.key(seed), draws)


# -- what all families share -------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_a_draws_density_is_that_of_log_prob_and_of_the_distribution(name):
    made = family(name)
    parameters = made.parameters(outputs(made))
    z, log_q = made.draw(parameters, keys_of(5))
    assert (z.shape, log_q.shape) == ((5, 3, DIM), (5, 3))
    np.testing.assert_allclose(made.log_prob(parameters, z), log_q, rtol=1e-9)
    distribution = made.distribution(parameters)
    assert (distribution.batch_shape, distribution.event_shape) == ((3,), (DIM,))
    again = tf.identity(z)  # a tensor that no bijector has in its cache
    np.testing.assert_allclose(distribution.log_prob(again), log_q, rtol=1e-9)
    sample = distribution.sample(6, seed=(1, 2))
    np.testing.assert_allclose(
        made.log_prob(parameters, sample), distribution.log_prob(sample), rtol=1e-8
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_draws_are_a_function_of_their_key_whatever_the_other_rows(name):
    made = family(name)
    raw = outputs(made)
    parameters = made.parameters(raw)
    shared = made.draw(parameters, keys_of(4)).z
    np.testing.assert_array_equal(made.draw(parameters, keys_of(4)).z, shared)
    assert np.abs(made.draw(parameters, keys_of(4, seed=6)).z - shared).max() > 0.1
    own = random.fold_in(keys_of(3)[None], tf.range(4)[:, None])  # [S, n, 2]
    whole = made.draw(parameters, own)
    part = made.draw(made.parameters(raw[1:2]), own[2:3, 1:2])
    np.testing.assert_allclose(part.z[0, 0], whole.z[2, 1], rtol=1e-12)
    np.testing.assert_allclose(part.log_q[0, 0], whole.log_q[2, 1], rtol=1e-12)


@pytest.mark.parametrize("name", ["diagonal", "full", "iaf", "concrete"])
def test_gradients_of_draws_and_densities_are_those_of_differences(name):
    made = family(name)
    raw = outputs(made, rows=2)
    weights = tf.constant(np.random.default_rng(2).normal(size=(3, 2, DIM)))

    def value(raw):
        z, log_q = made.draw(made.parameters(raw), keys_of(3))
        return tf.reduce_sum(weights * z) + tf.reduce_sum(tf.sin(log_q))

    with tf.GradientTape() as tape:
        tape.watch(raw)
        total = value(raw)
    gradient = tape.gradient(total, raw).numpy()
    for i, j in [(0, 0), (1, DIM - 1), (0, made.units - 1), (1, made.units // 2)]:
        step = np.zeros(raw.shape)
        step[i, j] = 1e-6
        difference = (value(raw + step) - value(raw - step)) / 2e-6
        np.testing.assert_allclose(gradient[i, j], difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["diagonal", "full"])
@pytest.mark.parametrize("shape", ["standard", "shifted"])
def test_kl_is_that_of_tfp_and_of_draws(name, shape):
    made = family(name)
    raw = outputs(made)
    parameters = made.parameters(raw)
    loc, scale = (
        (0.0, 1.0) if shape == "standard" else ([0.5, -1.0, 0.0, 2.0], [0.5, 1.0, 2.0, 3.0])
    )
    normal = tfd.Normal(tf.constant(loc, tf.float64), tf.constant(scale, tf.float64))
    prior = tfd.Sample(normal, DIM) if shape == "standard" else tfd.Independent(normal, 1)
    parts = made.kl(parameters, prior)
    assert parts.shape == (3, DIM if name == "diagonal" else 1)
    kl = tf.reduce_sum(parts, axis=-1)
    whole = np.broadcast_to(loc, DIM), np.broadcast_to(scale, DIM)
    same = tfd.MultivariateNormalTriL(whole[0], np.diag(whole[1]))
    expected = tfd.kl_divergence(made.distribution(parameters), same)
    np.testing.assert_allclose(kl, expected, rtol=1e-10)
    z, log_q = made.draw(parameters, keys_of(20_000))
    terms = log_q - prior.log_prob(z)
    error = np.std(terms, axis=0) / np.sqrt(20_000)
    assert np.all(np.abs(np.mean(terms, axis=0) - kl) < 4 * error)


@pytest.mark.parametrize("name", ["diagonal", "full", "iaf"])
def test_there_is_no_closed_kl_with_other_priors(name):
    made = family(name)
    prior = tfd.Sample(tfd.Laplace(tf.constant(0.0, tf.float64), 1.0), DIM)
    assert made.kl(made.parameters(outputs(made)), prior) is None


# -- full --------------------------------------------------------------------------------------


def test_full_has_the_covariance_of_its_factor():
    made = family("full")
    raw = outputs(made, rows=1)
    loc, tril = made.parameters(raw)
    assert made.units == DIM + DIM * (DIM + 1) // 2
    np.testing.assert_array_equal(np.triu(tril[0], 1), 0.0)
    raw_diagonal = np.diag(tfp.math.fill_triangular(raw[0, DIM:]))
    np.testing.assert_allclose(np.diag(tril[0]), np.log1p(np.exp(raw_diagonal)), rtol=1e-12)
    covariance = tril[0].numpy() @ tril[0].numpy().T
    z, log_q = made.draw(made.parameters(raw), keys_of(20_000))
    oracle = stats.multivariate_normal(loc[0], covariance)
    np.testing.assert_allclose(log_q[:50, 0], oracle.logpdf(z[:50, 0]), rtol=1e-10)
    error = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / 20_000)
    assert np.all(np.abs(np.cov(z[:, 0].numpy().T) - covariance) < 4 * error)


# -- inverse autoregressive flow ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "hidden"), [(1, (3,)), (4, (9,)), (5, (3,)), (3, ()), (4, (8, 6))]
)
@pytest.mark.parametrize("backward", [False, True])
def test_masks_let_each_output_see_the_elements_before_it_alone(size, hidden, backward):
    made = autoregressive.masks(size, hidden, backward)
    paths = np.linalg.multi_dot(made) if len(made) > 1 else made[0]
    reached = paths.reshape(size, 2, size) > 0
    order = np.arange(size)[::-1] if backward else np.arange(size)
    before = order[:, None] < order[None]
    assert not np.any(reached & ~before[:, None])
    if not hidden or min(hidden) >= size:
        np.testing.assert_array_equal(reached[:, 0], before)
        np.testing.assert_array_equal(reached[:, 1], before)


def test_each_step_of_the_flow_has_a_triangular_jacobian_and_its_determinant():
    made = latents.get("iaf", DIM, {"layers": 3, "hidden": (8, 8), "context": 3}, seed=4)
    context = tf.constant(np.random.default_rng(0).normal(size=(1, 3)))
    z = tf.constant(np.random.default_rng(1).normal(size=(1, DIM)))
    for t, step in enumerate(made.steps()):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(z)
            after, log_det = autoregressive.forward(step, z, context)
        J = tape.jacobian(after, z, experimental_use_pfor=False)[0, :, 0].numpy()
        above = np.triu(J, 1) if t % 2 == 0 else np.tril(J, -1)
        below = np.tril(J, -1) if t % 2 == 0 else np.triu(J, 1)
        np.testing.assert_array_equal(above, 0.0)
        assert np.count_nonzero(below) == DIM * (DIM - 1) // 2
        assert np.all((np.diag(J) > 0) & (np.diag(J) < 1))  # gates
        np.testing.assert_allclose(np.linalg.slogdet(J)[1], log_det[0], rtol=1e-10)
        np.testing.assert_allclose(autoregressive.inverse(step, after, context), z, rtol=1e-9)
        z = after


def test_the_flows_density_is_the_normals_over_the_jacobian_of_the_whole_map():
    made = family("iaf", seed=2)
    loc, scale, context = made.parameters(outputs(made, rows=1))
    eps = tf.constant(np.random.default_rng(3).normal(size=(1, DIM)))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(eps)
        z = loc + scale * eps
        for step in made.steps():
            z, _ = autoregressive.forward(step, z, context)
    J = tape.jacobian(z, eps, experimental_use_pfor=False)[0, :, 0].numpy()
    expected = stats.norm.logpdf(eps.numpy()).sum() - np.linalg.slogdet(J)[1]
    parameters = made.parameters(outputs(made, rows=1))
    np.testing.assert_allclose(made.log_prob(parameters, z[None])[0, 0], expected, rtol=1e-9)


def test_the_flows_density_integrates_to_one():
    made = latents.get("iaf", 2, {"hidden": (8,), "context": 2}, seed=3)
    parameters = made.parameters(outputs(made, rows=1))
    grid = np.linspace(-9.0, 9.0, 181)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1)
    density = np.exp(made.log_prob(parameters, tf.constant(points.reshape(-1, 1, 2))))
    inner = integrate.simpson(density.reshape(181, 181), x=grid)
    np.testing.assert_allclose(integrate.simpson(inner, x=grid), 1.0, atol=1e-4)


def test_the_flows_weights_come_from_the_seed():
    one, same, other = (family("iaf", seed).get_weights() for seed in (1, 1, 2))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(np.abs(a - b).max() > 0 for a, b in zip(one, other, strict=True))


def test_the_flows_mean_is_the_image_of_no_noise():
    made = family("iaf")
    parameters = made.parameters(outputs(made))
    with random.frozen():
        z = made.draw(parameters, keys_of(1)).z
    np.testing.assert_allclose(made.mean(parameters), z[0], rtol=1e-12)


# -- errors, and the families in a VAE ---------------------------------------------------------


def test_bad_options_of_a_family_are_refused():
    with pytest.raises(errors.UnknownNameError, match="diagonal"):
        latents.get("diagonl", 2)
    with pytest.raises(errors.OptionsError, match="a multiple of classes=3"):
        latents.get("concrete", 4, {"classes": 3})
    with pytest.raises(errors.OptionsError, match="latent_dim=1"):
        latents.get("concrete", 1)
    with pytest.raises(errors.OptionsError, match="temperature"):
        latents.get("concrete", 4, {"temperature": 0.0})
    with pytest.raises(errors.OptionsError, match="no relaxed density"):
        latents.get("concrete", 4, {"straight_through": True, "kl": "relaxed"})
    with pytest.raises(errors.OptionsError, match=r"Received: hidden=\(0,\)"):
        latents.get("iaf", 4, {"hidden": (0,)})
    with pytest.raises(errors.OptionsError, match="hiden"):
        latents.get("iaf", 4, {"hiden": (8,)})


def vae(name, seed=3, **options):
    word, own = FAMILIES[name]
    units = latents.get(word, DIM, own).units
    encoder, decoder = mlp_encoder((5,), units, (6,)), mlp_decoder(DIM, (5,), (6,))
    return VAE(encoder, decoder, DIM, posterior=word, posterior_options=own, seed=seed, **options)


def test_a_vae_refuses_what_its_family_has_not():
    with pytest.raises(errors.OptionsError, match="posterior='iaf'"):
        vae("iaf", importance_weighted=True, gradient="doubly_reparameterised")
    with pytest.raises(errors.OptionsError, match="uniform classes"):
        vae("concrete", prior=tfbdl.prior("normal"))
    for name in ("concrete", "iaf"):
        with pytest.raises(errors.OptionsError, match=f"estimator='B' needs.*posterior='{name}'"):
            vae(name, estimator="B")
    doubly = {"importance_weighted": True, "gradient": "doubly_reparameterised"}
    vae("concrete", **doubly)
    with pytest.raises(errors.OptionsError, match=r"smooth function.*straight-through draws"):
        vae("straight_through", **doubly)


@pytest.mark.parametrize("name", ["full", "iaf", "concrete", "straight_through"])
def test_the_loss_of_a_vae_of_each_family_moves_all_its_weights(name):
    model = vae(name)
    x = (np.random.default_rng(0).random((12, 5)) < 0.4).astype(float)
    with tf.GradientTape() as tape:
        loss = loss_of(model, x)
    assert np.isfinite(loss)
    gradients = tape.gradient(loss, model.trainable_variables)
    for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert np.abs(gradient).max() > 0, weight.path


def test_a_vae_with_a_flow_is_stored_with_the_flows_weights(tmp_path):
    model = vae("iaf")
    x = (np.random.default_rng(0).random((12, 5)) < 0.4).astype(float)
    for net in model.latent_posterior.trainable_variables:
        net.assign_add(0.1 * tf.ones_like(net))
    model.save(tmp_path / "model.keras")
    with eagerly():
        codes = model.codes(x)
        np.testing.assert_array_equal(tfbdl.load(tmp_path / "model.keras").codes(x), codes)
        np.testing.assert_array_equal(model.clone().codes(x), codes)
        assert np.abs(model.clone(seed=9).codes(x) - codes).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "units", "own"),
    [
        ({"posterior": "full"}, 6 + 21, {}),
        ({"posterior": "iaf", "flow_layers": 3}, 12 + 16, {"layers": 3}),
        ({"posterior": "concrete"}, 6, {"classes": None, "straight_through": False}),
        (
            {"posterior": "concrete", "classes": 3, "temperature": 0.4, "straight_through": True},
            6,
            {"classes": 3, "temperature": 0.4, "straight_through": True},
        ),
    ],
)
def test_a_model_by_name_takes_the_options_of_its_family(options, units, own):
    rows = (np.random.default_rng(0).random((12, 5)) < 0.4).astype(float)
    options = {"latent_dim": 6, "hidden": (4,), **options}
    model = tfbdl.build("vae", rows, model_options=options, seed=2)
    assert model.encoder.output_shape[-1] == units
    assert own.items() <= model.latent_posterior.options.model_dump().items()
    assert np.isfinite(loss_of(model, rows))
