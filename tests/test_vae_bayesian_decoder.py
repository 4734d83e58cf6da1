"""A decoder whose weights are random: its share of the loss, its draws, its copies."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tfbdl_vae
from scipy import stats
from vae_cases import MEAN, NOISE, W, binary, dense, linear_nets, marginal, nets, raw

import tfbdl
from tfbdl import errors, likelihoods
from tfbdl.inference.elbo import KLSchedule
from tfbdl.testing import frozen_noise

PRIOR_SCALE = 2.0
WEIGHT_SCALE = 0.3


def bayesian(net, likelihood="bernoulli", **options):
    """A decoder with a normal prior, whose weights have the standard deviation WEIGHT_SCALE."""
    options.setdefault("posterior_options", {"initial_raw_scale": float(raw(WEIGHT_SCALE))})
    prior = tfbdl.prior("normal", scale=PRIOR_SCALE)
    return tfbdl.BayesianNetwork(net, likelihood, prior, **options)


def small(model=tfbdl_vae.VAE, **options):
    """A small VAE, or auto-encoder, with a Bayesian decoder."""
    encoder, decoder = nets(units=1 if model is tfbdl_vae.AutoEncoder else 2)
    return model(encoder, bayesian(decoder, **options.pop("decoder", {})), 2, seed=0, **options)


def linear(**options):
    """PPCA's nets, the decoder's weights random about PPCA's."""
    encoder, decoder = linear_nets()
    gaussian = likelihoods.Gaussian(scale=NOISE)
    return tfbdl_vae.VAE(encoder, bayesian(decoder, gaussian), 2, gaussian, seed=0, **options)


def kl_by_hand(weights, scale=WEIGHT_SCALE):
    """KL of independent normals from N(0, PRIOR_SCALE^2), in nats."""
    mean = np.concatenate([np.ravel(w) for w in weights]).astype("float64")
    terms = (mean**2 + scale**2) / PRIOR_SCALE**2 - 1 - 2 * np.log(scale / PRIOR_SCALE)
    return 0.5 * terms.sum()


# -- a step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [tfbdl_vae.VAE, tfbdl_vae.AutoEncoder])
def test_one_step_follows_the_gradient_of_the_loss_written_by_hand(model):
    x, rate = binary(10), 0.1
    made = small(model)
    both = made.encoder.get_weights() + made.decoder.net.get_weights()
    weights = [w.astype("float64") for w in both]
    scales = [np.full(w.shape, raw(WEIGHT_SCALE)) for w in weights[4:]]
    values = [tf.constant(v) for v in (*weights, *scales)]
    with tf.GradientTape() as tape:
        tape.watch(values)
        A, a, B, b, C, c, D, d = values[:8]
        h = tf.tanh(x.astype("float64") @ A + a) @ B + b
        mu = h[:, :2]
        logits = tf.tanh(mu @ C + c) @ D + d  # without noise z and the weights are their means
        nll = tf.nn.sigmoid_cross_entropy_with_logits(x.astype("float64"), logits)
        loss = tf.reduce_sum(nll) / 10
        if model is tfbdl_vae.VAE:
            sigma = tf.nn.softplus(h[:, 2:])
            loss += tf.reduce_sum(mu**2 + sigma**2 - 1 - 2 * tf.math.log(sigma)) / 20
        kl = tf.zeros((), tf.float64)
        for mean, rho in zip(values[4:8], values[8:], strict=True):
            s = tf.nn.softplus(rho) / PRIOR_SCALE
            kl += 0.5 * tf.reduce_sum((mean / PRIOR_SCALE) ** 2 + s**2 - 1 - 2 * tf.math.log(s))
        loss += kl / 10
    expected = [v - rate * g for v, g in zip(values, tape.gradient(loss, values), strict=True)]
    made.compile(keras.optimizers.SGD(rate), run_eagerly=True)
    with frozen_noise():
        history = made.fit(x, batch_size=10, verbose=0, shuffle=False).history
    assert history["loss"][0] == pytest.approx(float(loss), rel=1e-5)
    assert history["decoder_kl"][0] == pytest.approx(kl_by_hand(weights[4:]), rel=1e-5)
    assert float(kl) == pytest.approx(kl_by_hand(weights[4:]))
    raw_scales = made.decoder.surrogate.raw_scales.values()
    found = [*made.encoder.weights, *made.decoder.net.weights, *raw_scales]
    for value, after, before in zip(found, expected, values, strict=True):
        np.testing.assert_allclose(value.numpy(), after, rtol=2e-4, atol=2e-6)
        assert np.abs(value.numpy() - before).max() > 1e-5  # every one of them is trained


