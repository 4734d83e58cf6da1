"""What an iteration costs: ten generators in one graph, ten models, one generator; SGHMC, Adam."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tfbdl_bayesian_gan import BayesianGAN
from tfbdl_bayesian_gan.recipe import Recipe, Rows, State
from tfbdl_bayesian_gan.simulators import synthetic

from benchmarks import harness, parts

STEPS, ROUNDS, GENERATORS = 20, 10, 10
ONE_GRAPH = "SGHMC, 10 generators in one graph"
SEPARATE = "SGHMC, 10 models of one generator"
ADAM = "Adam, 10 generators in one graph"
FEWER = "SGHMC, 10 generators in one graph, 7 rows of each for the discriminator"
RATIOS = {
    "10 generators in one graph to 10 models, SGHMC": (ONE_GRAPH, SEPARATE),
    "the same with 7 rows of each for the discriminator": (FEWER, SEPARATE),
    "10 generators in one graph to 1 generator, SGHMC": (ONE_GRAPH, "SGHMC, 1 generator"),
    "SGHMC to Adam, 10 generators in one graph": (ONE_GRAPH, ADAM),
}


class Contestant:
    """Iterations of some models of one form, each from wherever it is, one after the other.

    Args:
        rows: Of the data.
        samples: Iterations of SGHMC; else of Adam.
        models: How many.
        options: Of each model.
    """

    def __init__(self, rows: Rows, samples: bool, models: int = 1, **options: Any) -> None:
        self.rows = rows
        made = [
            BayesianGAN(100, seed=seed, warmup=0 if samples else 10**6, **options)
            for seed in range(models)
        ]
        # Models of one form share what is compiled; each has weights of its own.
        self.recipe: Recipe = made[0].recipe(made[0].options, int(rows.x.shape[0]))
        self.states: list[State] = [model.chain.state() for model in made]

    def __call__(self) -> None:
        """Make some iterations."""
        self.states = [self.recipe.advance(state, self.rows, STEPS)[0] for state in self.states]


def run() -> dict[str, Any]:
    """Milliseconds of an iteration, of processor time, in turn in one process, and their ratios."""
    import tensorflow as tf

    rows = Rows(tf.constant(synthetic(10_000, 0).x))
    contestants: dict[str, Callable[[], None]] = {
        ONE_GRAPH: Contestant(rows, True, generators=GENERATORS),
        SEPARATE: Contestant(rows, True, models=GENERATORS, generators=1),
        "SGHMC, 1 generator": Contestant(rows, True, generators=1),
        ADAM: Contestant(rows, False, generators=GENERATORS),
        FEWER: Contestant(rows, True, generators=GENERATORS, fake_rows=7),
    }
    for contestant in contestants.values():
        contestant()  # traced and compiled
    seconds = harness.alternate(contestants, ROUNDS, time.process_time)
    parts.header("contestant", f"ms an iteration, best of {ROUNDS}", "median and range")
    for name, values in seconds.items():
        each = (1e3 * np.asarray(values) / STEPS).tolist()
        parts.row(name, f"{min(each):.1f}", parts.spread(each, 1))
    print()
    parts.header("ratio", "of the best", "median of pairs", "90 % interval")
    ratios = {}
    for name, (ours, theirs) in RATIOS.items():
        best = min(seconds[ours]) / min(seconds[theirs])
        median, low, high = harness.ratio(seconds[ours], seconds[theirs])
        ratios[name] = {"best": best, "median": median, "interval": [low, high]}
        parts.row(name, f"{best:.2f}", f"{median:.2f}", f"{low:.2f} to {high:.2f}")
    return {"seconds": seconds, "steps": STEPS, "ratios": ratios}
