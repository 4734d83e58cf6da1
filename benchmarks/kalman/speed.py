"""Milliseconds of the log likelihood and of its gradient, beside dynamax.

64 sequences of 1,000 steps, states and observations of size 4, everything seen, float64; the
gradient is that by A, H, Q, R, m0 and P0. Both are compiled by XLA and run in turn.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tfbdl_kalman_lstm import KalmanFilter
from tfbdl_kalman_lstm.likelihood import log_likelihood

from benchmarks import harness, parts
from benchmarks.peer import Peer

SEQUENCES, STEPS, SIZE, ROUNDS = 64, 1000, 4, 41


def run(peer_python: str) -> dict[str, Any]:
    """Check that both give the same numbers, then time them in turn."""
    case: dict[str, Any] = _model()
    y = KalmanFilter(**case).sample(STEPS, n=SEQUENCES, seed=0)[1]
    params = {name: tf.constant(value) for name, value in case.items()}
    value, gradient = _programs(params, tf.constant(y))
    with Peer(peer_python, Path(__file__).parent) as peer:
        _check(gradient(), _started(peer, case, y))
        contestants: dict[str, Callable[[], Any]] = {
            "value": lambda: value().numpy(),
            "value, dynamax": lambda: peer.ask(do="value"),
            "gradient": lambda: [part.numpy() for part in tf.nest.flatten(gradient())],
            "gradient, dynamax": lambda: peer.ask(do="gradient"),
        }
        for contestant in contestants.values():
            contestant()
        seconds = harness.alternate(contestants, ROUNDS)
    return _table(seconds)


def _model() -> dict[str, np.ndarray]:
    """A stable model of random parameters."""
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(3, SIZE, SIZE))
    Q, R, P0 = roots @ np.swapaxes(roots, 1, 2) / SIZE + 0.3 * np.eye(SIZE)
    A = 0.95 * np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0]
    H = rng.normal(size=(SIZE, SIZE))
    return {"A": A, "H": H, "Q": Q, "R": R, "m0": rng.normal(size=SIZE), "P0": P0}


def _programs(params: dict[str, tf.Tensor], y: tf.Tensor) -> tuple[Any, Any]:
    def total(params: dict[str, tf.Tensor], y: tf.Tensor) -> tf.Tensor:
        offset = tf.zeros(SIZE, y.dtype)
        return tf.reduce_sum(log_likelihood({**params, "B": offset}, y, shared=True))

    def with_gradient(params: dict[str, tf.Tensor], y: tf.Tensor) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(params)
            value = total(params, y)
        return value, tape.gradient(value, params)

    value, gradient = (
        tf.function(program, jit_compile=True, autograph=False)
        for program in (total, with_gradient)
    )
    return lambda: value(params, y), lambda: gradient(params, y)


def _started(peer: Peer, case: dict[str, Any], y: np.ndarray) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "start.npz")
        np.savez(file, y=y, **case)
        found: dict[str, Any] = peer.ask(do="start", file=file)
    return found


def _check(ours: tuple[tf.Tensor, dict[str, tf.Tensor]], theirs: dict[str, Any]) -> None:
    """Same value, and same gradients: of a covariance, of its symmetric part."""
    np.testing.assert_allclose(float(ours[0]), theirs["value"], rtol=1e-9)
    for name, slope in ours[1].items():
        pair = [slope.numpy(), np.asarray(theirs[name])]
        if name in ("Q", "R", "P0"):
            pair = [part + part.T for part in pair]
        np.testing.assert_allclose(pair[0], pair[1], rtol=1e-6, atol=1e-6 * np.abs(pair[1]).max())


def _table(seconds: dict[str, list[float]]) -> dict[str, Any]:
    parts.header("", "tfbdl, ms", "dynamax, ms", "ratio")
    kept = {}
    for query in ("value", "gradient"):
        ours, theirs = seconds[query], seconds[f"{query}, dynamax"]
        ratio = harness.ratio(ours, theirs)
        cells = [parts.spread(1e3 * np.asarray(times), 1) for times in (ours, theirs)]
        parts.row(query, *cells, f"{ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}]")
        kept[query] = {"tfbdl": ours, "dynamax": theirs, "ratio": ratio}
    return kept