def test_the_kl_of_the_weights_is_in_the_loss_of_evaluations_and_weighed():
    x = binary(10)
    schedule = KLSchedule(0.5)
    for weight, factor in ((1.0, 1.0), (schedule, 0.5)):
        model = small(decoder={"kl_weight": weight}, num_data=40)
        model.compile(run_eagerly=True)
        with frozen_noise():
            figures = model.evaluate(x, verbose=0, return_dict=True)
        share = factor * kl_by_hand(model.decoder.net.get_weights()) / 40
        assert figures["loss"] == pytest.approx(share - figures["elbo"], rel=1e-4)


def test_layers_with_a_state_or_a_loss_of_their_own_train_as_elsewhere():
    encoder, _ = nets()
    layers = keras.layers
    net = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(3, activity_regularizer=keras.regularizers.L2(0.5)),
            layers.BatchNormalization(),
            layers.Dense(6),
        ]
    )
    model = tfbdl_vae.VAE(encoder, bayesian(net), 2, seed=0)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    with frozen_noise():
        history = model.fit(binary(8), verbose=0).history
    assert np.abs(net.layers[1].moving_mean.numpy()).max() > 1e-6
    explained = history["decoder_kl"][0] / 8 - history["elbo"][0]
    hidden = model.encoder(binary(8)).numpy()[:, :2] @ net.layers[0].kernel.numpy()
    penalty = 0.5 * np.sum(hidden**2) / 8
    assert history["loss"][0] == pytest.approx(explained + penalty, rel=1e-5)


# -- queries -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known():
    """To be asked, not to be trained."""
    return linear()


def test_bounds_average_over_draws_of_the_weights(known):
    model = known
    x = stats.multivariate_normal(*marginal()).rvs(3, random_state=1).astype("float32")
    M = np.sum(W**2, axis=0) + NOISE**2
    mu = (x - MEAN) @ (W / M)
    second = mu**2 + NOISE**2 / M  # E[z_j^2]
    residual = x - MEAN - mu @ W.T
    spread = (NOISE**2 / M) @ (W**2).T + WEIGHT_SCALE**2 * (second.sum(1)[:, None] + 1.0)
    squares = np.sum(residual**2 + spread, axis=1) / NOISE**2
    exact = -0.5 * squares - 4 * np.log(NOISE * np.sqrt(2 * np.pi))
    runs = np.stack([model.elbo_parts(x, draws=40, seed=s)["reconstruction"] for s in range(12)])
    error = runs.std(axis=0, ddof=1) / np.sqrt(12)
    assert np.abs((runs.mean(axis=0) - exact) / error).max() < 5  # t of 11 degrees of freedom
    kl = kl_by_hand(model.decoder.net.get_weights())
    assert model.decoder_kl() == pytest.approx(kl, rel=1e-5)
    total = model.elbo(x, 5).sum() - kl
    assert model.elbo_total(x, 5) == pytest.approx(total, rel=1e-5)


def test_the_noise_of_a_row_and_draw_does_not_depend_on_the_other_rows(known):
    model, x = known, binary(4)[:, :4]
    np.testing.assert_allclose(model.elbo(x, 7)[:2], model.elbo(x[:2], 7), rtol=1e-5)
    assert not np.allclose(model.elbo(x, 7, seed=1), model.elbo(x, 7))


@pytest.mark.slow
def test_each_sample_has_weights_of_its_own():
    """Were they shared, two columns would be correlated as these weights happen to be."""
    encoder, _ = linear_nets()
    gaussian = likelihoods.Gaussian(scale=0.1)
    decoder = bayesian(
        dense(np.zeros((2, 4)), np.zeros(4)),
        gaussian,
        posterior_options={"initial_raw_scale": float(raw(1.0))},
    )
    model = tfbdl_vae.VAE(encoder, decoder, 2, gaussian, seed=0)
    n = 3_000
    x = model.sample(n, seed=1)
    variance = 1.0 + 2.0 + 0.1**2  # of bias, kernels and noise
    fourth = 3 * (1.0 + 0.1**2) ** 2 + 6 * (1.0 + 0.1**2) * 2.0 + 24.0  # z has E|z|^4 = 8
    products = [x[:, i] * x[:, j] for i in range(4) for j in range(i)]
    for product in products:
        assert abs(product.mean()) < 4 * product.std() / np.sqrt(n)
    error = np.sqrt((fourth - variance**2) / n)
    assert np.abs(np.mean(x**2, axis=0) - variance).max() < 4 * error
    np.testing.assert_array_equal(model.sample(3, seed=2), model.sample(3, seed=2))


# -- copies ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_copies_and_files_say_the_same(tmp_path):
    model, x = small(), binary(4)
    model.decoder.surrogate.raw_scales["dense.kernel"].assign_add(0.1 * np.ones((2, 5)))
    expected = model.elbo(x, 3)
    model.decoder.rng_seed.assign(17)  # plays no part
    model.save(tmp_path / "model.keras")
    for copy in (model.clone(), tfbdl.load(tmp_path / "model.keras")):
        np.testing.assert_array_equal(copy.elbo(x, 3), expected)
    fresh = model.clone(seed=5)
    first, other = (one.decoder.net.get_weights()[0] for one in (model, fresh))
    assert not np.array_equal(first, other)
    found = fresh.decoder.surrogate.raw_scales["dense.kernel"]
    np.testing.assert_allclose(found, raw(WEIGHT_SCALE))


