"""y = sin(3x) + (0.05 + 0.2 |x|) e: what is learned of the noise, and what more rows take away."""

from __future__ import annotations

from typing import Any

import numpy as np
from tfbdl_datasets.simulators import true_mean, true_noise

import tfbdl
from benchmarks.parts import header, row, spread

SEEDS = range(3)
ROWS = (1_000, 10_000)
DRAWS = 200
INSIDE = np.linspace(-1.0, 1.0, 201)  # where the rows are
OUTSIDE = np.concatenate([np.linspace(-2.2, -1.8, 41), np.linspace(1.8, 2.2, 41)])
ENGINES: dict[str, dict[str, Any]] = {
    "variational": {},
    "ensemble": {},
    "mc_dropout": {"dropout": 0.05},
}


def run() -> dict[str, Any]:
    """Fit by each engine to more and more rows; seeds are those of data and run."""
    figures: dict[str, Any] = {}
    header("engine", "rows", *COLUMNS)
    for engine, options in ENGINES.items():
        for num_rows in ROWS:
            fits = [measure(num_rows, seed, engine, **options) for seed in SEEDS]
            figures[f"{engine}, {num_rows} rows"] = fits
            cells = [
                spread((factor * fit[name] for fit in fits), digits)
                for name, factor, digits in COLUMNS.values()
            ]
            row(f"`{engine}`", f"{num_rows:,}", *cells)
    print()
    first, last = ROWS
    for engine in ENGINES:
        few, many = (figures[f"{engine}, {rows} rows"] for rows in (first, last))
        for part in ("epistemic", "aleatoric"):
            ratios = [a[part] / b[part] for a, b in zip(few, many, strict=True)]
            print(f"{engine}: {part} variance at {first:,} over {last:,} rows {spread(ratios, 2)}")
    return figures


COLUMNS = {  # title -> (figure, factor, digits)
    "RMSE of log sigma": ("log sigma rmse", 1.0, 3),
    "RMSE of the mean": ("mean rmse", 1.0, 3),
    "aleatoric variance, 10⁻⁴": ("aleatoric", 1e4, 0),
    "epistemic variance, 10⁻⁴": ("epistemic", 1e4, 2),
    "epistemic at \\|x\\| = 2, 10⁻⁴": ("epistemic outside", 1e4, 0),
}


def measure(
    num_rows: int, seed: int, engine: str = "variational", **model_options: Any
) -> dict[str, float]:
    """Fit, and hold both parts of the uncertainty against the truth.

    Returns:
        RMSE of mean and log standard deviation over an even grid within the data; means over it of
        the aleatoric and epistemic variance, and of the epistemic one at twice the range.
    """
    fit = tfbdl.fit(
        "bbb",
        "sinusoid",
        engine=engine,
        model_options={"likelihood": "heteroscedastic_gaussian", **model_options},
        data_options={"num_rows": num_rows, "noise_seed": seed},
        seed=seed,
    )
    inside, outside = (fit.predict(x[:, np.newaxis], draws=DRAWS) for x in (INSIDE, OUTSIDE))
    log_sigma = 0.5 * np.log(inside.aleatoric.ravel())
    return {
        "log sigma rmse": _rmse(log_sigma - np.log(true_noise(INSIDE))),
        "mean rmse": _rmse(inside.mean.ravel() - true_mean(INSIDE)),
        "aleatoric": float(inside.aleatoric.mean()),
        "epistemic": float(inside.epistemic.mean()),
        "epistemic outside": float(outside.epistemic.mean()),
        "seconds": fit.metrics["seconds"],
    }


def _rmse(residuals: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(residuals))))
