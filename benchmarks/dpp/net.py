"""A net that draws from a k-DPP, beside exact draws and random subsets.

Points uniform in the unit square, an rbf kernel with length scale 0.2. Of 4,000 subsets: the mean
log det, and the mean error of inclusion probabilities; then the net's conditional marginals given
some items of an exact draw, beside those given nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tfbdl_dpp import KDPP, DPPNet
from tfbdl_dpp.kernels import rbf

from benchmarks import parts

ITEMS, K, DRAWS, SETS = 100, 10, 4_000, 50
SETTINGS: dict[str, dict[str, Any]] = {
    "1,000 steps": {},
    "5,000 steps, 100,000 draws": {"steps": 5_000, "draws": 100_000},
}


def run() -> dict[str, Any]:
    """Train and compare."""
    x = np.random.default_rng(0).uniform(size=(ITEMS, 2))
    exact = KDPP(rbf(x, length_scale=0.2), K)
    rng = np.random.default_rng(1)
    contestants: dict[str, Callable[[], np.ndarray]] = {
        "exact": lambda: exact.sample(DRAWS, seed=1),
        "random": lambda: np.sort(rng.random((DRAWS, ITEMS)).argsort(axis=1)[:, :K], axis=1),
    }
    found: dict[str, Any] = {}
    for name, options in SETTINGS.items():
        started = time.perf_counter()
        net = DPPNet(exact).fit(**options)
        found[f"net, {name}"] = {
            "training": time.perf_counter() - started,
            "conditional": _conditional(exact, net),
        }
        net.sample(DRAWS, seed=0)  # compiles
        contestants[f"net, {name}"] = lambda net=net: net.sample(DRAWS, seed=1)  # type: ignore[misc]
    parts.header(
        "subsets", "seconds of 4,000", "mean log det", "error of inclusion",
        "error of conditional marginals", "of unconditional ones", "seconds of training",
    )  # fmt: skip
    p = exact.inclusion_probabilities()
    for name, contestant in contestants.items():
        started = time.perf_counter()
        rows = contestant()
        seconds = time.perf_counter() - started
        dets = [exact.log_prob(row) for row in rows]
        counts = np.bincount(rows.reshape(-1), minlength=ITEMS) / DRAWS
        cell = found.setdefault(name, {})
        cell |= {
            "seconds": seconds,
            "log_prob": float(np.mean(dets)) + exact.log_normalizer,
            "inclusion": float(np.abs(counts - p).mean()),
        }
        given = cell.get("conditional", (np.nan, np.nan))
        parts.row(
            name, f"{seconds:.3f}", f"{cell['log_prob']:.2f}", f"{cell['inclusion']:.4f}",
            f"{given[0]:.4f}", f"{given[1]:.4f}", f"{cell.get('training', np.nan):.1f}",
        )  # fmt: skip
    return found


def _conditional(exact: KDPP, net: DPPNet) -> tuple[float, float]:
    """Mean absolute errors over the other items, given one to k - 1 items of an exact draw."""
    rng = np.random.default_rng(2)
    p = exact.inclusion_probabilities()
    errors = []
    for row in exact.sample(SETS, seed=2):
        A = rng.permutation(row)[: rng.integers(1, K)]
        truth = exact.condition(include=A).inclusion_probabilities()
        others = np.setdiff1d(np.arange(ITEMS), A)
        errors.append([np.abs(found - truth)[others].mean() for found in (net.marginals(A), p)])
    first, second = np.mean(errors, axis=0)
    return float(first), float(second)
