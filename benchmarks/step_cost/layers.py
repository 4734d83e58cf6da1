"""``fit`` of mean-field nets beside tfp.layers on Keras 2, and beside bayesian-torch.

784-400-400-10 at batch 128, in one run, alternately. First all must agree on the divergence of one
posterior from the prior and, without spread, on the loss of one batch.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd
from tensorflow_probability import layers as tfp_layers

import tfbdl
from benchmarks import harness, parts
from benchmarks.peer import Peer
from tfbdl import layers

from . import nets

BATCH = 128
ROUNDS = 9
SIZES = (784, 400, 400, 10)
RAW_SCALE = -5.0
NARROW = -80.0
GOALS = {"tfp.layers": 0.30, "tfp.layers, XLA": 0.30, "bayesian-torch": 0.55}

Fit = Callable[[], float]
Arrays = list[np.ndarray]


def run(peer_python: str) -> dict[str, Any]:
    """Check, time, print."""
    x, y = nets.rows(BATCH)
    rng = np.random.default_rng(1)
    weights = [
        array.astype("float32")
        for inputs, units in itertools.pairwise(SIZES)
        for array in (rng.normal(0, inputs**-0.5, (inputs, units)), rng.normal(0, 0.1, units))
    ]
    with tempfile.TemporaryDirectory() as folder, Peer(peer_python, Path(__file__).parent) as peer:
        path = Path(folder) / "rows.npz"
        arrays = {f"w{index}": weight for index, weight in enumerate(weights)}
        np.savez(path, x=x, y=y, **arrays)
        torch = peer.ask(do="start", file=str(path), batch=BATCH)
        _check(weights, x[:BATCH], y[:BATCH], torch)

        def torch_fit() -> float:
            return float(peer.ask(do="fit", epochs=nets.EPOCHS))

        contestants = {
            "BayesianNetwork": _fit(nets.bayesian("normal"), x, y),
            "tfbdl.layers": _fit(_layered(weights, len(x)), x, y),
            "tfp.layers": _fit(_tfp(weights, len(x)), x, y),
            "tfp.layers, XLA": _fit(_tfp(weights, len(x), jit=True), x, y),
            "bayesian-torch": torch_fit,
        }
        return _table(contestants)


def _table(contestants: dict[str, Fit]) -> dict[str, Any]:
    for fit in contestants.values():
        fit()  # trace and compile
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(ROUNDS):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            seconds[name].append(contestants[name]())
    ours = ("BayesianNetwork", "tfbdl.layers")
    parts.header("net", "ms a step", *(f"`{name}` of it" for name in ours), "goal")
    found: dict[str, Any] = {}
    for name, values in seconds.items():
        each = [1e3 * value / (nets.EPOCHS * nets.STEPS) for value in values]
        ratios = [harness.ratio(seconds[one], values) for one in ours]
        cells = [f"{middle:.2f} [{low:.2f}, {high:.2f}]" for middle, low, high in ratios]
        parts.row(name, parts.spread(each, 1), *cells, GOALS.get(name, ""))
        found[name] = {"ms": each, **dict(zip(ours, ratios, strict=True))}
    return found


def _fit(model: Any, x: np.ndarray, y: np.ndarray) -> Fit:
    def fit() -> float:
        began = time.perf_counter()
        model.fit(x, y, batch_size=BATCH, epochs=nets.EPOCHS, verbose=0)
        return time.perf_counter() - began

    return fit


# -- the nets ------------------------------------------------------------------------------------


def _layered(weights: Arrays, num_data: int, raw_scale: float = RAW_SCALE) -> keras.Model:
    """Of the layers of tfbdl, with posteriors over kernels and biases."""
    posterior = layers.default_mean_field_normal_fn()
    prior = layers.default_multivariate_normal_fn
    both = {"bias_posterior_fn": posterior, "bias_prior_fn": prior}
    found = [
        layers.DenseReparameterization(units, activation, num_data=num_data, **both)
        for units, activation in zip(SIZES[1:], ("relu", "relu", None), strict=True)
    ]
    net = keras.Sequential([keras.Input((784,)), *found])
    _set(net, weights, raw_scale)
    net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return net


def _tfp(weights: Arrays, num_data: int, raw_scale: float = RAW_SCALE, jit: bool = False) -> Any:
    """Of TFP's layers on Keras 2, with the same posteriors."""
    posterior = tfp_layers.default_mean_field_normal_fn()

    def divergence(q: Any, p: Any, _: Any) -> tf.Tensor:
        return tfd.kl_divergence(q, p) / num_data

    found = [
        tfp_layers.DenseReparameterization(
            units,
            activation,
            kernel_divergence_fn=divergence,
            bias_posterior_fn=posterior,
            bias_prior_fn=tfp_layers.default_multivariate_normal_fn,
            bias_divergence_fn=divergence,
        )
        for units, activation in zip(SIZES[1:], ("relu", "relu", None), strict=True)
    ]
    net = tf_keras.Sequential([tf_keras.layers.InputLayer((784,)), *found])
    _set(net, weights, raw_scale)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile("adam", loss, jit_compile=jit)
    return net


def _set(net: Any, weights: Arrays, raw_scale: float) -> None:
    """Locations and raw scales of both libraries' layers, by the names of their variables."""
    for layer, kernel, bias in zip(net.layers, weights[::2], weights[1::2], strict=True):
        for variable in layer.trainable_variables:
            values = kernel if "kernel" in variable.name or "kernel" in _path(variable) else bias
            location = variable.name.partition(":")[0].endswith("_loc")
            variable.assign(values if location else np.full_like(values, raw_scale))


def _path(variable: Any) -> str:
    return getattr(variable, "path", variable.name)


# -- what must agree -----------------------------------------------------------------------------


def _check(weights: Arrays, x: np.ndarray, y: np.ndarray, torch: dict[str, float]) -> None:
    """One divergence, and one loss without spread."""
    scale = np.log1p(np.exp(RAW_SCALE))
    flat = np.concatenate([weight.ravel() for weight in weights]).astype("float64")
    divergence = np.sum(-np.log(scale) + (scale**2 + flat**2) / 2 - 0.5)
    logits = np.float64(x)
    for index in (0, 2, 4):
        logits = logits @ np.float64(weights[index]) + weights[index + 1]
        logits = np.maximum(logits, 0.0) if index < 4 else logits
    log_probs = logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True))
    nll = -np.mean(log_probs[np.arange(len(y)), y])

    wide, narrow = (
        [make(weights, 1, raw) for make in (_layered, _tfp)] for raw in (RAW_SCALE, NARROW)
    )
    for net in wide:
        net(x)
        np.testing.assert_allclose(float(sum(map(float, net.losses))), divergence, rtol=1e-5)
    for net in narrow:
        own = tf.nn.sparse_softmax_cross_entropy_with_logits(y, tf.convert_to_tensor(net(x)))
        np.testing.assert_allclose(tf.reduce_mean(own), nll, rtol=1e-4)
    net = nets.shape()
    net.set_weights(weights)
    model = tfbdl.BayesianNetwork(net, "categorical")
    draw = model.surrogate.sample(tfbdl.random.key(0))
    np.testing.assert_allclose(float(model.kl(draw)), divergence, rtol=1e-5)
    np.testing.assert_allclose(torch["kl"], divergence, rtol=1e-4)
    np.testing.assert_allclose(torch["nll"], nll, rtol=1e-4)
