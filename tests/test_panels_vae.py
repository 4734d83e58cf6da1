"""The panels of auto-encoders: decodings, bounds and codes, against the model and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from tfbdl_vae.latent_views import latent_traversal, manifold, reconstructions
from tfbdl_vae.panel import ManifoldControls, ReconstructionControls, TraversalControls

import tfbdl
from tfbdl.data import as_dataset
from tfbdl.errors import ModelError
from tfbdl.fitted import Fit
from tfbdl.specs import RunSpec

RNG = np.random.default_rng(0)
ROWS = RNG.uniform(0.05, 0.95, size=(30, 16)).astype("float32")


def fit_of(name: str, x: np.ndarray = ROWS, known: bool = True, **options: Any) -> Fit:
    """An untrained model with weights large enough that codes differ."""
    data = as_dataset(x)
    chosen = {"hidden": (8,), "likelihood": "gaussian", **options}
    model = tfbdl.build(name, data, model_options=chosen, seed=1)
    model(x[:1])
    for variable in model.trainable_variables:
        variable.assign(0.5 * RNG.normal(size=variable.shape))
    fit = Fit(
        model=model,
        posterior=None,
        history={},
        metrics={},
        spec=RunSpec(model=name),
        info=data.info,
    )
    fit.given = (None, data if known else None)
    return fit


@pytest.fixture(scope="module")
def fit() -> Fit:
    return fit_of("vae", latent_dim=3)


def test_a_traversal_decodes_the_code_with_one_number_changed(fit: Fit) -> None:
    said = latent_traversal(fit, TraversalControls(row=4, dimension=1, reach=2.0))
    codes = np.tile(fit.model.codes(ROWS[4:5]), (11, 1))
    codes[:, int(said["dimension"])] = np.linspace(-2.0, 2.0, 11)
    expected = fit.model.decode(codes).mean().numpy()
    np.testing.assert_allclose(said["walk"].reshape(11, 16), expected, atol=1e-5)
    np.testing.assert_array_equal(said["original"], ROWS[4].reshape(1, 4, 4))
    place = list(said["latent"]).index(int(said["dimension"]))
    np.testing.assert_allclose(said["overview"][place], said["walk"], atol=1e-6)


def test_latents_are_ordered_by_their_kl(fit: Fit) -> None:
    q = fit.model.encode(ROWS)
    mean, sd = q.mean().numpy(), q.stddev().numpy()
    kl = (0.5 * (mean**2 + sd**2 - 1.0) - np.log(sd)).mean(axis=0)
    said = latent_traversal(fit, TraversalControls())
    assert list(said["latent"]) == list(np.argsort(-kl))
    assert int(said["dimension"]) == int(kl.argmax())
    beyond = latent_traversal(fit, TraversalControls(dimension=31))
    assert int(beyond["dimension"]) == int(kl.argmin())


def test_the_manifold_decodes_the_quantiles_of_the_prior(fit: Fit) -> None:
    said = manifold(fit, ManifoldControls(steps=5))
    quantiles = stats.norm.ppf((np.arange(5) + 0.5) / 5)
    np.testing.assert_allclose(said["first"], quantiles, atol=1e-6)
    np.testing.assert_allclose(said["second"], quantiles[::-1], atol=1e-6)
    code = np.zeros((1, 3))
    code[0, said["latents"][0]] = quantiles[4]  # the last column, the first row
    code[0, said["latents"][1]] = quantiles[4]
    corner = fit.model.decode(code).mean().numpy()[0]
    np.testing.assert_allclose(said["grid"][4].ravel(), corner, atol=1e-5)
    np.testing.assert_allclose(said["codes"], fit.model.codes(ROWS)[:, said["latents"]], atol=1e-6)


def test_parts_of_the_kl_add_up_to_it_and_the_bound_is_the_models(fit: Fit) -> None:
    said = reconstructions(fit, ReconstructionControls(first=28, rows=6))
    chosen = [28, 29, 0, 1, 2, 3]
    assert said["row_index"].tolist() == chosen
    q = fit.model.encode(ROWS[chosen])
    mean, sd = q.mean().numpy(), q.stddev().numpy()
    closed = 0.5 * (mean**2 + sd**2 - 1.0) - np.log(sd)
    np.testing.assert_allclose(said["kl_parts"], closed, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(said["kl"], closed.sum(axis=1), rtol=1e-4)
    expected = fit.model.elbo(ROWS[chosen], draws=20, seed=0)
    np.testing.assert_allclose(said["reconstruction"] - said["kl"], expected, rtol=1e-4)
    np.testing.assert_array_equal(said["original"], ROWS[chosen].reshape(6, 4, 4))


def test_a_latent_without_variance_over_rows_is_not_active() -> None:
    fit = fit_of("vae", latent_dim=3)
    kernel, bias = fit.model.encoder.weights[-2:]
    silent = kernel.numpy()
    silent[:, 1] = 0.0  # the mean of the second latent
    kernel.assign(silent)
    bias.assign(np.zeros(bias.shape))
    assert reconstructions(fit, ReconstructionControls())["active"].tolist() == [True, False, True]


def test_columns_of_a_table_are_in_their_own_standard_deviations() -> None:
    x = np.random.default_rng(3).normal(5.0, 2.0, (40, 3)).astype("float32")
    fit = fit_of("vae", x, latent_dim=2)
    said = reconstructions(fit, ReconstructionControls(rows=4))
    assert not bool(said["is_image"])
    np.testing.assert_allclose(
        said["original"], (x[:4] - x.mean(axis=0)) / x.std(axis=0), atol=1e-4
    )


@pytest.mark.parametrize("name", ["autoencoder", "vq_vae"])
def test_models_without_a_bound_show_their_scores(name: str) -> None:
    options = {"latent_dim": 2} if name == "autoencoder" else {"num_codes": 2, "codebook_size": 4}
    fit = fit_of(name, **options)
    said = reconstructions(fit, ReconstructionControls(rows=3))
    expected = fit.model.scores(ROWS[:3])
    np.testing.assert_allclose(said["reconstruction"], expected["reconstruction"], rtol=1e-5)
    assert ("commitment" in said) == (name == "vq_vae")
    np.testing.assert_allclose(
        said["given_back"].reshape(3, 16), fit.model.reconstruct(ROWS[:3]), rtol=1e-5
    )


def test_without_data_a_vae_shows_its_own_draws_and_an_autoencoder_refuses() -> None:
    said = reconstructions(fit_of("vae", known=False, latent_dim=2), ReconstructionControls())
    assert said["original"].shape == (10, 4, 4)
    with pytest.raises(ModelError, match="which no run stores"):
        reconstructions(fit_of("autoencoder", known=False, latent_dim=2), ReconstructionControls())
