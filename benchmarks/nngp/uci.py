"""UCI regression sets, published splits 0 to 4: ``nngp``, ``gp`` and the mean-field net ``bbb``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import tfbdl
from benchmarks import harness
from benchmarks.parts import header, row, spread

SETS = ("yacht", "boston", "energy", "concrete")
SPLITS = range(5)
CONTESTANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
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
        rows = {
            name: [_fit(model, data, split, options) for split in SPLITS]
            for name, (model, options) in CONTESTANTS.items()
        }
        figures[data] = rows
        shown = rows | ({BBB: known[data]} if data in known else {})
        for name, fits in shown.items():
            cells = [spread((fit[f] for fit in fits), 2) for f in ("rmse", "ll")]
            row(data, name, *cells, spread((fit["seconds"] for fit in fits), 1))
    return figures


def _fit(model: str, data: str, split: int, options: Mapping[str, Any]) -> dict[str, float]:
    fit = tfbdl.fit(model, data, data_options={"split": split}, model_options=options, seed=split)
    found = {name: float(fit.metrics[name]) for name in ("rmse", "nll", "seconds", "coverage_90")}
    return found | {"ll": -found["nll"]}
