"""UCI regression sets, published splits 0 to 4: ``nngp``, ``gp`` and the mean-field net ``bbb``."""

from __future__ import annotations

import itertools
import json
from typing import Any

from benchmarks import harness
from benchmarks.parts import header, row, spread
from benchmarks.splits import Contestants, over_splits

SETS = ("yacht", "boston", "energy", "concrete")
SPLITS = range(5)
FIGURES = ("rmse", "nll", "seconds", "coverage_90")
CONTESTANTS: Contestants = {
    "nngp, ReLU": ("nngp", {}),
    "nngp, erf": ("nngp", {"activation": "erf"}),
    "gp, rbf": ("gp", {"ard": True}),
}
BBB = "bbb"


def run() -> dict[str, Any]:
    """RMSE, log-likelihood and seconds of a fit; those of ``bbb`` are of the benchmark ``uci``."""
    path = harness.RESULTS / "uci.json"
    known = json.loads(path.read_text())["figures"] if path.exists() else {}
    header("set", "model", "RMSE", "log-likelihood", "seconds a fit")
    figures: dict[str, Any] = {}
    for data in SETS:
        rows = over_splits(data, CONTESTANTS, SPLITS, FIGURES)
        for fit in itertools.chain.from_iterable(rows.values()):
            fit["ll"] = -fit["nll"]
        figures[data] = rows
        shown = rows | ({BBB: known[data]} if data in known else {})
        for name, fits in shown.items():
            cells = [spread((fit[f] for fit in fits), 2) for f in ("rmse", "ll")]
            row(data, name, *cells, spread((fit["seconds"] for fit in fits), 1))
    return figures
