"""Seconds of kernels beside neural-tangents, and of an exact solve beside SciPy.

Processor time of one thread's work: each side counts its own process's, and both begin after a
check that they compute the same thing.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import linalg
from tfbdl_nngp import Kernel, layers
from tfbdl_nngp.cholesky import factorize

from benchmarks import harness, parts
from benchmarks.peer import Peer

ROWS, COLUMNS, DEPTH, WEIGHT, BIAS, ROUNDS = 2_000, 784, 3, 1.5, 0.1, 9
IMAGES = (100, 28, 28, 1)
SOLVED = 5_000
TOLERANCE = {"float32": 2e-3, "float64": 1e-6}
"""Of float32: the angle of a row with itself keeps half of the digits in neural-tangents."""


def kernels(peer_python: str) -> dict[str, Any]:
    """N = 2,000, D = 784, three hidden layers: ReLU and erf, NNGP and NTK, both precisions."""
    x = np.random.default_rng(0).normal(size=(ROWS, COLUMNS))
    cases = [
        {"net": "mlp", "activation": activation, "which": which, "dtype": dtype}
        for dtype in ("float32", "float64")
        for activation in ("relu", "erf")
        for which in ("nngp", "ntk")
    ]
    return _beside(peer_python, x, cases, _mlp)


def convolution(peer_python: str) -> dict[str, Any]:
    """100 images of 28 x 28, three convolutions of 3 x 3 with ReLU, flattened."""
    x = np.random.default_rng(0).normal(size=IMAGES)
    cases = [
        {"net": "convolution", "activation": "relu", "which": which, "dtype": dtype}
        for dtype in ("float32", "float64")
        for which in ("nngp", "ntk")
    ]
    return _beside(peer_python, x, cases, _convolution)


def solve() -> dict[str, list[float]]:
    """``(K + noise I)^-1 y`` for 5,000 rows and ten outputs in float64."""
    rng = np.random.default_rng(0)
    K = Kernel.mlp(DEPTH, "relu", WEIGHT, BIAS).nngp(rng.normal(size=(SOLVED, 50)))
    y = rng.normal(size=(SOLVED, 10))
    copies: dict[str, np.ndarray] = {name: np.empty_like(K) for name in ("ours", "theirs")}

    def ours() -> np.ndarray:
        np.copyto(copies["ours"], K)
        return factorize(copies["ours"], 0.1).solve(y)

    def theirs() -> np.ndarray:
        np.copyto(copies["theirs"], K)
        copies["theirs"][np.diag_indices(SOLVED)] += 0.1
        factor = linalg.cho_factor(copies["theirs"].T, lower=True, overwrite_a=True)
        return np.asarray(linalg.cho_solve(factor, y))

    np.testing.assert_allclose(ours(), theirs(), rtol=1e-8, atol=1e-10)
    seconds = harness.alternate({"tfbdl": ours, "scipy": theirs}, ROUNDS, time.process_time)
    ratio = harness.ratio(seconds["tfbdl"], seconds["scipy"])
    parts.header("rows", "tfbdl, s", "SciPy, s", "ratio")
    cells = [parts.spread(seconds[name], 2) for name in ("tfbdl", "scipy")]
    parts.row(f"{SOLVED:,}", *cells, _ratio(ratio))
    return seconds


def _beside(
    peer_python: str, x: np.ndarray, cases: list[dict[str, str]], make: Callable[..., Kernel]
) -> dict[str, Any]:
    parts.header("kernel", "precision", "tfbdl, ms", "neural-tangents, ms", "ratio")
    kept = {}
    with tempfile.TemporaryDirectory() as folder, Peer(peer_python, Path(__file__).parent) as peer:
        file = str(Path(folder) / "x.npz")
        result = str(Path(folder) / "kernel.npy")
        np.savez(file, x=x)
        for case in cases:
            kernel = make(case["activation"], case["dtype"]).function(case["which"])
            peer.ask(do="start", file=file, result=result, **case)
            np.testing.assert_allclose(
                kernel.matrix(x), np.load(result), rtol=TOLERANCE[case["dtype"]], atol=1e-6
            )
            ours, theirs = [], []
            for _ in range(ROUNDS):
                started = time.process_time()
                kernel.matrix(x)
                ours.append(time.process_time() - started)
                theirs.append(float(peer.ask(do="run")))
            ratio = harness.ratio(ours, theirs)
            cells = [parts.spread(1e3 * np.asarray(times), 0) for times in (ours, theirs)]
            name = f"{case['activation']}, {case['which']}"
            parts.row(name, case["dtype"], *cells, _ratio(ratio))
            kept[f"{name}, {case['dtype']}"] = {
                "tfbdl": ours,
                "neural_tangents": theirs,
                "ratio": ratio,
            }
    return kept


def _mlp(activation: str, dtype: str) -> Kernel:
    return Kernel.mlp(DEPTH, activation, WEIGHT, BIAS, dtype)


def _convolution(activation: str, dtype: str) -> Kernel:
    chain: list[Any] = []
    for _ in range(DEPTH):
        chain += [
            layers.Convolution(3, weight_variance=WEIGHT, bias_variance=BIAS),
            layers.Activation(activation),
        ]
    return Kernel([*chain, layers.Flatten(), layers.Dense(WEIGHT, BIAS)], dtype)


def _ratio(ratio: tuple[float, float, float]) -> str:
    return f"{ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}]"
