"""The synthetic data of Saatchi & Wilson: ten clusters in a hundred dimensions, 10,000 rows."""

from __future__ import annotations

import os
import time
from typing import Any

from tfbdl_bayesian_gan import BayesianGAN
from tfbdl_bayesian_gan.evaluation import jensen_shannon, modes_covered
from tfbdl_bayesian_gan.simulators import Synthetic, synthetic

from benchmarks import parts

ROWS = 10_000
SEEDS = range(int(os.environ.get("BAYESIAN_GAN_SEEDS", "3")))
PAPER: dict[str, Any] = {"prior_options": {"scale": 10.0}, "hidden": (1000,), "latent_dim": 10}
CONTESTANTS: dict[str, dict[str, Any]] = {
    "Adam, then SGHMC, 10 generators": {"generators": 10},
    "Adam, then SGHMC, 1 generator": {"generators": 1},
    "noise off, 10 generators": {"generators": 10, "temperature": 0.0},
    # Adam for as many iterations; the one sample is the state an iteration later, without noise
    "Adam only, 10 generators": {
        "generators": 10, "warmup": 1999, "burn_in": 0, "samples": 1, "thin": 1, "temperature": 0.0,
    },
}  # fmt: skip


def run() -> dict[str, Any]:
    """All contestants at all seeds; rows, clusters and nets differ by seed."""
    parts.header("contestant", "JS distance", "modes of 10", "seconds", "processor seconds")
    figures: dict[str, Any] = {}
    for name, options in CONTESTANTS.items():
        found = [_one(synthetic(ROWS, seed), seed, options) for seed in SEEDS]
        figures[name] = {key: [one[key] for one in found] for key in found[0]}
        parts.row(
            name,
            parts.listed(figures[name]["jensen_shannon"], 3),
            parts.listed(figures[name]["modes"], 0),
            parts.spread(figures[name]["seconds"], 0),
            parts.spread(figures[name]["processor_seconds"], 0),
        )
    return figures


def _one(data: Synthetic, seed: int, options: dict[str, Any]) -> dict[str, float]:
    model = BayesianGAN(data.x.shape[1], seed=seed, **PAPER, **options)
    began, processor = time.perf_counter(), time.process_time()
    model.fit(data.x)
    seconds, cpu = time.perf_counter() - began, time.process_time() - processor
    made = model.sample(ROWS, seed=seed)
    return {
        "jensen_shannon": float(jensen_shannon(data.x, made)),
        "modes": float(modes_covered(made, data.centres)),
        "seconds": seconds,
        "processor_seconds": cpu,
    }
