"""Test errors of softmax regression on diverse and on uniform batches, each at its best rate.

Two hundred images of each digit from 0 to 8, ten of the 9; batches of 20, ten epochs of Adam whose
learning rate falls to zero in a line. For each kind of batch the rate at the start is the one of
five with the least error on the last 10,000 images to train on, of which 3 in 100 were trained on;
errors are those on the test set, with the mean difference from uniform batches of the same seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tfbdl_dpp.batch_process import batch_process, batch_weights
from tfbdl_dpp.kernels import median_length_scale

from benchmarks import parts
from benchmarks.dpp.gradient_variance import BATCH, EPOCHS, RARE_CLASS, imbalanced
from benchmarks.dpp.images import mnist

RATES = (0.001, 0.002, 0.004, 0.008, 0.016)
SEEDS = 10
EACH_ONCE, INDEPENDENT = "uniform, each image once an epoch", "uniform, independent draws"
KINDS: dict[str, dict[str, Any]] = {
    EACH_ONCE: {},
    INDEPENDENT: {},
    "k-DPP, pixels, scale 2": {"label_weight": 0.0, "length_scale": 2.0},
    "k-DPP, labels of weight 1": {"label_weight": 1.0},
    "k-DPP, labels of weight 2": {"label_weight": 2.0},
    "k-DPP, labels of weight 4": {"label_weight": 4.0},
    "weight 2, loss without weights": {"label_weight": 2.0, "weighted": False},
}


def run() -> dict[str, Any]:
    """Train at each rate on each kind of batch, seed by seed."""
    data = mnist()
    errors: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for seed in range(SEEDS):
        x, y = imbalanced(data["x_train"], data["y_train"], seed)
        for kind in KINDS:
            rows, weights = _batches(kind, x, y, seed)
            found = [_errors(_trained(x, y, rows, weights, rate), data) for rate in RATES]
            errors[kind].append(found)
    parts.header("batches", "rate", "test error, %", "beside uniform ones", "error on nines, %")
    best = {kind: _at_best(np.array(values)) for kind, values in errors.items()}
    for kind, (rate, values) in best.items():
        gap = values[:, 1] - best[EACH_ONCE][1][:, 1]
        cells = [_with_error(column) for column in (values[:, 1], gap, values[:, 2])]
        parts.row(kind, rate, *cells)
    return {kind: {"rate": r, "errors": v.tolist()} for kind, (r, v) in best.items()}


def _batches(kind: str, x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of all batches ``[steps, BATCH]``, and a weight for each image."""
    rng, n = np.random.default_rng([seed, 7]), len(x)
    steps = n // BATCH
    if kind == EACH_ONCE:
        epochs = [rng.permutation(n)[: steps * BATCH].reshape(-1, BATCH) for _ in range(EPOCHS)]
        return np.concatenate(epochs), np.ones(n)
    if kind == INDEPENDENT:
        rows = [rng.choice(n, BATCH, replace=False) for _ in range(steps * EPOCHS)]
        return np.array(rows), np.ones(n)
    options = KINDS[kind]
    features = x.astype(np.float64) / median_length_scale(x)
    features = np.concatenate([features, options["label_weight"] * np.eye(10)[y]], axis=1)
    process = batch_process(features, BATCH, length_scale=options.get("length_scale"))
    weights = batch_weights(process) if options.get("weighted", True) else np.ones(n)
    return process.sample(steps * EPOCHS, seed), weights


def _trained(
    x: np.ndarray, y: np.ndarray, rows: np.ndarray, weights: np.ndarray, rate: float
) -> np.ndarray:
    """Weights ``[785, 10]`` of a softmax regression, by Adam (Kingma & Ba 2015, algorithm 1)."""
    inputs = np.concatenate([x, np.ones((len(x), 1), np.float32)], axis=1)
    targets, scale = np.eye(10, dtype=np.float32)[y], weights.astype(np.float32) / BATCH
    W = np.zeros((inputs.shape[1], 10), np.float32)
    m, v = np.zeros_like(W), np.zeros_like(W)
    for t, batch in enumerate(rows, start=1):
        scores = inputs[batch] @ W
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        g = inputs[batch].T @ ((shares - targets[batch]) * scale[batch, np.newaxis])
        m += 0.1 * (g - m)
        v += 0.001 * (g * g - v)
        step = rate * (1.0 - t / (len(rows) + 1)) * np.sqrt(1.0 - 0.999**t) / (1.0 - 0.9**t)
        W -= np.float32(step) * m / (np.sqrt(v) + np.float32(1e-7))
    return W


def _errors(W: np.ndarray, data: Any) -> tuple[float, float, float]:
    """In %: on images to choose the rate by, on the test set, on its nines."""
    held, labels = data["x_train"][50_000:], data["y_train"][50_000:]
    wrong = (data["x_test"] @ W[:-1] + W[-1]).argmax(axis=1) != data["y_test"]
    chosen_by = (held @ W[:-1] + W[-1]).argmax(axis=1) != labels
    nines = wrong[data["y_test"] == RARE_CLASS]
    return tuple(100.0 * float(w.mean()) for w in (chosen_by, wrong, nines))  # type: ignore[return-value]


def _at_best(values: np.ndarray) -> tuple[float, np.ndarray]:
    """The best rate, and the errors there ``[seeds, 3]``."""
    best = int(values[:, :, 0].mean(axis=0).argmin())
    return RATES[best], values[:, best]


def _with_error(values: np.ndarray) -> str:
    """The mean and its standard error over seeds."""
    return f"{values.mean():.2f} ± {values.std(ddof=1) / np.sqrt(len(values)):.2f}"
