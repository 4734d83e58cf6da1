"""Mini-batches from a k-DPP beside uniform ones, on MNIST with a rare class.

Two hundred images of each digit from 0 to 8, ten of the 9. The gradient is that of softmax
regression, before training and after; its variance is ``E |g_batch - g|^2`` over 200 batches.
Then the same regression is trained by Adam on either kind of batch, and tested on the whole test
set and on its nines.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from tfbdl_dpp import DPPBatches

from benchmarks import parts
from benchmarks.dpp.images import mnist

COMMON, RARE, RARE_CLASS = 200, 10, 9
BATCH, BATCHES, EPOCHS, SEEDS = 20, 200, 10, 5
KINDS: dict[str, dict[str, Any] | None] = {
    "uniform": None,
    "k-DPP, pixels": {"label_weight": 0.0},
    "k-DPP, pixels and labels": {"label_weight": 2.0},
    "the same, without weights": {"label_weight": 2.0, "weighted": False},
}


def run() -> dict[str, Any]:
    """Measure the share of the rare class, gradient variances and test errors."""
    data = mnist()
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for seed in range(SEEDS):
        x, y = imbalanced(data["x_train"], data["y_train"], seed)
        for kind, options in KINDS.items():
            found[kind].append(_one(options, x, y, data, seed))
    parts.header(
        "batches", "share of nines", "gradient variance at the start", "after training",
        "test error, %", "error on nines, %",
    )  # fmt: skip
    for kind, rows in found.items():
        columns = [
            parts.spread((row[name] for row in rows), digits)
            for name, digits in (
                ("share", 4), ("variance_start", 3), ("variance_end", 3), ("error", 2),
                ("rare_error", 1),
            )
        ]  # fmt: skip
        parts.row(kind, *columns)
    return {kind: {n: [row[n] for row in rows] for n in rows[0]} for kind, rows in found.items()}


def imbalanced(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels, of which those of one class are rare."""
    rng = np.random.default_rng(seed)
    chosen = [
        rng.choice(np.flatnonzero(y == c), RARE if c == RARE_CLASS else COMMON, replace=False)
        for c in range(10)
    ]
    rows = np.concatenate(chosen)
    return x[rows], y[rows]


def _one(
    options: dict[str, Any] | None, x: np.ndarray, y: np.ndarray, data: Any, seed: int
) -> dict[str, float]:
    batches = None
    if options is not None:
        batches = DPPBatches(x, y, BATCH, seed=seed, **options)
    rng = np.random.default_rng([seed, 1])
    rows, weights = [], []
    for index in range(BATCHES):
        if batches is None:
            rows.append(rng.choice(len(x), BATCH, replace=False))
            weights.append(np.ones(BATCH))
            continue
        rows.append(batches.process.sample(1, seed=10_000 * seed + index)[0])
        weights.append(batches.weights[rows[-1]] if batches.weighted else np.ones(BATCH))
    keras.utils.set_random_seed(seed)
    net = keras.Sequential(
        [keras.Input((784,)), keras.layers.Dense(10, kernel_initializer="zeros")]
    )
    net.compile(
        keras.optimizers.Adam(0.002),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[],
        jit_compile=True,
    )
    figures = {"share": float(np.mean(y[np.array(rows)] == RARE_CLASS))}
    reference = _variance(net, x, y, _uniform(len(x), rng), [np.ones(BATCH)] * BATCHES)
    figures["variance_start"] = _variance(net, x, y, rows, weights) / reference
    if batches is None:
        net.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    else:
        net.fit(batches, epochs=EPOCHS, verbose=0)
    reference = _variance(net, x, y, _uniform(len(x), rng), [np.ones(BATCH)] * BATCHES)
    figures["variance_end"] = _variance(net, x, y, rows, weights) / reference
    wrong = (
        net.predict(data["x_test"], verbose=0, batch_size=1_000).argmax(axis=1) != data["y_test"]
    )
    figures["error"] = 100.0 * float(wrong.mean())
    figures["rare_error"] = 100.0 * float(wrong[data["y_test"] == RARE_CLASS].mean())
    return figures


def _uniform(n: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.choice(n, BATCH, replace=False) for _ in range(BATCHES)]


def _variance(
    net: keras.Model, x: np.ndarray, y: np.ndarray, rows: list[Any], weights: list[Any]
) -> float:
    """``E |g_batch - g|^2`` of the kernel's gradient, by its closed form ``x' (p - t) / k``."""
    W, b = (w.astype(np.float64) for w in net.get_weights())
    scores = x @ W + b
    scores -= scores.max(axis=1, keepdims=True)
    residual = np.exp(scores)
    residual /= residual.sum(axis=1, keepdims=True)
    residual[np.arange(len(y)), y] -= 1.0
    whole = x.T @ residual / len(x)
    squares = [
        float(((x[r].T @ (w[:, np.newaxis] * residual[r]) / len(r) - whole) ** 2).sum())
        for r, w in zip(rows, weights, strict=True)
    ]
    return float(np.mean(squares))
