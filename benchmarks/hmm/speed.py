"""Milliseconds of a likelihood and of marginals beside ``tfd.HiddenMarkovModel``.

Both take the observations and compute their densities too. The call of a user, from NumPy to
NumPy, is timed beside the bare programs. With a transition that is forbidden the recursions are
those in log space.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tfbdl_hmm import programs
from tfbdl_hmm.model import HiddenMarkovModel

from benchmarks import harness

tfd = tfp.distributions

ROUNDS = 101
GRAPH_ROUNDS = 21
STATES, DIMENSION = 4, 2
CASES = ((1, 1000, False), (1, 1000, True), (50, 1000, False), (50, 1000, True))
"""Sequences, steps, whether a transition is forbidden."""
QUERIES = {"log likelihood": programs.log_prob, "marginals": programs.marginals}


def run() -> dict[str, Any]:
    """Time each query at each size, and print a table."""
    print("| sequences x steps | | tfbdl | user's call | TFP, XLA | TFP, graph | ratio to XLA |")
    print("|---|---|---|---|---|---|---|")
    figures = {}
    for n, steps, forbidden in CASES:
        case = f"{n} x {steps:,}{', one forbidden' if forbidden else ''}"
        for query in QUERIES:
            figures[f"{query}, {case}"] = found = _compare(query, n, steps, forbidden)
            cells = [_spread(found["ms"][name]) for name in found["ms"]]
            middle, low, high = found["ratio"]
            cells.append(f"{middle:.2f} [{low:.2f}, {high:.2f}]")
            print(f"| {case} | {query} | {' | '.join(cells)} |", flush=True)
    return figures


def _compare(query: str, n: int, steps: int, forbidden: bool) -> dict[str, Any]:
    model = _model(forbidden)
    y = model.sample(steps, n=n, seed=0)[1]
    params = {name: tf.constant(value) for name, value in model.params.items()}
    rows, density = tf.constant(y), model.emission.log_prob
    call = model.log_prob if query == "log likelihood" else model.posterior_marginals
    compiled = tf.function(_peer(query, steps), jit_compile=True, autograph=False)
    graph = tf.function(_peer(query, steps), autograph=False)
    contestants: dict[str, Callable[[], Any]] = {
        "tfbdl": lambda: programs.answer(QUERIES[query], density, params, rows).value.numpy(),
        "user's call": lambda: call(y),
        "TFP, XLA": lambda: compiled(params, rows).numpy(),
    }
    slow = {"TFP, graph": lambda: graph(params, rows).numpy()}
    answers = [np.asarray(run()) for run in (contestants | slow).values()]  # compiles, too
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], rtol=1e-9, atol=1e-12)
    seconds = harness.alternate(contestants, ROUNDS)
    ratio = harness.ratio(seconds["tfbdl"], seconds["TFP, XLA"])
    seconds |= harness.alternate(slow, GRAPH_ROUNDS)
    return {"ms": {name: [1e3 * s for s in each] for name, each in seconds.items()}, "ratio": ratio}


def _model(forbidden: bool) -> HiddenMarkovModel:
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(np.ones(STATES), STATES)
    if forbidden:
        transition[0, -1] = 0.0
        transition[0] /= transition[0].sum()
    roots = rng.normal(size=(STATES, DIMENSION, DIMENSION))
    return HiddenMarkovModel.of(
        np.full(STATES, 1.0 / STATES),
        transition,
        means=2.0 * rng.normal(size=(STATES, DIMENSION)),
        covariances=roots @ np.swapaxes(roots, 1, 2) + 0.5 * np.eye(DIMENSION),
    )


def _peer(query: str, steps: int) -> Callable[..., tf.Tensor]:
    def answer(params: dict[str, tf.Tensor], y: tf.Tensor) -> tf.Tensor:
        factors = tf.linalg.cholesky(params["covariances"])
        peer = tfd.HiddenMarkovModel(
            tfd.Categorical(probs=params["initial"]),
            tfd.Categorical(probs=params["transition"]),
            tfd.MultivariateNormalTriL(params["means"], factors),
            steps,
        )
        if query == "log likelihood":
            return peer.log_prob(y)
        return peer.posterior_marginals(y).probs_parameter()

    return answer


def _spread(values: list[float]) -> str:
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    return f"{middle:.3g} ({low:.3g}-{high:.3g})"
