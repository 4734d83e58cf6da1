"""Superfluous components on two principal axes of 178 wines, and a sweep of the collapsed sampler.

Ten components are too many. What is counted are those that expect more than 1 % of the rows.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_wine
from sklearn.mixture import BayesianGaussianMixture
from tfbdl_mixture import collapsed
from tfbdl_mixture.wishart import GaussWishart

import tfbdl
from benchmarks.parts import header, listed, row, spread
from tfbdl import random

SEEDS = range(5)
COMPONENTS, ALPHA0, ACTIVE = 10, 1e-3, 0.01
CONTESTANTS: Mapping[str, tuple[str, Mapping[str, Any], Mapping[str, Any]]] = {
    "bayesian_gmm": ("bayesian_gmm", {"num_components": COMPONENTS, "alpha0": ALPHA0}, {}),
    "bayesian_gmm, 10 restarts": (
        "bayesian_gmm",
        {"num_components": COMPONENTS, "alpha0": ALPHA0},
        {"restarts": 10},
    ),
    "dp_mixture, 20 sticks": ("dp_mixture", {"truncation": 20}, {}),
    "gmm": ("gmm", {"num_components": COMPONENTS}, {}),
}


def wine() -> dict[str, Any]:
    """Components in use and the bound (of gmm the log likelihood), as measured and standardised."""
    x = load_wine().data
    raw = tfbdl.fit("pca", x, model_options={"latent_dim": 2}).model.transform(x)
    header("", "axes", "components in use, median", "seeds", "objective, nats")
    figures = {}
    for axes, rows in (("standardised", raw / raw.std(axis=0)), ("as they are", raw)):
        for name in CONTESTANTS:
            found = [_mixture(name, rows, seed) for seed in SEEDS]
            _row(name, axes, found)
            figures[f"{name}, axes {axes}"] = found
        peers = [_peer(rows, seed) for seed in SEEDS]
        _row("scikit-learn's BayesianGaussianMixture", axes, peers)
        figures[f"scikit-learn, axes {axes}"] = peers
    return figures


def _row(name: str, axes: str, found: list[dict[str, float]]) -> None:
    active = [one["active"] for one in found]
    objective = listed((one["objective"] for one in found), 2) if "objective" in found[0] else ""
    row(name, axes, f"{np.median(active):.0f}", listed(active, 0), objective)


def _mixture(name: str, rows: np.ndarray, seed: int) -> dict[str, float]:
    model, model_options, engine_options = CONTESTANTS[name]
    with warnings.catch_warnings():
        # ten normals by maximum likelihood collapse onto points, which is what is shown
        warnings.simplefilter("ignore", tfbdl.errors.TfbdlWarning)
        fit = tfbdl.fit(
            model, rows, model_options=model_options, engine_options=engine_options, seed=seed
        )
    active = float(np.sum(fit.model.weights_ > ACTIVE))
    return {"active": active, "objective": float(fit.metrics[fit.model.objective])}


def _peer(rows: np.ndarray, seed: int) -> dict[str, float]:
    other = BayesianGaussianMixture(
        n_components=COMPONENTS,
        weight_concentration_prior_type="dirichlet_distribution",
        weight_concentration_prior=ALPHA0,
        tol=1e-6,
        max_iter=1000,
        random_state=seed,
    ).fit(rows)
    return {"active": float(np.sum(other.weights_ > ACTIVE))}


def sweep(rows: int = 200, slots: int = 20, sweeps: int = 200) -> dict[str, Any]:
    """Milliseconds of one sweep over rows in two dimensions, after seconds of compilation."""
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(rows, 2)) + 3.0 * rng.integers(-1, 2, size=(rows, 1)))
    one = tf.constant(1.0, x.dtype)
    base = GaussWishart(beta=one, nu=2.0 * one, m=tf.zeros(2, x.dtype), W=tf.eye(2, dtype=x.dtype))

    @tf.function(jit_compile=True)
    def many(z: tf.Tensor) -> tf.Tensor:
        for i in tf.range(sweeps):
            key = random.fold_in(random.key(0, "sweep"), tf.cast(i, tf.int64))
            z = collapsed.sweep(x, z, base, one, key, slots)
        return z

    start = tf.constant(rng.integers(0, slots // 2, rows), tf.int32)
    begun = time.perf_counter()
    many(start)
    first = time.perf_counter() - begun
    times = []
    for _ in range(15):
        begun = time.perf_counter()
        many(start)
        times.append(1e3 * (time.perf_counter() - begun) / sweeps)
    compilation = first - 1e-3 * sweeps * float(np.median(times))
    header("ms a sweep, median (range) of 15 times 200", "seconds of compilation")
    row(spread(times, 2), f"{compilation:.1f}")
    return {"ms": times, "compilation": compilation}