def test_a_learned_scale_is_the_decoders_and_is_trained():
    encoder, decoder = linear_nets()
    model = tfbdl_vae.VAE(encoder, bayesian(decoder, "gaussian"), 2, "gaussian", seed=0)
    assert not [w.path for w in model.weights if "likelihood" in w.path and "vae" in w.path]
    before = float(model.likelihood_parameters()["scale"])
    assert before == pytest.approx(0.5)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    model.fit(binary(8)[:, :4], verbose=0)
    assert float(model.likelihood_parameters()["scale"]) != pytest.approx(before, abs=1e-3)


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path):
    class Stop(Exception):
        pass

    def stop(metrics):
        if metrics["step"] >= 3:
            raise Stop

    options = {"hidden": (4,), "latent_dim": 2, "bayesian_decoder": True}
    engine = {"epochs": 5, "batch_size": 20, "checkpoint_seconds": 0.0, "steps_per_execution": 1}
    given = {"model_options": options, "engine_options": engine, "seed": 3}
    whole = tfbdl.fit("vae", binary(20), **given)
    with pytest.raises(Stop):
        tfbdl.fit("vae", binary(20), **given, out=tmp_path / "run", on_step=stop)
    resumed = tfbdl.resume(tmp_path / "run", data=binary(20))
    for one, other in zip(whole.model.weights, resumed.model.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert whole.history == resumed.history


def slopes(model, x, draws=1_200):
    """The loss's mean gradient by each raw scale, in units of its error: ``[weights]``.

    One draw's gradient is skewed, as a square of noise is: a few hundred draws are too few for z.
    """
    scales = [variable.value for variable in model.decoder.surrogate.raw_scales.values()]

    @tf.function
    def slope():
        with tf.GradientTape() as tape:
            model(x, training=True)
            loss = model.compute_loss(x)
        model.rng_step.assign_add(tf.ones((), tf.int64))
        return tf.concat([tf.reshape(g, [-1]) for g in tape.gradient(loss, scales)], axis=0)

    found = np.stack([slope().numpy() for _ in range(draws)])
    return found.mean(axis=0) / (found.std(axis=0) / np.sqrt(draws))


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 500])
def test_the_posterior_of_the_weights_shrinks_with_more_rows_as_it_should(n):
    """A weight's precision is ``sum_n E[z_j^2] / noise^2 + 1 / prior^2`` at the optimum."""
    x = stats.multivariate_normal(*marginal()).rvs(n, random_state=0).astype("float32")
    model = linear(num_data=n)
    M = np.sum(W**2, axis=0) + NOISE**2
    second = np.sum(((x - MEAN) @ (W / M)) ** 2 + NOISE**2 / M, axis=0)
    best = {
        "dense.kernel": np.tile(second[:, None], (1, 4)),
        "dense.bias": np.full(4, float(n)),
    }
    for factor in (1.0, 1.5):
        for name, squares in best.items():
            exact = 1 / np.sqrt(squares / NOISE**2 + 1 / PRIOR_SCALE**2)
            model.decoder.surrogate.raw_scales[name].assign(raw(factor * exact))
        found = slopes(model, x)
        assert np.abs(found).max() < 4 if factor == 1.0 else found.min() > 4


# -- refusals ----------------------------------------------------------------------------------


def test_another_likelihood_or_random_parameters_of_it_are_refused():
    encoder, decoder = linear_nets()
    given = bayesian(decoder, likelihoods.Gaussian(scale=0.5))
    with pytest.raises(errors.ModelError, match=r"Expected: Gaussian\(scale=0.6.*scale=0.5"):
        tfbdl_vae.VAE(encoder, given, 2, likelihoods.Gaussian(scale=0.6))
    with pytest.raises(errors.ModelError, match=r"Expected: Bernoulli.*Received: Gaussian"):
        tfbdl_vae.VAE(encoder, given, 2)
    sites = bayesian(decoder, "gaussian", sites=["dense.kernel", "likelihood.scale"])
    with pytest.raises(errors.OptionsError, match=r"weights may be random.*likelihood.scale"):
        tfbdl_vae.VAE(encoder, sites, 2, "gaussian")


def test_a_step_without_a_number_of_rows_is_refused():
    model = small()
    model.compile(run_eagerly=True)
    for verb in (model.train_on_batch, model.test_on_batch, model.evaluate):
        with pytest.raises(errors.DataError, match=r"Give VAE\(..., num_data=N\), or fit first"):
            verb(binary(4))
    assert small(decoder={"num_data": 30}).num_data == 30
