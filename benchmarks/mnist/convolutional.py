"""A Bayesian convolutional net: two convolutions and a hidden layer.

Test error and NLL of the mean weights and of an average over draws, by estimators with one draw of
the weights a batch and with one a row, from three seeds.
"""

from __future__ import annotations

import tfbdl
from benchmarks.parts import table

from .dense import DRAWS, error_of_mean, score, test_rows

SEEDS = range(3)
EPOCHS = 5


def run(estimator: str = "reparameterization") -> list[dict[str, float]]:
    """Train by an estimator from each seed, and print."""
    return table([_measure(estimator, seed) for seed in SEEDS])


def _measure(estimator: str, seed: int) -> dict[str, float]:
    fit = tfbdl.fit(
        "bbb",
        "mnist",
        model_options={
            "architecture": "convolutional",
            "filters": (16, 32),
            "kernel_size": 5,
            "hidden": (128,),
            "standardize": False,
            "estimator": estimator,
        },
        engine_options={"epochs": EPOCHS, "batch_size": 128, "learning_rate": 2e-3},
        data_options={"flat": False, "scale": "126"},
        seed=seed,
    )
    data = test_rows(flat=False)
    figures = score(fit.model, data, seed)
    row = {
        "training seconds": fit.metrics["seconds"],
        "error of mean weights, %": error_of_mean(fit.model, data),
        f"error over {DRAWS} draws, %": 100 * figures["error"],
        f"NLL over {DRAWS} draws": figures["nll"],
    }
    print(f"seed {seed}: " + ", ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)
    return row
