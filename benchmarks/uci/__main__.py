"""Bayes by Backprop on UCI regression sets with fixed splits, one set of options for all.

``make bench NAME=uci`` needs the sets in ``$TFBDL_DATA/uci``; ``ARGS="--only yacht protein"`` runs
some. Each prints its line of the README's table.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import tfbdl
from benchmarks import parts

SPLITS = range(5)
SETS = (
    "yacht",
    "boston",
    "energy",
    "concrete",
    "wine_quality",
    "kin8nm",
    "power",
    "naval",
    "protein",
)
GOALS = {  # mean test RMSE at most, mean test log-likelihood at least
    "yacht": (0.95, -1.45),
    "boston": (3.4, -2.7),
    "energy": (0.9, -1.25),
    "concrete": (5.8, -3.2),
}
RMSE_DIGITS = {"kin8nm": 4, "naval": 5}
COLUMNS = {  # title -> (figure, digits)
    "RMSE": ("rmse", 2),
    "log-likelihood": ("ll", 2),
    "coverage of 90 %": ("coverage_90", 2),
    "epistemic share": ("epistemic_share", 2),
    "seconds a fit": ("seconds", 0),
}


def run(name: str) -> list[dict[str, float]]:
    """Fit to each split."""
    fits = [_measure(name, split) for split in SPLITS]
    print()
    parts.header("set", *COLUMNS)
    cells = []
    for figure, digits in COLUMNS.values():
        if figure == "rmse":
            digits = RMSE_DIGITS.get(name, digits)
        cells.append(_cell([fit[figure] for fit in fits], digits))
    parts.row(name, *cells)
    if name in GOALS:
        rmse, ll = (np.mean([fit[figure] for fit in fits]) for figure in ("rmse", "ll"))
        met = rmse <= GOALS[name][0] and ll >= GOALS[name][1]
        print(f"\ngoals {GOALS[name]} {'met' if met else 'MISSED'}")
    return fits


def _measure(name: str, split: int) -> dict[str, Any]:
    fit = tfbdl.fit("bbb", name, data_options={"split": split}, seed=split)
    figures = {**fit.metrics, "ll": -fit.metrics["nll"], "split": split}
    print(f"split {split}: RMSE {figures['rmse']:.4g}, LL {figures['ll']:.3f}", flush=True)
    return figures


def _cell(values: list[float], digits: int) -> str:
    """Mean and standard error."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.{digits}f} ± {error:.{digits}f}"


if __name__ == "__main__":
    parts.run("uci", __doc__, {name: functools.partial(run, name) for name in SETS})
