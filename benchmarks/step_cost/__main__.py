"""What a training step of a mean-field net costs beside the plain Keras net of the same shape.

``python -m benchmarks.step_cost`` times ``fit`` of 784-400-400-10 nets, alternately in one
process: plain Keras as Keras compiles it, plain Keras under XLA, and a BayesianNetwork. Three more
contestants take the cost apart. It first checks that a BayesianNetwork without spread computes
what the plain net computes.
"""

from __future__ import annotations

import argparse
from typing import Any

import keras
import numpy as np

import tfbdl
from benchmarks import harness
from tfbdl.testing import frozen_noise


def main() -> None:
    """Check, time, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 1024])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    figures = {}
    for batch in arguments.batch:
        rng = np.random.default_rng(0)
        x = rng.random((batch * arguments.steps, 784), dtype="float32")
        y = rng.integers(0, 10, len(x)).astype("int32")
        _check_equal(x[:batch], y[:batch])
        figures[str(batch)] = _time(x, y, batch, arguments.rounds, arguments.steps)
    print(harness.write("step_cost", figures))


def _time(x: np.ndarray, y: np.ndarray, batch: int, rounds: int, steps: int) -> dict[str, Any]:
    models = {
        "Keras": _plain("auto"),
        "Keras, XLA": _plain(True),
        "mean field, normal prior": _bayesian("normal"),
        "mean field, scale mixture": _bayesian("scale_mixture"),
        "point mass (no noise, one Adam)": _bayesian("normal", posterior="delta"),
        "mean field, noise switched off": _bayesian("normal"),
    }

    def fit(name: str) -> Any:
        def run() -> None:
            models[name].fit(x, y, batch_size=batch, epochs=1, verbose=0)

        return run

    with frozen_noise():  # acts where a step is traced: in this first call
        fit("mean field, noise switched off")()
    contestants = {name: fit(name) for name in models}
    for run in contestants.values():
        run()  # trace and compile
    seconds = harness.alternate(contestants, rounds)
    print(f"\n| batch {batch} | ms a step | of Keras | of Keras under XLA |\n|---|---|---|---|")
    table = {}
    for name, values in seconds.items():
        per_step = 1e3 * np.asarray(values) / steps
        to_keras = harness.ratio(values, seconds["Keras"])
        to_xla = harness.ratio(values, seconds["Keras, XLA"])
        print(
            f"| {name} | {np.median(per_step):.2f} ({per_step.min():.2f}-{per_step.max():.2f}) | "
            f"{to_keras[0]:.2f} [{to_keras[1]:.2f}, {to_keras[2]:.2f}] | "
            f"{to_xla[0]:.2f} [{to_xla[1]:.2f}, {to_xla[2]:.2f}] |"
        )
        table[name] = {"ms": per_step.tolist(), "to_keras": to_keras, "to_keras_xla": to_xla}
    return table


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


def _plain(jit: bool | str) -> keras.Model:
    net = _net()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile("adam", loss, jit_compile=jit)
    return net


def _bayesian(prior: str, **options: Any) -> tfbdl.BayesianNetwork:
    model = tfbdl.BayesianNetwork(_net(), "categorical", prior, **options)
    model.compile("adam")
    return model


def _check_equal(x: np.ndarray, y: np.ndarray) -> None:
    """A BayesianNetwork without spread has the plain net's loss, and moves its weights alike."""
    net = _plain(True)
    options = {"initial_raw_scale": -80.0}
    model = tfbdl.BayesianNetwork(
        tfbdl.functional.clone(net), "categorical", posterior_options=options, kl_weight=0.0
    )
    sgd = keras.optimizers.SGD
    model.compile(sgd(0.1))
    net.compile(sgd(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    plain = net.train_on_batch(x, y, return_dict=True)["loss"]
    model.num_data = len(x)
    ours = model.train_on_batch(x, y, return_dict=True)["loss"]
    np.testing.assert_allclose(ours, plain, rtol=1e-5)
    for mine, theirs in zip(model.net.get_weights(), net.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)


if __name__ == "__main__":
    main()
