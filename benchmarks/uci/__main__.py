"""Bayes by Backprop on UCI regression sets with fixed splits, one set of options for all.

``python -m benchmarks.uci`` needs the sets in ``$TFBDL_DATA/uci``; it prints the table of the
README and writes ``benchmarks/results/uci.json``.
"""

from __future__ import annotations

import argparse

import numpy as np

import tfbdl
from benchmarks import harness

SETS = ("yacht", "boston", "energy", "concrete")
LIMITS = {  # mean test RMSE at most, mean test log-likelihood at least
    "yacht": (0.95, -1.45),
    "boston": (3.4, -2.7),
    "energy": (0.9, -1.25),
    "concrete": (5.8, -3.2),
}


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--splits", type=int, default=5)
    arguments = parser.parse_args()
    figures = {name: _measure(name, arguments.splits) for name in arguments.sets}
    print("| set | RMSE | log-likelihood | coverage of 90 % | epistemic share | seconds a fit |")
    print("|---|---|---|---|---|---|")
    for name, rows in figures.items():
        cells = [_cell(rows, metric, digits) for metric, digits in COLUMNS]
        print(f"| {name} | {' | '.join(cells)} |")
    for name, rows in figures.items():
        if name in LIMITS:
            rmse, log_likelihood = (np.mean([row[m] for row in rows]) for m in ("rmse", "ll"))
            met = rmse <= LIMITS[name][0] and log_likelihood >= LIMITS[name][1]
            print(f"{name}: limits {LIMITS[name]} {'met' if met else 'MISSED'}")
    print(harness.write("uci", figures))


COLUMNS = (
    ("rmse", 2),
    ("ll", 2),
    ("coverage_90", 2),
    ("epistemic_share", 2),
    ("seconds", 0),
)


def _measure(name: str, splits: int) -> list[dict[str, float]]:
    rows = []
    for split in range(splits):
        fit = tfbdl.fit("bbb", name, data_options={"split": split}, seed=split)
        rows.append({**fit.metrics, "ll": -fit.metrics["nll"], "split": split})
        print(f"{name} split {split}: RMSE {fit.metrics['rmse']:.3f}, LL {rows[-1]['ll']:.3f}")
    return rows


def _cell(rows: list[dict[str, float]], metric: str, digits: int) -> str:
    values = np.asarray([row[metric] for row in rows])
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{values.mean():.{digits}f} ± {error:.{digits}f}"


if __name__ == "__main__":
    main()
