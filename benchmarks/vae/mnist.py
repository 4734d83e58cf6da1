"""MNIST by a small multilayer VAE; figures are of a fixed binarised test set unless they say so."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from tfbdl_vae import VAE, latents

import tfbdl
from benchmarks import parts
from tfbdl import functional
from tfbdl.data import Dataset, as_dataset
from tfbdl.errors import TfbdlWarning
from tfbdl.run import load_data

EPOCHS, BATCH, LATENT_DIM, SEEDS = 10, 100, 20, (0, 1, 2)
IMPORTANCE_ROWS, IMPORTANCE_DRAWS = 1_000, 1_000
IMPORTANCE = f"IW-{IMPORTANCE_DRAWS:,}, first 1,000 images"
GAIN = "importance-weighted minus ELBO, first 1,000 images"

COLUMNS = ("test ELBO", IMPORTANCE, GAIN, "KL", "active units", "minutes")
DIGITS = {"active units": 0, "minutes": 1}

Variants = Mapping[str, Mapping[str, Any]]

PRIORS: Variants = {
    "N(0, I)": {},
    "learned mixture of 100 Gaussians": {
        "prior": "gaussian_mixture",
        "components": 100,
    },
    "VampPrior, 500 pseudo-inputs": {"prior": "vamp"},
    "stick-breaking, 100 components": {
        "prior": "stick_breaking",
        "components": 100,
    },
    "normalising flow": {"prior": "normalizing_flow"},
}
POSTERIORS: Variants = {
    "full covariance": {"posterior": "full"},
    "inverse autoregressive flow": {"posterior": "iaf"},
}
BOUNDS: Variants = {
    "importance-weighted, K = 5": {"importance_weighted": True, "num_samples": 5},
    "the same, doubly reparameterised": {
        "importance_weighted": True,
        "num_samples": 5,
        "gradient": "doubly_reparameterised",
    },
}
GREY: Variants = {"grey levels as targets: a cross entropy, no likelihood": {"grey": "mean"}}


def plain() -> dict[str, list[Any]]:
    """The VAE of Kingma & Welling with N(0, I), and the same before training."""
    found = [figures(seed) for seed in SEEDS]
    before = [figures(seed, epochs=0) for seed in SEEDS]
    kept = {name: [row[name] for row in found] for name in COLUMNS}
    kept |= {f"{name}, untrained": [row[name] for row in before] for name in COLUMNS[:2]}
    parts.header("figure", "median", "range")
    for name, values in kept.items():
        middle, low, high = np.median(values), min(values), max(values)
        parts.row(name, f"{middle:.2f}", f"{low:.2f} to {high:.2f}")
    return kept


def table(variants: Variants) -> dict[str, dict[str, list[Any]]]:
    """The same net with one thing changed."""
    shown = [name for name in COLUMNS if name != GAIN]
    parts.header("model", *shown)
    kept = {}
    for name, options in variants.items():
        found = [figures(seed, **options) for seed in SEEDS]
        kept[name] = {column: [row[column] for row in found] for column in shown}
        cells = [parts.spread(v, DIGITS.get(c, 2)) for c, v in kept[name].items()]
        parts.row(name, *cells)
    return kept


@functools.cache
def figures(seed: int, epochs: int = EPOCHS, **options: Any) -> dict[str, float]:
    """Train one model and score it; options are of VAE, plain values."""
    train, test = digits()
    prior_options = {"components": options.pop("components")} if "components" in options else {}
    units = latents.get(options.get("posterior", "diagonal"), LATENT_DIM).units
    model = VAE(*nets(units, seed), LATENT_DIM, seed=seed, prior_options=prior_options, **options)
    model.compile(keras.optimizers.Adam(1e-3))
    began = time.perf_counter()
    if epochs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TfbdlWarning)  # that grey levels have no likelihood
            model.fit(train, batch_size=BATCH, epochs=epochs, verbose=0)
    minutes = (time.perf_counter() - began) / 60
    x = grey_test() if options.get("grey") == "mean" else test
    bound = model.elbo_parts(x, draws=10, seed=0)
    elbo = bound["reconstruction"] - bound["kl"]
    tight = model.log_marginal(x[:IMPORTANCE_ROWS], k=IMPORTANCE_DRAWS, seed=0)
    scores = model.evaluate(x, batch_size=500, verbose=0, return_dict=True)
    return {
        "test ELBO": float(elbo.mean()),
        IMPORTANCE: float(tight.mean()),
        GAIN: float(tight.mean() - elbo[:IMPORTANCE_ROWS].mean()),
        "KL": float(bound["kl"].mean()),
        "active units": float(scores["active_units"]),
        "minutes": minutes,
    }


def nets(units: int = 2 * LATENT_DIM, seed: int = 0) -> tuple[keras.Model, keras.Model]:
    """784-500-units and 20-500-784 with relu."""
    layers = keras.layers
    with functional.seeded(seed):
        encoder = [keras.Input((784,)), layers.Dense(500, "relu"), layers.Dense(units)]
        decoder = [keras.Input((LATENT_DIM,)), layers.Dense(500, "relu"), layers.Dense(784)]
        return keras.Sequential(encoder), keras.Sequential(decoder)


@functools.cache
def digits() -> tuple[Dataset, np.ndarray]:
    """Grey training images, and the test images binarised once."""
    rng = np.random.default_rng(0)
    test = (rng.random(_mnist().x_test.shape) < _mnist().x_test).astype("float32")
    return as_dataset(_mnist().x), test


def grey_test() -> np.ndarray:
    """The test images as they are."""
    x: np.ndarray = _mnist().x_test
    return x


@functools.cache
def _mnist() -> Dataset:
    data = load_data(tfbdl.plan("vae", "mnist"))
    assert data is not None
    return data
