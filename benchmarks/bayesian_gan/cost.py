"""What an iteration costs: ten generators in one graph, ten models, one generator; SGHMC, Adam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tfbdl_bayesian_gan import BayesianGAN
from tfbdl_bayesian_gan.recipe import Recipe, Rows, State
from tfbdl_bayesian_gan.simulators import synthetic

from benchmarks import harness, parts

STEPS, ROUNDS = 20, 9
SAMPLING = 1_000


class Contestant:
    """Iterations of one model, from wherever it is.

    Args:
        rows: Of the data.
        samples: Iterations of SGHMC; else of Adam.
        options: Of the model.
    """

    def __init__(self, rows: Rows, samples: bool, **options: Any) -> None:
        self.rows = rows
        model = BayesianGAN(100, seed=1, warmup=0 if samples else SAMPLING, **options)
        self.recipe: Recipe = model.recipe(model.options, int(rows.x.shape[0]))
        self.state: State = model.chain.state()

    def __call__(self) -> None:
        """Make some iterations."""
        self.state, _ = self.recipe.advance(self.state, self.rows, STEPS)


def run() -> dict[str, Any]:
    """Milliseconds of an iteration, in turn in one process, and their ratios."""
    import tensorflow as tf

    rows = Rows(tf.constant(synthetic(10_000, 0).x))
    ten = [Contestant(rows, True, generators=1) for _ in range(10)]

    def separate() -> None:
        for model in ten:
            model()

    contestants: dict[str, Callable[[], None]] = {
        "SGHMC, 10 generators in one graph": Contestant(rows, True, generators=10),
        "SGHMC, 10 models of one": separate,
        "SGHMC, 1 generator": Contestant(rows, True, generators=1),
        "Adam, 10 generators in one graph": Contestant(rows, False, generators=10),
        "SGHMC, 10 generators, 64 fakes of each": Contestant(
            rows, True, generators=10, fake_rows=64
        ),
    }
    for contestant in contestants.values():
        contestant()  # traced and compiled
    seconds = harness.alternate(contestants, ROUNDS)
    parts.header("contestant", "ms an iteration")
    for name, values in seconds.items():
        parts.row(name, parts.spread((1e3 * np.asarray(values) / STEPS).tolist(), 1))
    first = seconds["SGHMC, 10 generators in one graph"]
    ratios = {
        f"to {other}": harness.ratio(first, seconds[other])
        for other in contestants
        if seconds[other] is not first
    }
    print()
    parts.header("10 generators in one graph by SGHMC", "ratio", "90 % interval")
    for name, (median, low, high) in ratios.items():
        parts.row(name, f"{median:.2f}", f"{low:.2f} to {high:.2f}")
    return {"seconds": seconds, "steps": STEPS, "ratios": ratios}
