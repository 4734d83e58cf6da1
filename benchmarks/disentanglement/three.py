"""Scale and position of a square: beta = 4 beside beta = 1 and the net before training."""

from __future__ import annotations

from typing import Any

from tfbdl_vae import VAE, Shapes2D

from benchmarks import parts
from benchmarks.disentanglement.models import COLUMNS, kl_of, measured, nets, trained

SEEDS = range(3)
STEPS = 4000


def run() -> dict[str, Any]:
    """Train each on each seed; print the tables."""
    simulator = Shapes2D("three", flat=True)
    x = simulator.images(simulator.grid())
    found: dict[str, list[Any]] = {"untrained": [], "VAE": [], "beta = 4": []}
    parts.header("seed", "encoder", *COLUMNS, "active", "KL of each, nats", "seconds")
    for seed in SEEDS:
        for name, beta in (("untrained", 1.0), ("VAE", 1.0), ("beta = 4", 4.0)):
            model = VAE(*nets(seed), 10, beta=beta, seed=seed)
            seconds = 0.0 if name == "untrained" else trained(model, STEPS, x)
            figures = measured(model.codes, simulator, seed)
            figures |= {"KL": kl_of(model, x), "seconds": seconds}
            found[name].append(figures)
            cells = [f"{figures[column]:.3f}" for column in COLUMNS]
            kl = parts.listed(figures["KL"], 2)
            parts.row(seed, name, *cells, figures["active"], kl, f"{seconds:.0f}")
    print()
    parts.header("encoder", *COLUMNS, "active")
    for name, each in found.items():
        cells = [parts.spread((row[column] for row in each), 3) for column in COLUMNS]
        parts.row(name, *cells, ", ".join(str(row["active"]) for row in each))
    return found
