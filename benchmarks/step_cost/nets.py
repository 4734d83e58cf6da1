"""``fit`` of a mean-field net beside the plain Keras net of its shape, and what it is made of."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

import tfbdl
from benchmarks import harness
from tfbdl.testing import frozen_noise

ROUNDS = 9
STEPS = 60
EPOCHS = 3  # of a fit, whose checks of the data are done once


def run(batch: int) -> dict[str, Any]:
    """Check that a BayesianNetwork without spread computes what the plain net does, then time."""
    x, y = rows(batch)
    _check_equal(x[:batch], y[:batch])
    return _time(x, y, batch)


def rows(batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of noise and labels, of an epoch."""
    rng = np.random.default_rng(0)
    x = rng.random((batch * STEPS, 784), dtype="float32")
    return x, rng.integers(0, 10, len(x)).astype("int32")


def _time(x: np.ndarray, y: np.ndarray, batch: int) -> dict[str, Any]:
    models = {
        "Keras": plain("auto"),
        "Keras, XLA": plain(True),
        "mean field, normal prior": bayesian("normal"),
        "mean field, scale mixture": bayesian("scale_mixture"),
        "point mass (no noise, one Adam)": bayesian("normal", posterior="delta"),
        "mean field, noise switched off": bayesian("normal"),
    }

    def fit(name: str) -> Any:
        def run() -> None:
            models[name].fit(x, y, batch_size=batch, epochs=EPOCHS, verbose=0)

        return run

    with frozen_noise():  # acts where a step is traced: in this first call
        fit("mean field, noise switched off")()
    contestants = {name: fit(name) for name in models}
    for run in contestants.values():
        run()  # trace and compile
    seconds = harness.alternate(contestants, ROUNDS)
    print(f"\n| batch {batch} | ms a step | of Keras | of Keras under XLA |\n|---|---|---|---|")
    table = {}
    for name, values in seconds.items():
        per_step = 1e3 * np.asarray(values) / (EPOCHS * STEPS)
        to_keras = harness.ratio(values, seconds["Keras"])
        to_xla = harness.ratio(values, seconds["Keras, XLA"])
        print(
            f"| {name} | {np.median(per_step):.2f} ({per_step.min():.2f}-{per_step.max():.2f}) | "
            f"{to_keras[0]:.2f} [{to_keras[1]:.2f}, {to_keras[2]:.2f}] | "
            f"{to_xla[0]:.2f} [{to_xla[1]:.2f}, {to_xla[2]:.2f}] |"
        )
        table[name] = {"ms": per_step.tolist(), "to_keras": to_keras, "to_keras_xla": to_xla}
    return table


def shape() -> keras.Model:
    """784-400-400-10."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((784,)),
            layers.Dense(400, "relu"),
            layers.Dense(400, "relu"),
            layers.Dense(10),
        ]
    )


def plain(jit: bool | str) -> keras.Model:
    """The plain net, compiled."""
    net = shape()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile("adam", loss, jit_compile=jit)
    return net


def bayesian(prior: str, **options: Any) -> tfbdl.BayesianNetwork:
    """The mean-field net, compiled."""
    model = tfbdl.BayesianNetwork(shape(), "categorical", prior, **options)
    model.compile("adam")
    return model


def _check_equal(x: np.ndarray, y: np.ndarray) -> None:
    """A BayesianNetwork without spread has the plain net's loss, and moves its weights alike."""
    net = plain(True)
    options = {"initial_raw_scale": -80.0}
    model = tfbdl.BayesianNetwork(
        tfbdl.functional.clone(net), "categorical", posterior_options=options, kl_weight=0.0
    )
    sgd = keras.optimizers.SGD
    model.compile(sgd(0.1))
    net.compile(sgd(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    theirs = net.train_on_batch(x, y, return_dict=True)["loss"]
    model.num_data = len(x)
    ours = model.train_on_batch(x, y, return_dict=True)["loss"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    for mine, other in zip(model.net.get_weights(), net.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-5)
