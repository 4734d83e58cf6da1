"""Logistic regression: three engines against a grid of weights, and on breast_cancer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special, stats

import tfbdl
from benchmarks.parts import header, listed, row, spread

ENGINES: Mapping[str, Mapping[str, Any]] = {
    "laplace": {},
    "em": {},
    "gibbs": {"chains": 4, "warmup": 300, "draws": 1500},
}
SPLITS = range(5)
ALPHA = 0.5  # of the grid


def breast_cancer() -> dict[str, Any]:
    """Error, NLL and ECE of 114 test rows over five splits, and seconds with all that compiles."""
    header("engine", "error, %", "NLL", "ECE", "seconds", "smallest ESS", "largest R-hat")
    figures = {}
    for engine in ENGINES:
        rows = [_breast_cancer(engine, split) for split in SPLITS]
        figures[engine] = rows
        cells = [
            spread((100.0 * fit["error"] for fit in rows), 2),
            spread((fit["nll"] for fit in rows), 3),
            spread((fit["ece"] for fit in rows), 3),
            spread((fit["seconds"] for fit in rows), 1),
        ]
        if "ess" in rows[0]:
            smallest, largest = min(f["ess"] for f in rows), max(f["r_hat"] for f in rows)
            cells += [f"{smallest:.0f}", f"{largest:.3f}"]
        row(f"`{engine}`", *cells, *[""] * (6 - len(cells)))
    return figures


def _breast_cancer(engine: str, split: int) -> dict[str, float]:
    fit = tfbdl.fit(
        "logistic",
        "breast_cancer",
        engine=engine,
        engine_options=ENGINES[engine],
        data_options={"test_fraction": 0.2, "split": split},
        model_options={"standardize": True},
        seed=split,
    )
    figures = {name: float(fit.metrics[name]) for name in ("error", "nll", "ece", "seconds")}
    if engine == "gibbs":
        summary = fit.posterior.summary()
        figures["ess"] = float(summary["ess_bulk"].min())
        figures["r_hat"] = float(summary["r_hat"].max())
    return figures


def grid() -> dict[str, Any]:
    """Mean and standard deviations of two weights beside sums over a grid of 331 x 331."""
    x, y = _problem()
    header("engine", "weights' mean", "standard deviations", "log evidence, or bound")
    figures = {"exact": _exact(x, y)}
    for engine, options in (
        ("em", {"tolerance": 1e-12}),
        ("laplace", {}),
        ("gibbs", {"chains": 2, "warmup": 50, "draws": 1000}),
    ):
        fit = tfbdl.fit(
            "logistic",
            (x, y),
            engine=engine,
            engine_options=options,
            model_options={"alpha": ALPHA, "intercept": False},
        )
        log_evidence = fit.metrics.get("log_evidence", fit.metrics.get("elbo"))
        figures[engine] = {
            "mean": np.ravel(fit.posterior.mean()["weights"]).tolist(),
            "stddev": np.ravel(fit.posterior.stddev()["weights"]).tolist(),
            "log_evidence": None if log_evidence is None else float(log_evidence),
        }
    for engine, found in figures.items():
        value = found["log_evidence"]
        cell = "" if value is None else f"{value:.2f}"
        row(f"`{engine}`", listed(found["mean"], 3), listed(found["stddev"], 3), cell)
    return figures


def _problem() -> tuple[np.ndarray, np.ndarray]:
    """Two features with unlike effects, 150 rows."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(150, 2)) * [1.0, 0.7]
    return x, (rng.uniform(size=150) < special.expit(x @ [1.0, -0.6])).astype(int)


def _exact(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Moments and log evidence by the trapezoidal rule."""
    axis = np.linspace(-2.5, 3.0, 331)
    w = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    logits = w @ x.T
    log_joint = (y * logits - np.logaddexp(0.0, logits)).sum(axis=1)
    log_joint += stats.norm(scale=ALPHA**-0.5).logpdf(w).sum(axis=1)
    mass = special.softmax(log_joint)
    mean = mass @ w
    return {
        "mean": mean.tolist(),
        "stddev": np.sqrt(mass @ (w - mean) ** 2).tolist(),
        "log_evidence": float(special.logsumexp(log_joint) + 2 * np.log(axis[1] - axis[0])),
    }
