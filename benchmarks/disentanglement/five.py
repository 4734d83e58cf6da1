"""Shape, scale, orientation and position: linear codes, VAEs, DC-IGN and the truth.

All nets take the same 6,000 steps. PCA and ICA see 20,000 images.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.decomposition import PCA, FastICA
from tfbdl_vae import DCIGN, VAE, Shapes2D

from benchmarks import parts
from benchmarks.disentanglement.models import (
    COLUMNS,
    LATENT,
    cell,
    controls,
    measured,
    nets,
    table,
    trained,
)

SEEDS = range(3)
STEPS = 6000
LINEAR_ROWS = 20_000


def run() -> dict[str, Any]:
    """Measure each on each seed; print the tables."""
    simulator = Shapes2D("five", flat=True)
    factors = simulator.grid()
    x = simulator.images(factors)
    found: dict[str, list[Any]] = {}
    parts.header("seed", "encoder", *COLUMNS, "active", "seconds")
    for seed in SEEDS:
        for name, figures in _encoders(simulator, factors, x, seed):
            found.setdefault(name, []).append(figures)
            cells = [cell(figures[column]) for column in COLUMNS]
            parts.row(seed, name, *cells, figures["active"], f"{figures['seconds']:.0f}")
    table(found)
    return found


def _encoders(
    simulator: Shapes2D, factors: np.ndarray, x: np.ndarray, seed: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, figures) of one encoder after the other."""
    rng = np.random.default_rng(seed)
    yield from controls(simulator, seed)
    some = x[rng.choice(len(x), LINEAR_ROWS, replace=False)]
    for name, linear in (
        ("PCA-10", PCA(LATENT, random_state=seed)),
        ("ICA-10", FastICA(LATENT, random_state=seed, max_iter=1000, tol=1e-3)),
    ):
        began = time.perf_counter()
        linear.fit(some)
        seconds = time.perf_counter() - began
        yield name, measured(linear.transform, simulator, seed) | {"seconds": seconds}
    untrained = VAE(*nets(seed), LATENT, seed=seed)
    yield "untrained", measured(untrained.codes, simulator, seed) | {"seconds": 0.0}
    for name, beta in (("VAE", 1.0), ("beta = 4", 4.0)):
        vae = VAE(*nets(seed), LATENT, beta=beta, seed=seed)
        seconds = trained(vae, STEPS, x)
        yield name, measured(vae.codes, simulator, seed) | {"seconds": seconds}
    model = DCIGN(*nets(seed), LATENT, num_factors=factors.shape[1], seed=seed)
    seconds = trained(model, STEPS, x, factors)
    yield "DC-IGN", measured(model.codes, simulator, seed) | {"seconds": seconds}
