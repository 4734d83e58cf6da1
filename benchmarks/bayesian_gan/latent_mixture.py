"""GANs whose noise is a learned mixture: what is recovered of a known one, by prior and gradient.

5,000 rows of three Gaussians in the plane, of weights 0.5, 0.3 and 0.2 and unlike covariances.
``identity``: the generator is fixed to the identity, so the prior does all the work. ``net``: a
trained generator maps the plane into ten dimensions, where the rows are a linear map of the same
clusters; responsibilities are those of a ResponsibilityEncoder. ``LATENT_SEEDS`` is how many seeds
(default 3).
"""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

import keras
import numpy as np
from tfbdl_bayesian_gan import GAN
from tfbdl_bayesian_gan.evaluation import jensen_shannon
from tfbdl_bayesian_gan.latents import ResponsibilityEncoder

from benchmarks import parts

SEEDS = range(int(os.environ.get("LATENT_SEEDS", "3")))
ROWS, BATCH, EPOCHS = 5000, 250, 100
PI = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[-3.0, 0.0], [3.0, 1.0], [0.0, 4.0]])
COVARIANCES = np.array(
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 0.5]], [[0.3, 0.0], [0.0, 0.9]]]
)
WIDE = {"initial_scale": 3.0, "covariance": "full"}
CONTESTANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "gaussian_mixture, score": ("gaussian_mixture", {"components": 3, **WIDE}),
    "gaussian_mixture, gumbel": (
        "gaussian_mixture",
        {"components": 3, "weights_gradient": "gumbel", **WIDE},
    ),
    "gaussian_mixture, narrow start": (
        "gaussian_mixture",
        {"components": 3, "covariance": "full", "spread": 3.0},
    ),
}
CONCENTRATIONS = (0.5, 1.0, 5.0)


def identity() -> dict[str, Any]:
    """Errors of weights and means, and the share of rows whose component is right."""
    parts.header("prior", "error of weights", "error of means", "rows right", "seconds")
    found: dict[str, Any] = {}
    for label, (name, options) in CONTESTANTS.items():
        runs = [_recovered(seed, name, options) for seed in SEEDS]
        found[label] = _shown(label, runs, ("weights", "means", "accuracy", "seconds"))
    return found


def process() -> dict[str, Any]:
    """Components of weight 2 % or more, of eight offered, by concentration."""
    parts.header("concentration", "components used", "Jensen-Shannon", "seconds")
    found: dict[str, Any] = {}
    for concentration in CONCENTRATIONS:
        runs = []
        for seed in SEEDS:
            x, _ = rows(seed)
            options = {"components": 8, "concentration": concentration, **WIDE}
            model, seconds = trained(same(), x, seed, "stick_breaking", options)
            js = jensen_shannon(x, model.sample(ROWS, seed=1))
            used = model.latent_prior.components_used(0.02)
            runs.append({"used": used, "js": js, "seconds": seconds})
        found[str(concentration)] = _shown(str(concentration), runs, ("used", "js", "seconds"))
    return found


def net() -> dict[str, Any]:
    """A trained generator: whether components are clusters, and how near the rows come."""
    parts.header("prior", "rows right", "error of weights", "Jensen-Shannon", "seconds")
    found: dict[str, Any] = {}
    mixture = {"components": 3, "initial_scale": 1.0, "spread": 1.0, "covariance": "full"}
    for name, options in (("gaussian_mixture", mixture), ("standard_normal", {})):
        runs = []
        for seed in SEEDS:
            x, k = rows(seed)
            map_ = np.random.default_rng(seed).standard_normal((2, 10)) / np.sqrt(2)
            high = (x @ map_).astype("float32")
            model, seconds = trained(generator(seed), high, seed, name, options, rate=2e-3)
            run = {"js": jensen_shannon(high, model.sample(ROWS, seed=1)), "seconds": seconds}
            if options:
                encoder = ResponsibilityEncoder(model.latent_prior, model.generator, seed=seed)
                labels = encoder.fit(2000).responsibilities(high).argmax(axis=1)
                order = matched(labels, k)
                weights = np.exp(model.latent_prior.log_weights().numpy())
                run["accuracy"] = float(np.mean(order[labels] == k))
                run["weights"] = float(np.abs(weights[np.argsort(order)] - PI).max())
            runs.append(run)
        columns = ("accuracy", "weights", "js", "seconds")
        found[name] = _shown(name, runs, columns)
    return found


def rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the mixture, and the component of each."""
    rng = np.random.default_rng(seed)
    k = rng.choice(3, ROWS, p=PI)
    roots = np.linalg.cholesky(COVARIANCES)
    x = MEANS[k] + np.einsum("nij,nj->ni", roots[k], rng.standard_normal((ROWS, 2)))
    return x.astype("float32"), k


def trained(
    generator_net: keras.Model,
    x: np.ndarray,
    seed: int,
    name: str,
    options: dict[str, Any],
    rate: float = 1e-2,
) -> tuple[GAN, float]:
    """A GAN of that latent prior, and its processor time in seconds."""
    options = {**options, "seed": seed} if options else {}
    model = GAN(
        generator_net,
        discriminator(x.shape[1], seed),
        2,
        latent_prior=name,
        latent_options=options,
        seed=seed,
    )
    adam = keras.optimizers.Adam
    model.compile(adam(rate, beta_1=0.5), adam(2e-3, beta_1=0.5), steps_per_execution=20)
    began = time.process_time()
    model.fit(x, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return model, time.process_time() - began


def same() -> keras.Model:
    """The identity, which is not trained."""
    net_ = keras.Sequential([keras.Input((2,)), keras.layers.Activation("linear")])
    net_.trainable = False
    return net_


def generator(seed: int) -> keras.Model:
    """From the plane into ten dimensions: a linear map and a small net beside it."""
    layers, start = keras.layers, keras.initializers
    z = keras.Input((2,))
    straight = layers.Dense(10, kernel_initializer=start.GlorotUniform(seed=seed))(z)
    bent = layers.Dense(32, "tanh", kernel_initializer=start.GlorotUniform(seed=seed + 1))(z)
    bent = layers.Dense(10, kernel_initializer=start.RandomNormal(0.0, 0.02, seed=seed + 2))(bent)
    return keras.Model(z, layers.Add()([straight, bent]))


def discriminator(columns: int, seed: int) -> keras.Model:
    """Two hidden layers."""
    inputs = h = keras.Input((columns,))
    for i in range(2):
        start = keras.initializers.GlorotUniform(seed=10 * seed + i)
        h = keras.layers.LeakyReLU(0.2)(keras.layers.Dense(64, kernel_initializer=start)(h))
    start = keras.initializers.GlorotUniform(seed=10 * seed + 2)
    return keras.Model(inputs, keras.layers.Dense(1, kernel_initializer=start)(h))


def matched(labels: np.ndarray, k: np.ndarray) -> np.ndarray:
    """The order of the three clusters in which labels agree best with the truth."""
    orders = [np.array(order) for order in itertools.permutations(range(3))]
    return max(orders, key=lambda order: float(np.mean(order[labels] == k)))


def _recovered(seed: int, name: str, options: dict[str, Any]) -> dict[str, float]:
    x, k = rows(seed)
    model, seconds = trained(same(), x, seed, name, options)
    prior = model.latent_prior
    labels = prior.responsibilities(x).numpy().argmax(axis=1)
    order = matched(labels, k)
    back = np.argsort(order)
    return {
        "weights": float(np.abs(np.exp(prior.log_weights().numpy()[back]) - PI).max()),
        "means": float(np.abs(prior.means().numpy()[back] - MEANS).max()),
        "accuracy": float(np.mean(order[labels] == k)),
        "seconds": seconds,
    }


def _shown(label: str, runs: list[dict[str, float]], columns: tuple[str, ...]) -> dict[str, Any]:
    """Print a row, and give all figures."""
    cells = []
    for column in columns:
        values = [run[column] for run in runs if column in run]
        digits = 0 if column in ("seconds", "used") else 3
        cells.append(parts.spread(values, digits) if values else "")
    parts.row(label, *cells)
    return {column: [run[column] for run in runs if column in run] for column in columns}
