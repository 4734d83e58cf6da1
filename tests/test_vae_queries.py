"""Walks through codes, imputation and held-out figures against formulas of linear models."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tfbdl_vae
from scipy import stats
from vae_by_name import eagerly
from vae_cases import (
    MEAN,
    NOISE,
    W,
    binary,
    dense,
    linear_nets,
    linear_vae,
    log_marginal,
    marginal,
    nets,
    vae,
)

from tfbdl import errors, likelihoods
from tfbdl.distributions import Prior
from tfbdl.protocols import HeldOut
from tfbdl.specs import NoOptions

tfb, tfd = tfp.bijectors, tfp.distributions


def rows(n=3, seed=0):
    drawn = stats.multivariate_normal(*marginal()).rvs(n, random_state=seed)
    return drawn.reshape(n, 4).astype("float32")


def codes_of(means):
    """The codes whose means under the linear decoder these are."""
    return (means - MEAN) @ np.linalg.pinv(W).T


@pytest.fixture(scope="module")
def linear():
    return linear_vae(estimator="A")


@pytest.fixture(scope="module")
def autoencoder():
    encoder, decoder = linear_nets()
    halved = encoder.layers[0].kernel.numpy()[:, :2], encoder.layers[0].bias.numpy()[:2]
    gaussian = likelihoods.Gaussian(scale=NOISE)
    return tfbdl_vae.AutoEncoder(dense(*halved), decoder, 2, gaussian, seed=0)


# -- walks -------------------------------------------------------------------------------------


def test_traverse_moves_one_dimension_from_the_priors_mean(linear):
    means = linear.traverse()
    assert means.shape == (2, 7, 4)
    for j in range(2):
        expected = MEAN + np.arange(-3.0, 4.0)[:, None] * W[:, j]
        np.testing.assert_allclose(means[j], expected, atol=1e-5)


def test_traverse_stays_at_the_code_of_a_row_or_at_a_code(linear):
    x = rows(1)
    start = (x[0] - MEAN) @ (W / (np.sum(W**2, axis=0) + NOISE**2))
    for given in (x, x[0]):
        means = linear.traverse(given, latents=[1], values=[0.5, -2.0])
        found = codes_of(means[0])
        np.testing.assert_allclose(found[:, 0], start[0], atol=1e-5)
        np.testing.assert_allclose(found[:, 1], [0.5, -2.0], atol=1e-5)
    found = codes_of(linear.traverse(z=[0.3, 0.7], values=[2.0]))
    np.testing.assert_allclose(found[:, 0], [[2.0, 0.7], [0.3, 2.0]], atol=1e-5)


def test_traverse_refuses_what_is_no_start_and_no_path(linear):
    with pytest.raises(errors.DataError, match=r"a row x or a code z. Received: both"):
        linear.traverse(rows(1), z=[0.0, 0.0])
    with pytest.raises(errors.DataError, match=r"begins at one row. Received: 3 rows"):
        linear.traverse(rows(3))
    with pytest.raises(errors.DataError, match=r"codes \[n, 2\]"):
        linear.traverse(z=[0.0, 0.0, 0.0])
    with pytest.raises(errors.OptionsError, match=r"dimensions from 0 to 1. Received: \[2\]"):
        linear.traverse(latents=[2])
    with pytest.raises(errors.OptionsError, match=r"a list of finite numbers"):
        linear.traverse(values=[np.nan])


def test_interpolate_linear_goes_straight_from_code_to_code(linear):
    x = rows(4)
    means = linear.interpolate(x[:2], x[2:], steps=5)
    assert means.shape == (2, 5, 4)
    z = linear.codes(x)
    t = np.linspace(0, 1, 5)[:, None]
    for i in range(2):
        np.testing.assert_allclose(codes_of(means[i]), (1 - t) * z[i] + t * z[2 + i], atol=1e-5)


def test_interpolate_spherical_keeps_the_length_and_turns_evenly(linear):
    M = np.sum(W**2, axis=0) + NOISE**2
    angles = np.array([0.2, 1.7])
    z = 1.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    x = (MEAN + (z * M / np.sum(W**2, axis=0)) @ W.T).astype("float32")  # whose codes are z
    path = codes_of(linear.interpolate(x[:1], x[1:], steps=6, kind="spherical")[0])
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), 1.5, rtol=1e-4)
    turned = np.arctan2(path[:, 1], path[:, 0])
    np.testing.assert_allclose(turned, np.linspace(0.2, 1.7, 6), atol=1e-4)
    still = linear.interpolate(x, x, kind="spherical")
    np.testing.assert_allclose(still, np.repeat(still[:, :1], 10, axis=1), atol=1e-6)


def test_interpolate_refuses_unequal_rows_and_unknown_kinds(linear):
    with pytest.raises(errors.DataError, match=r"as many rows in x2 as in x1. Received: 2 and 1"):
        linear.interpolate(rows(2), rows(1))
    with pytest.raises(errors.OptionsError, match=r"Did you mean 'spherical'"):
        linear.interpolate(rows(2), rows(2), kind="sperical")
    with pytest.raises(
        errors.OptionsError, match=r"steps must be an integer of at least 2. Received: 1"
    ):
        linear.interpolate(rows(2), rows(2), steps=1)


def test_manifold_decodes_a_grid_of_normal_quantiles(linear):
    grid = linear.manifold(steps=4)
    assert grid.shape == (4, 4, 4)
    points = stats.norm.ppf([0.125, 0.375, 0.625, 0.875])
    for i in range(4):
        for j in range(4):
            expected = MEAN + W @ [points[i], points[j]]
            np.testing.assert_allclose(grid[i, j], expected, atol=1e-5)


def test_manifold_of_three_dimensions_is_refused():
    model = tfbdl_vae.VAE(*nets(units=3, latent_dim=3), 3, seed=0)
    with pytest.raises(errors.ModelError, match=r"Expected: latent_dim=2.*Received: latent_dim=3"):
        model.manifold()


class Skewed(Prior):
    """Elements whose logarithm is normal, seen through a bijector: TFP knows no mean of it."""

    def element(self, shape, dtype, name, **parameters):
        return tfd.TransformedDistribution(tfd.Normal(0.0, 0.5), tfb.Exp())


def test_quantiles_of_another_prior_are_those_of_its_draws():
    model = linear_vae(prior=Skewed(NoOptions()))
    levels = np.array([0.1, 0.5, 0.9])
    exact = stats.lognorm(0.5)
    width = np.sqrt(levels * (1 - levels) / 10_000) / exact.pdf(exact.ppf(levels))
    found = model.prior_quantiles(levels)
    assert (np.abs(found - exact.ppf(levels)[:, None]) < 4 * width[:, None]).all()
    assert np.abs(model.prior_mean() - exact.mean()).max() < 4 * exact.std() / 100
    with pytest.raises(errors.OptionsError, match=r"lie between 0 and 1"):
        model.prior_quantiles([0.0])


def test_an_autoencoder_walks_where_it_is_told_and_has_no_prior(autoencoder):
    x = rows(4)
    with pytest.raises(errors.ModelError, match=r"AutoEncoder has no prior of its codes"):
        autoencoder.traverse(x[0])
    with pytest.raises(errors.ModelError, match=r"AutoEncoder has no prior of its codes"):
        autoencoder.manifold()
    means = autoencoder.traverse(x[0], values=[1.0])
    np.testing.assert_allclose(np.diag(codes_of(means[:, 0])), [1.0, 1.0], atol=1e-5)
    assert autoencoder.interpolate(x[:2], x[2:], steps=3).shape == (2, 3, 4)
    assert not hasattr(autoencoder, "impute")


# -- imputation --------------------------------------------------------------------------------


def test_impute_draws_from_the_exact_conditional(linear):
    draws = 8_000
    x = np.concatenate([rows(1), np.full((1, 4), np.nan)]).astype("float64")
    x[0, [1, 3]] = np.nan
    found = linear.impute(x, steps=40, draws=draws, seed=3)
    assert found.shape == (draws, 2, 4)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found[:, 0, [0, 2]], np.tile(x[0, [0, 2]], (draws, 1)))
    mean, C = marginal()
    o, m = [0, 2], [1, 3]
    gain = C[np.ix_(m, o)] @ np.linalg.inv(C[np.ix_(o, o)])
    given = mean[m] + gain @ (x[0, o] - mean[o]), C[np.ix_(m, m)] - gain @ C[np.ix_(o, m)]
    for drawn, (centre, cov) in ((found[:, 0][:, m], given), (found[:, 1], (mean, C))):
        variance = np.diag(cov)
        z = (drawn.mean(axis=0) - centre) / np.sqrt(variance / draws)
        assert np.abs(z).max() < 4
        error = np.sqrt((np.outer(variance, variance) + cov**2) / draws)
        assert np.abs((np.cov(drawn.T) - cov) / error).max() < 4


def test_impute_begins_with_draws_of_the_model_and_is_a_function_of_the_seed(linear):
    x = rows(2)
    mask = np.zeros((2, 4), bool)
    mask[:, 1:] = True
    first = linear.impute(x, steps=3, draws=2, seed=1, mask=mask)
    np.testing.assert_array_equal(first, linear.impute(np.where(mask, np.nan, x), 3, 2, 1))
    assert not np.array_equal(first, linear.impute(x, 3, 2, 2, mask=mask))
    average = linear.impute(x, 3, 2, 1, mask=mask, mean=True)
    np.testing.assert_allclose(average, first.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(linear.impute(x, 2)[0], x)  # nothing is missing


def test_impute_leaves_observed_grey_values_and_draws_binary_ones():
    x = binary(3)
    x[:, 0], x[:, 3:] = 0.3, np.nan
    with eagerly():
        found = vae().impute(x, steps=5, draws=20)
    np.testing.assert_array_equal(found[..., 0], np.float32(0.3))
    assert set(np.unique(found[..., 3:])) == {0.0, 1.0}


def test_impute_refuses_bad_masks_rows_and_numbers(linear):
    x = rows(2)
    with pytest.raises(errors.DataError, match=r"boolean, of the shape of x \[2, 4\].*int64"):
        linear.impute(x, mask=np.zeros((2, 4), int))
    with pytest.raises(errors.DataError, match=r"shape of x \[2, 4\].*shape \[4\]"):
        linear.impute(x, mask=np.zeros(4, bool))
    with pytest.raises(errors.DataError, match=r"x of shape \[n, 4\]. Received: shape \[2, 3\]"):
        linear.impute(x[:, :3])
    with pytest.raises(errors.DataError, match=r"must be finite"):
        linear.impute(np.where(np.eye(2, 4) > 0, np.nan, x), mask=np.zeros((2, 4), bool))
    with pytest.raises(
        errors.OptionsError, match=r"draws must be an integer of at least 1. Received: 0"
    ):
        linear.impute(x, draws=0)
    with pytest.raises(errors.DataError, match=r"rows of numbers"):
        linear.impute(np.zeros(4))


def test_the_mean_of_labels_is_not_imputed():
    model = tfbdl_vae.VAE(*nets(outputs=6, inputs=6), 2, "categorical")
    with pytest.raises(errors.OptionsError, match=r"Labels have no mean.*mean=True"):
        model.impute(np.zeros((2, 6)), mean=True)


# -- counts and codes --------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1.5, "3", True, 0, None])
def test_counts_are_whole_numbers(linear, count):
    x = rows(2)
    asked = {
        "latent_dim": lambda: tfbdl_vae.VAE(*linear_nets(), count),
        "num_samples": lambda: linear_vae(num_samples=count),
        "The number of draws": lambda: linear.log_marginal(x, k=count),
        "n": lambda: linear.sample(count),
        "draws": lambda: linear.impute(x, draws=count),
        "steps": lambda: linear.interpolate(x, x, count),
    }
    for name, ask in asked.items():
        with pytest.raises(errors.OptionsError, match=rf"^{name} must be an integer.*{count!r}\.$"):
            ask()


def test_codes_and_dimensions_of_other_kinds_are_refused(linear):
    for codes in (np.zeros((0, 2)), "a", 1.0, [["a", "b"]], None):
        with pytest.raises(errors.DataError, match=r"codes \[n, \.\.\.\]: numbers, of one row"):
            linear.decode(codes)
    for latents in (0, [], ["a"], [True], [0.0], [2], [-1]):
        with pytest.raises(errors.OptionsError, match=r"latents must be a list of dimensions"):
            linear.traverse(latents=latents)
    with pytest.raises(errors.OptionsError, match=r"values must be a list of finite numbers"):
        linear.traverse(values=["a"])


def test_an_autoencoder_names_codes_where_a_distribution_is_asked_for():
    encoder, decoder = dense(np.eye(2), [0, 0]), dense(np.eye(2), [0, 0])
    with pytest.raises(errors.ModelError, match=r"no distribution q\(z \| x\).*Give codes\(x\)"):
        tfbdl_vae.AutoEncoder(encoder, decoder, 2).encode(np.zeros((1, 2)))


# -- figures -----------------------------------------------------------------------------------


def kl_and_noise(x):
    """The KL of each row by latent dimension, and the variance of log p(x | z) over z."""
    squares = np.sum(W**2, axis=0)  # the columns of W are orthogonal
    variance = NOISE**2 / (squares + NOISE**2)
    mean = (x - MEAN) @ W / (squares + NOISE**2)
    slope = (x - MEAN - mean @ W.T) @ W / NOISE**2
    bend = 0.5 * np.sum((squares / NOISE**2 * variance) ** 2)
    return 0.5 * (mean**2 + variance - 1.0 - np.log(variance)), slope**2 @ variance + bend


def test_held_out_figures_are_the_exact_ones_where_the_bound_is_tight(linear):
    x = rows(50)
    assert isinstance(linear, HeldOut)
    with eagerly():
        figures, sums = linear.held_out(x), linear.elbo_total(x, draws=10)
        assert linear.log_marginal(x, k=1).sum() == pytest.approx(log_marginal(x).sum(), abs=5e-3)
    assert set(figures) == {"elbo", "reconstruction", "kl"}
    kl, noise = kl_and_noise(x)
    assert figures["kl"] == pytest.approx(kl.sum(axis=1).mean(), rel=1e-5)  # by no draws
    error = np.sqrt(noise.sum() / 5) / 50
    assert figures["elbo"] == pytest.approx(log_marginal(x).mean(), abs=4 * error)
    assert figures["elbo"] == pytest.approx(figures["reconstruction"] - figures["kl"])
    assert sums == pytest.approx(log_marginal(x).sum(), abs=4 * np.sqrt(noise.sum() / 10))
    assert linear.decoder_kl() == 0.0


def test_the_kl_of_a_latent_dimension_asks_the_encoder_alone(monkeypatch):
    x, model = rows(7), linear_vae()
    monkeypatch.setattr(model, "outputs", None)
    with eagerly():
        found = model.kl_per_dimension(x)
    np.testing.assert_allclose(found, kl_and_noise(x)[0].mean(axis=0), rtol=1e-5)
    full = tfbdl_vae.VAE(*nets(), 2, prior="gaussian_mixture", seed=0)
    with pytest.raises(errors.OptionsError, match="parts into latent dimensions"):
        full.kl_per_dimension(binary(2))


# -- shapes ------------------------------------------------------------------------------------


def test_an_encoder_of_rows_of_any_length_is_asked_for_each():
    layers = keras.layers
    encoder = keras.Sequential(
        [keras.Input((None, 3)), layers.GlobalAveragePooling1D(), layers.Dense(4)]
    )
    decoder = keras.Sequential([keras.Input((2,)), layers.Dense(12), layers.Reshape((4, 3))])
    model = tfbdl_vae.VAE(encoder, decoder, 2, likelihoods.Gaussian(scale=1.0), seed=0)
    pixels = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    longer = np.concatenate([pixels, pixels], axis=1)  # of the same average
    short, long = (model.query("codes", tf.constant(x))(x) for x in (pixels, longer))
    np.testing.assert_allclose(long, short, rtol=1e-5)
    np.testing.assert_allclose(model.codes(pixels), short, rtol=1e-6)
    model.compile()
    wrong = r"decoder gives outputs \[n, 4, 3\].*takes \[n, 8, 3\] for x.*shape \[2, 8, 3\]"
    for refuse in (model.fit, model.elbo):
        with pytest.raises(errors.DataError, match=wrong):
            refuse(longer)
