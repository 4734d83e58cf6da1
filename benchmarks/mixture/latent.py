"""K-means and probabilistic PCA on digits."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

import tfbdl
from benchmarks import harness
from benchmarks.parts import header, listed, row, spread
from tfbdl.data import Dataset
from tfbdl.run import load_data

SEEDS = SPLITS = range(3)
RESTARTS = 50
ROUNDS = 9
SIZES = (2, 5, 10, 20, 30, 40, 46, 47)


def kmeans() -> dict[str, Any]:
    """Inertia of ten clusters from 50 starts, and seconds, beside scikit-learn in turn."""
    x = load_digits().data
    figures: dict[str, list[float]] = {}
    for seed in SEEDS:
        found = _kmeans(x, seed, "kmeans++")
        measured = {
            "inertia, best of 50": found["best"],
            "inertia, median of 50": found["median"],
            "the same from random rows": _kmeans(x, seed, "random")["median"],
            "scikit-learn's best of 50": float(_peer(x, seed).inertia_),
        }
        for name, value in measured.items():
            figures.setdefault(name, []).append(value)
    header("", "median", "seeds")
    for name, values in figures.items():
        row(name, f"{np.median(values):,.0f}", listed(values, 0))
    contestants = {
        "kmeans": lambda: _kmeans(x, 0, "kmeans++"),
        "scikit-learn": lambda: _peer(x, 0),
        "scikit-learn, one thread": lambda: _alone(x),  # on busy cores its threads wait in turn
    }
    seconds = harness.alternate(contestants, ROUNDS)
    print()
    header("seconds for 50 starts, in turn", f"median (range) of {ROUNDS}")
    for name, values in seconds.items():
        row(name, spread(values, 1))
    return figures | {f"seconds, {name}": values for name, values in seconds.items()}


def _peer(x: np.ndarray, seed: int) -> KMeans:
    return KMeans(10, n_init=RESTARTS, random_state=seed).fit(x)


def _alone(x: np.ndarray) -> KMeans:
    with threadpool_limits(1):
        return _peer(x, 0)


def _kmeans(x: np.ndarray, seed: int, initial: str) -> dict[str, float]:
    fit = tfbdl.fit(
        "kmeans",
        x,
        model_options={"num_clusters": 10},
        engine_options={"restarts": RESTARTS, "initial": initial},
        seed=seed,
    )
    return {
        "best": float(fit.metrics["inertia"]),
        "median": -float(np.median(fit.history["score_of_restarts"])),
    }


def ppca() -> dict[str, Any]:
    """Held-out log density and BIC by the size of the latent space."""
    header("`latent_dim`", "held out, median", "splits", "BIC, median")
    keep = load_digits().data.std(axis=0) >= 1.0
    figures: dict[str, Any] = {}
    for size in (0, *SIZES):
        found = [_held_out(split, keep, size) for split in SPLITS]
        densities = [one["held out"] for one in found]
        bic = f"{np.median([one['bic'] for one in found]):,.0f}" if size else ""
        row(size, f"{np.median(densities):.1f}", listed(densities, 1), bic)
        figures[str(size)] = found
    varies = load_digits().data.std(axis=0) > 0.0
    with warnings.catch_warnings():
        # a pixel that is constant in training, so that the noise comes to its floor
        warnings.simplefilter("ignore", tfbdl.errors.TfbdlWarning)
        found = [_held_out(split, varies, 60)["held out"] for split in SPLITS]
    row(f"60, of all {varies.sum()} pixels that vary", f"{np.median(found):,.1f}", listed(found, 1))
    return figures | {"60, all pixels": found}


def _held_out(split: int, keep: np.ndarray, size: int) -> dict[str, float]:
    data = _digits(split)
    x, x_test = data.x[:, keep], data.x_test[:, keep]
    if size == 0:
        mean = x.mean(axis=0)
        variance = np.mean((x - mean) ** 2)
        squares = ((x_test - mean) ** 2).sum(axis=1) / variance
        log_prob = -0.5 * (squares + x.shape[1] * math.log(2.0 * math.pi * variance))
        return {"held out": float(log_prob.mean())}
    fit = tfbdl.fit("ppca", x, model_options={"latent_dim": size})
    return {
        "held out": float(fit.model.log_prob(x_test).mean()),
        "bic": float(fit.metrics["bic"]),
    }


def _digits(split: int) -> Dataset:
    options = {"test_fraction": 0.2, "split": split}
    return load_data(tfbdl.plan("ppca", "digits", data_options=options))
