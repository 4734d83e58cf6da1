"""MNIST by a small multilayer VAE; figures are of a fixed binarised test set unless they say so."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from benchmarks import parts
from tfbdl.data import Dataset, as_dataset

EPOCHS, BATCH, SEEDS = 10, 100, (0, 1, 2)
IMPORTANCE_ROWS, IMPORTANCE_DRAWS = 1_000, 1_000
IMPORTANCE = f"IW-{IMPORTANCE_DRAWS:,}, first 1,000 images"
GAIN = "importance-weighted minus ELBO, first 1,000 images"

Variants = Mapping[str, Mapping[str, Any]]

PRIORS: Variants = {
    "learned mixture of 100 Gaussians": {
        "prior": "gaussian_mixture",
        "prior_options": {"components": 100},
    },
    "VampPrior, 500 pseudo-inputs": {"prior": "vamp"},
    "stick-breaking, 100 components": {
        "prior": "stick_breaking",
        "prior_options": {"components": 100},
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
    """The VAE of Kingma & Welling with N(0, I): several seeds."""
    found = [figures(seed) for seed in SEEDS]
    parts.header("figure", "median", "range")
    for name in found[0]:
        if name != "history":
            values = [row[name] for row in found]
            middle, low, high = np.median(values), min(values), max(values)
            parts.row(name, f"{middle:.2f}", f"{low:.2f} to {high:.2f}")
    return {name: [row[name] for row in found] for name in found[0]}


def table(variants: Variants) -> dict[str, dict[str, list[Any]]]:
    """The same net with one thing changed."""
    columns = (
        "test ELBO",
        f"IW-{IMPORTANCE_DRAWS:,}, 1,000 images",
        "KL",
        "active units",
        "minutes",
    )
    parts.header("model", *columns)
    kept = {}
    for name, options in variants.items():
        found = [figures(seed, **options) for seed in SEEDS]
        shown = {column: [row[column] for row in found] for column in columns}
        kept[name] = shown
        digits = {"active units": 0, "minutes": 1}
        parts.row(name, *(parts.spread(v, digits.get(c, 2)) for c, v in shown.items()))
    return kept


def figures(seed: int, **options: Any) -> dict[str, Any]:
    """Train one model and score it."""
    from tfbdl_vae import VAE, latents

    train, test = digits()
    units = latents.get(options.get("posterior", "diagonal"), 20).units
    keras.utils.set_random_seed(seed)
    model = VAE(*nets(units), 20, seed=seed, **options)
    model.compile(keras.optimizers.Adam(1e-3))
    began = time.perf_counter()
    model.fit(train, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    minutes = (time.perf_counter() - began) / 60
    x = grey_test() if options.get("grey") == "mean" else test
    bound = model.elbo_parts(x, draws=10, seed=0)
    elbo = bound["reconstruction"] - bound["kl"]
    first = x[:IMPORTANCE_ROWS]
    tight = model.log_marginal(first, k=IMPORTANCE_DRAWS, seed=0)
    scores = model.evaluate(x, batch_size=500, verbose=0, return_dict=True)
    return {
        "test ELBO": float(elbo.mean()),
        IMPORTANCE: float(tight.mean()),
        GAIN: float(tight.mean() - elbo[:IMPORTANCE_ROWS].mean()),
        "KL": float(bound["kl"].mean()),
        "active units": float(scores["active_units"]),
        "minutes": minutes,
    }


def nets(units: int = 40) -> tuple[keras.Model, keras.Model]:
    """784-500-units and 20-500-784 with relu."""
    layers = keras.layers
    encoder = [keras.Input((784,)), layers.Dense(500, "relu"), layers.Dense(units)]
    decoder = [keras.Input((20,)), layers.Dense(500, "relu"), layers.Dense(784)]
    return keras.Sequential(encoder), keras.Sequential(decoder)


@functools.cache
def digits() -> tuple[Dataset, np.ndarray]:
    """Grey training images, and the test images binarised once."""
    import tfbdl
    from tfbdl.run import load_data

    data = load_data(tfbdl.plan("rbm", "mnist"))
    assert data is not None
    rng = np.random.default_rng(0)
    test = (rng.random(data.x_test.shape) < data.x_test).astype("float32")
    return as_dataset(data.x), test


def grey_test() -> np.ndarray:
    """The test images as they are."""
    import tfbdl
    from tfbdl.run import load_data

    data = load_data(tfbdl.plan("rbm", "mnist"))
    assert data is not None
    x: np.ndarray = data.x_test
    return x
