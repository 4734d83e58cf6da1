"""Scale and position of a square: beta = 4 beside beta = 1, the net before training, controls."""

from __future__ import annotations

from typing import Any

from tfbdl_vae import VAE, Shapes2D

from benchmarks import parts
from benchmarks.disentanglement.models import (
    COLUMNS,
    cell,
    controls,
    kl_of,
    measured,
    nets,
    table,
    trained,
)

SEEDS = range(5)
STEPS = 4000


def run() -> dict[str, Any]:
    """Train each on each seed; print the tables."""
    simulator = Shapes2D("three", flat=True)
    x = simulator.images(simulator.grid())
    found: dict[str, list[Any]] = {}
    parts.header("seed", "encoder", *COLUMNS, "active", "KL of each, nats", "seconds")
    for seed in SEEDS:
        for name, figures in controls(simulator, seed):
            found.setdefault(name, []).append(figures)
            cells = [cell(figures[column]) for column in COLUMNS]
            parts.row(seed, name, *cells, figures["active"], "", f"{figures['seconds']:.0f}")
        for name, beta in (("untrained", 1.0), ("VAE", 1.0), ("beta = 4", 4.0)):
            model = VAE(*nets(seed), 10, beta=beta, seed=seed)
            seconds = 0.0 if name == "untrained" else trained(model, STEPS, x)
            figures = measured(model.codes, simulator, seed)
            figures |= {"KL": kl_of(model, x), "seconds": seconds}
            found.setdefault(name, []).append(figures)
            cells = [cell(figures[column]) for column in COLUMNS]
            kl = parts.listed(figures["KL"], 2)
            parts.row(seed, name, *cells, figures["active"], kl, f"{seconds:.0f}")
    table(found)
    return found
