"""The nets of both parts, their training, and the figures of any encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from tfbdl_vae import VAE, Shapes2D
from tfbdl_vae import disentanglement as scores
from tfbdl_vae.metrics import ACTIVE

from benchmarks import parts
from tfbdl import functional

HIDDEN, LATENT, BATCH = 300, 10, 128
BLOCK = 4096
EXECUTION = 100  # steps
COLUMNS = ("Higgins", "MIG", "FactorVAE")
PIXEL_POINTS = {"num_train": 1000, "num_eval": 500}

Nets = tuple[keras.Model, keras.Model]


class TrueFactors:
    """A simulator whose images are its factors: what is looked up need not be drawn."""

    def __init__(self, simulator: Shapes2D) -> None:
        self.factor_sizes, self.sample_factors = simulator.factor_sizes, simulator.sample_factors

    def images(self, factors: np.ndarray) -> np.ndarray:
        """The factors themselves."""
        return factors


def nets(seed: int) -> Nets:
    """1024-300-300-10 with relu, and 10-300-300-300-1024 with tanh."""
    dense = keras.layers.Dense
    with functional.seeded(seed):
        encoder = keras.Sequential(
            [keras.Input((1024,)), *(dense(HIDDEN, "relu") for _ in range(2)), dense(2 * LATENT)]
        )
        decoder = keras.Sequential(
            [keras.Input((LATENT,)), *(dense(HIDDEN, "tanh") for _ in range(3)), dense(1024)]
        )
    return encoder, decoder


def trained(model: VAE, steps: int, x: np.ndarray, factors: np.ndarray | None = None) -> float:
    """Train by Adam, and say how many seconds it took."""
    began = time.perf_counter()
    model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=EXECUTION, jit_compile=True)
    model.fit(x, factors, batch_size=BATCH, epochs=1, steps_per_epoch=steps, verbose=0)
    return time.perf_counter() - began


def measured(
    encode: Callable[[np.ndarray], np.ndarray], simulator: Shapes2D, seed: int
) -> dict[str, Any]:
    """The three scores of an encoder, and how many of its codes vary over the images."""
    grid = simulator.grid()
    blocks = (grid[i : i + BLOCK] for i in range(0, len(grid), BLOCK))
    codes = np.concatenate([encode(simulator.images(block)) for block in blocks])
    return of_codes(codes, simulator, seed)


def of_codes(codes: np.ndarray, simulator: Shapes2D, seed: int) -> dict[str, Any]:
    """The same of codes of the whole grid."""
    truth = TrueFactors(simulator)

    def looked_up(factors: np.ndarray) -> np.ndarray:
        return codes[np.ravel_multi_index(tuple(factors.T), simulator.factor_sizes)]

    return {
        "Higgins": scores.beta_vae_score(looked_up, truth, seed),
        "MIG": scores.mutual_information_gap(looked_up, truth, seed),
        "FactorVAE": scores.factor_vae_score(looked_up, truth, seed),
        "active": int((codes.var(axis=0) > ACTIVE).sum()),
    }


def controls(simulator: Shapes2D, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, figures) of what needs no training: the true factors, themselves and rotated; pixels.

    Of the pixels there is Higgins' score, of fewer points; the other scores are of codes.
    """
    factors = simulator.grid()
    true = (factors - factors.mean(axis=0)) / factors.std(axis=0)
    size = factors.shape[1]
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]
    yield "ground truth", of_codes(true, simulator, seed) | {"seconds": 0.0}
    yield "ground truth, rotated", of_codes(true @ rotation, simulator, seed) | {"seconds": 0.0}
    began = time.perf_counter()
    found = scores.beta_vae_score(lambda x: x, simulator, seed, **PIXEL_POINTS)
    seconds = time.perf_counter() - began
    others = {"MIG": None, "FactorVAE": None, "active": 1024, "seconds": seconds}
    yield "raw pixels", {"Higgins": found, **others}


def table(found: dict[str, list[Any]]) -> None:
    """Print the scores of each encoder over the seeds."""
    print()
    parts.header("encoder", *COLUMNS, "active")
    for name, each in found.items():
        told = [[row[column] for row in each if row[column] is not None] for column in COLUMNS]
        cells = [parts.spread(values, 3) if values else "" for values in told]
        parts.row(name, *cells, ", ".join(str(row["active"]) for row in each))


def cell(value: float | None) -> str:
    """A score of one seed, if there is one."""
    return "" if value is None else f"{value:.3f}"


def kl_of(model: VAE, x: np.ndarray) -> list[float]:
    """Nats of each latent dimension that carries more than a hundredth, the largest first."""
    kl = np.sort(model.kl_per_dimension(x))[::-1]
    return [float(value) for value in kl if value > ACTIVE]
