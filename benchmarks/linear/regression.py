"""Linear regressions: beside scikit-learn, by evidence, and on UCI sets."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import BayesianRidge

import tfbdl
from benchmarks.parts import header, row, spread
from benchmarks.splits import Contestants, over_splits
from tfbdl.data import as_dataset

SETS = ("yacht", "boston", "energy", "concrete")
SPLITS = range(5)
CONTESTANTS: Contestants = {
    "linear": ("linear", {"standardize": True}),
    "linear_full": ("linear_full", {"standardize": True}),
    "9 gaussians": ("linear", {"standardize": True, "basis": "gaussian", "num_basis": 9}),
}
ORDERS, NOISE, ALPHA = range(10), 0.3, 5e-3


def uci() -> dict[str, Any]:
    """Test RMSE and NLL over the published splits 0 to 4."""
    # What the first fit of a process sets up is not counted.
    over_splits("yacht", {"linear": CONTESTANTS["linear"]}, [0])
    columns = [f"`{name}` {figure}" for name in CONTESTANTS for figure in ("RMSE", "NLL")]
    header("set", *columns)
    figures: dict[str, Any] = {}
    for data in SETS:
        rows = over_splits(data, CONTESTANTS, SPLITS)
        figures[data] = rows
        cells = [
            spread((fit[figure] for fit in rows[name]), 2)
            for name in CONTESTANTS
            for figure in ("rmse", "nll")
        ]
        row(data, *cells)
    print()
    header("seconds a fit", *SETS)
    for name in CONTESTANTS:
        cells = [spread((fit["seconds"] for fit in figures[data][name]), 2) for data in SETS]
        row(f"`{name}`", *cells)
    return figures


def diabetes() -> dict[str, Any]:
    """Precisions, evidence and effective parameters beside scikit-learn's BayesianRidge."""
    x, y = load_diabetes(return_X_y=True)
    x, y = (x - x.mean(axis=0)) / x.std(axis=0), (y - y.mean()) / y.std()
    fit = tfbdl.fit("linear", (x, y))
    none = {"alpha_1": 0, "alpha_2": 0, "lambda_1": 0, "lambda_2": 0}
    ridge = BayesianRidge(**none, tol=1e-12, max_iter=5000, compute_score=True).fit(x, y)
    ours = {n: float(fit.metrics[n]) for n in ("alpha", "beta", "log_evidence", "gamma")}
    strengths = ridge.alpha_ * np.linalg.eigvalsh(x.T @ x)
    theirs = {
        "alpha": float(ridge.lambda_),
        "beta": float(ridge.alpha_),
        "log_evidence": float(ridge.scores_[-1]),
        "gamma": float(np.sum(strengths / (ridge.lambda_ + strengths))),  # Bishop 3.91
    }
    header("", "`linear`", "`BayesianRidge`")
    for name, value in ours.items():
        row(name, f"{value:.9g}", f"{theirs[name]:.9g}")
    difference = float(np.abs(fit.posterior.mean()["weights"].ravel() - ridge.coef_).max())
    print(f"\nLargest difference of a weight: {difference:.1e}")
    return {"linear": ours, "BayesianRidge": theirs, "weights differ by": difference}


def sine() -> dict[str, Any]:
    """How often the evidence is largest at each order of a polynomial, over 100 seeds."""
    header("sine", "rows", *(f"order {order}" for order in ORDERS))
    figures = {}
    for low, rows in ((-1.0, 25), (-1.0, 10), (0.0, 25)):
        x = np.linspace(low, 1.0, rows)
        wave = np.sin(2.0 * np.pi * x / (1.0 - low))
        best = Counter(_best_order(x, wave, seed) for seed in range(100))
        counts = [best[order] for order in ORDERS]
        row(f"on [{low:g}, 1]", rows, *counts)
        figures[f"[{low:g}, 1], {rows} rows"] = counts
    return figures


def _best_order(x: np.ndarray, wave: np.ndarray, seed: int) -> int:
    y = wave + NOISE * np.random.default_rng(seed).normal(size=len(x))
    options = {"alpha": ALPHA, "beta": NOISE**-2, "intercept": False}
    evidences = []
    for order in ORDERS:
        data = as_dataset((np.vander(x, order + 1, increasing=True), y), dtype="float64")
        model = tfbdl.build("linear", data, model_options=options)
        model.condition(data)
        evidences.append(model.figures()["log_evidence"])
    return int(np.argmax(evidences))
