"""MC dropout on UCI regression sets by the published protocol (see ``protocol``).

``python -m benchmarks.mc_dropout`` reads the sets in ``$TFBDL_DATA/uci``, ``--only yacht`` one.
On each of the first five fixed splits rate and precision are chosen on training rows alone; the net
is then trained on all of them by the engine's own schedule and, for comparison, by the published
one. It prints the figures of the engines' README and writes ``benchmarks/results/mc_dropout.json``.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

import tfbdl
from benchmarks import parts

from .protocol import MASKS, TAUS, choose, fitted, scores

SPLITS = range(5)
GOALS = {  # mean test RMSE at most, mean test log likelihood at least
    "boston": (3.5, -2.6),
    "concrete": (5.4, -3.1),
    "yacht": (1.1, -1.7),
}
SCHEDULES: dict[str, dict[str, Any]] = {
    "tfbdl": {},
    "published": {"epochs": 4000, "learning_rate": 1e-3, "schedule": "constant"},
}
FIGURES = ("rmse", "ll", "rmse without masks", "ll without masks")


def run(name: str) -> dict[str, Any]:
    """All splits of one set."""
    began = time.perf_counter(), time.process_time()
    splits = [_measure(name, split) for split in SPLITS]
    took = time.perf_counter() - began[0], time.process_time() - began[1]
    print()
    parts.header("schedule", *FIGURES)
    for schedule in SCHEDULES:
        columns = ([split[schedule][figure] for split in splits] for figure in FIGURES)
        parts.row(schedule, *map(_cell, columns))
    rates, taus = (_counted(split[what] for split in splits) for what in ("rate", "tau"))
    print(f"\nchosen: rates {rates}; precisions {taus}")
    rmse, ll = (np.mean([split["tfbdl"][figure] for split in splits]) for figure in ("rmse", "ll"))
    met = rmse <= GOALS[name][0] and ll >= GOALS[name][1]
    print(f"goals {GOALS[name]} {'met' if met else 'MISSED'}")
    print(f"{took[0] / 60:.1f} minutes, {took[1] / 60:.1f} of processor time", flush=True)
    return {"splits": splits, "seconds": took[0], "processor seconds": took[1]}


def _measure(name: str, split: int) -> dict[str, Any]:
    from tfbdl.run import load_data

    data = load_data(tfbdl.plan("bbb", name, data_options={"split": split}))
    assert data is not None
    rate, tau, ll = choose(data, TAUS[name], seed=split)[0]
    found: dict[str, Any] = {"split": split, "rate": rate, "tau": tau, "validation ll": ll}
    for schedule, options in SCHEDULES.items():
        fit = fitted(data, rate, tau, seed=split, draws=MASKS, **options)
        found[schedule] = scores(fit, data)
    shown = ", ".join(f"{figure} {found['tfbdl'][figure]:.3f}" for figure in FIGURES)
    print(f"split {split}: rate {rate}, precision {tau}, {shown}", flush=True)
    return found


def _cell(values: list[float]) -> str:
    """Mean and standard error."""
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.2f}"


def _counted(values: Iterable[float]) -> str:
    return ", ".join(f"{value} ({n})" for value, n in sorted(Counter(values).items()))


PARTS = {name: functools.partial(run, name) for name in TAUS}

if __name__ == "__main__":
    parts.run("mc_dropout", __doc__, PARTS)
