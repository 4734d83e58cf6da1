"""Draws of the weights over 10,000 inputs beside as many passes of the plain net, alternately."""

from __future__ import annotations

import resource
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfbdl
from benchmarks import harness, parts

from . import nets

ROWS = 10_000
DRAWS = (8, 32, 128)
ROUNDS = 9
GOAL = 1.15


def run() -> dict[str, Any]:
    """Check that draws without spread predict what the plain net does, then time."""
    x = np.random.default_rng(0).random((ROWS, 784), dtype="float32")
    net = nets.shape()
    model = tfbdl.BayesianNetwork(net, "categorical")
    narrow = tfbdl.BayesianNetwork(
        tfbdl.functional.clone(net), "categorical", posterior_options={"initial_raw_scale": -80.0}
    )
    expected = keras.ops.softmax(net(x[:500]))
    np.testing.assert_allclose(narrow.predictive(x[:500], 3).probs, expected, atol=1e-5)

    @tf.function
    def passed(inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(net(inputs))

    inputs = tf.constant(x)
    found: dict[str, Any] = {}
    parts.header(
        "draws", "s by draws", "s by passes of the plain net", "ratio", "peak memory so far, GiB"
    )
    for draws in DRAWS:

        def drawn(count: int = draws) -> Any:
            return model.predictive(x, count).probs

        def plain(count: int = draws) -> Any:
            total = np.zeros((ROWS, 10), "float32")
            for _ in range(count):
                total += passed(inputs).numpy()
            return total / count

        drawn()
        plain()
        seconds = harness.alternate({"draws": drawn, "passes": plain}, ROUNDS)
        middle, low, high = ratio = harness.ratio(seconds["draws"], seconds["passes"])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        parts.row(
            draws,
            parts.spread(seconds["draws"], 2),
            parts.spread(seconds["passes"], 2),
            f"{middle:.2f} [{low:.2f}, {high:.2f}]",
            f"{peak:.2f}",
        )
        found[str(draws)] = {**seconds, "ratio": ratio, "peak GiB": peak}
    print(f"\ngoal: at most {GOAL}")
    return found
