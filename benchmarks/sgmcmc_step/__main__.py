"""What a step of SGLD and SGHMC costs beside a step of Adam on the same net.

``python -m benchmarks.sgmcmc_step`` times a 784-400-400-10 net with minibatches of 128, all
contestants alternately in one process: Adam through Keras' ``fit``, as Keras compiles it and under
XLA; then SGLD, SGHMC, Adam and plain ascent in the loop that runs the samplers. It first checks
that the gradient of the sampler is the one that Keras computes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfbdl
from benchmarks import harness
from tfbdl import random
from tfbdl.inference import sgmcmc

ROWS = 20_000
BATCH = 128


class GradientRule(sgmcmc.SgldRule):
    """A step along the gradient, without noise: the least that a sampler could cost."""

    def move(self, params: Any, slots: Any, estimate: Any, noise: Any, **now: Any) -> Any:
        move = lambda p, g: p + tf.cast(now["step_size"], p.dtype) * g  # noqa: E731
        return tf.nest.map_structure(move, params, estimate.gradient), ()


def main() -> None:
    """Check, time, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.random((ROWS, 784), dtype="float32")
    y = rng.integers(0, 10, ROWS).astype("int32")
    _check_gradient(x[:BATCH], y[:BATCH])
    contestants: dict[str, Callable[[], Any]] = {
        "Adam, Keras fit": _adam("auto", x, y, arguments.steps),
        "Adam, Keras fit, XLA": _adam(True, x, y, arguments.steps),
        "SGLD": _sampler(sgmcmc.SgldRule(), x, y, arguments.steps),
        "SGHMC": _sampler(sgmcmc.SghmcRule(), x, y, arguments.steps),
        "Adam in the sampler's loop": _sampler(sgmcmc.AdamRule(1e-8, 10**9), x, y, arguments.steps),
        "gradient ascent, no noise": _sampler(GradientRule(), x, y, arguments.steps),
    }
    for run in contestants.values():
        run()  # trace and compile
    seconds = harness.alternate(contestants, arguments.rounds)
    print(
        "\n| step | ms | of Adam | of Adam under XLA | of Adam in the loop |\n|---|---|---|---|---|"
    )
    figures = {}
    for name, values in seconds.items():
        per_step = 1e3 * np.asarray(values) / arguments.steps
        to_keras = harness.ratio(values, seconds["Adam, Keras fit"])
        to_xla = harness.ratio(values, seconds["Adam, Keras fit, XLA"])
        to_loop = harness.ratio(values, seconds["Adam in the sampler's loop"])
        print(
            f"| {name} | {np.median(per_step):.2f} ({per_step.min():.2f}-{per_step.max():.2f}) | "
            f"{to_keras[0]:.2f} [{to_keras[1]:.2f}, {to_keras[2]:.2f}] | "
            f"{to_xla[0]:.2f} [{to_xla[1]:.2f}, {to_xla[2]:.2f}] | "
            f"{to_loop[0]:.2f} [{to_loop[1]:.2f}, {to_loop[2]:.2f}] |"
        )
        figures[name] = {
            "ms": per_step.tolist(),
            "to_keras": to_keras,
            "to_keras_xla": to_xla,
            "to_adam_in_loop": to_loop,
        }
    print(harness.write("sgmcmc_step", figures))


def _net() -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((784,)),
            layers.Dense(400, "relu"),
            layers.Dense(400, "relu"),
            layers.Dense(10),
        ]
    )


def _adam(jit: bool | str, x: np.ndarray, y: np.ndarray, steps: int) -> Callable[[], Any]:
    net = _net()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile("adam", loss, jit_compile=jit)
    rows = BATCH * steps
    return lambda: net.fit(x[:rows], y[:rows], batch_size=BATCH, epochs=1, verbose=0)


def _density(x: np.ndarray, y: np.ndarray, net: keras.Model) -> sgmcmc.StochasticDensity:
    model = tfbdl.BayesianNetwork(net, "categorical", "normal")
    model.num_data = len(x)
    rows = (tf.constant(x), tf.constant(y))
    return sgmcmc.StochasticDensity(model, rows, batch_size=BATCH)


def _sampler(rule: Any, x: np.ndarray, y: np.ndarray, steps: int) -> Callable[[], Any]:
    density = _density(x, y, _net())
    schedule = sgmcmc.Constant(step_size=1e-8)
    loop = sgmcmc.Loop(density, rule, schedule, random.key(0), chains=1, warmup=10**9)
    states = [loop.start(density.initial_states(1, seed=0), 1)]

    def run() -> None:
        state, _ = loop.advance(states[0], tf.constant(steps), tf.constant(1))
        states[0] = state
        np.isfinite(state.log_joint.numpy()).all()

    return run


def _check_gradient(x: np.ndarray, y: np.ndarray) -> None:
    """The sampler's gradient is Keras' gradient of the same loss, and the prior's: minus w."""
    net = _net()
    density = _density(x, y, net)
    values = {n: v.value[tf.newaxis] for n, v in density.model.weight_sites().items()}
    ours = density.full_gradient(values)
    with tf.GradientTape() as tape:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, net(x))
        total = -len(x) * loss - sum(tf.nn.l2_loss(w.value) for w in net.trainable_variables)
    theirs = tape.gradient(total, [w.value for w in net.trainable_variables])
    for name, gradient in zip(density.model.weight_sites(), theirs, strict=True):
        np.testing.assert_allclose(ours[name][0], gradient, rtol=1e-3, atol=1e-3)


if __name__ == "__main__":
    main()
