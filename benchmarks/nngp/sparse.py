"""Many rows by inducing points: the three largest UCI sets, and MNIST's ten classes."""

from __future__ import annotations

from typing import Any

import tfbdl
from benchmarks.parts import header, row, spread
from benchmarks.splits import Contestants, over_splits

SETS = ("kin8nm", "power", "protein")
SPLITS = range(3)
FIGURES = ("rmse", "nll", "seconds", "coverage_90")
CONTESTANTS: Contestants = {
    "sparse_gp": ("sparse_gp", {"ard": True}),
    "sparse_gp, points that stay": ("sparse_gp", {"ard": True, "move_inducing": False}),
}
EXACT: Contestants = {"gp, all rows": ("gp", {"ard": True})}
MOST_EXACT = ("kin8nm", "power")  # the third has 41,000 training rows: a matrix of 13 GB

MNIST = {"num_inducing": 300, "standardize": False}
STEPS = {"steps": 3_000, "batch_size": 256}
SEEDS = range(3)


def run() -> dict[str, Any]:
    """RMSE, log-likelihood and seconds of a fit at default options over published splits."""
    header("set", "model", "RMSE", "log-likelihood", "coverage of 90 %", "seconds a fit")
    figures: dict[str, Any] = {}
    for data in SETS:
        contestants = {**CONTESTANTS, **(EXACT if data in MOST_EXACT else {})}
        figures[data] = over_splits(data, contestants, SPLITS, FIGURES)
        for name, fits in figures[data].items():
            for fit in fits:
                fit["ll"] = -fit["nll"]
            cells = [spread((fit[f] for fit in fits), 3) for f in ("rmse", "ll", "coverage_90")]
            row(data, name, *cells, spread((fit["seconds"] for fit in fits), 0))
    return figures


def classes() -> dict[str, Any]:
    """Error, log-likelihood and calibration on all test images of MNIST, 60,000 to train."""
    header("seed", "error", "log-likelihood", "calibration error", "seconds a fit")
    figures: dict[str, Any] = {}
    for seed in SEEDS:
        fit = tfbdl.fit(
            "sparse_nngp", "mnist", model_options=MNIST, engine_options=STEPS, seed=seed
        )
        found = {n: float(fit.metrics[n]) for n in ("error", "nll", "ece", "seconds")}
        figures[str(seed)] = found
        row(
            str(seed),
            f"{found['error']:.4f}",
            f"{-found['nll']:.3f}",
            f"{found['ece']:.3f}",
            f"{found['seconds']:.0f}",
        )
    return figures
