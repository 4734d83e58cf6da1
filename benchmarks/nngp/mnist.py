"""MNIST by regression on labels, with the kernel of an infinitely wide network.

The first N training images and all test images, standardised by one mean and one standard
deviation of the training images; targets one-hot - 0.1; noise 1e-6 of the mean of the diagonal.
Settings are fixed beforehand, two of them from Lee et al. 2018, table 1; nothing is chosen by test
images.
"""

from __future__ import annotations

import resource
import time
from typing import Any

import numpy as np
from tfbdl_nngp import GPRegressor, Kernel

import tfbdl
from benchmarks import parts
from tfbdl.run import load_data

SETTINGS = (
    (1_000, "relu", 3, 1.45, 0.28),
    (1_000, "relu", 20, 1.45, 0.28),
    (1_000, "erf", 3, 3.0, 0.1),
    (2_000, "relu", 3, 1.45, 0.28),
    (5_000, "relu", 3, 1.45, 0.28),
    (5_000, "relu", 7, 0.61, 0.07),
)
NOISE = 1e-6


def run() -> list[dict[str, Any]]:
    """Accuracy, squared error and seconds of each setting."""
    data = load_data(tfbdl.plan("nngp", "mnist"))
    found = []
    parts.header("images", "net", "accuracy", "squared error", "seconds", "peak memory, GB")
    for count, activation, depth, weight, bias in SETTINGS:
        started = time.perf_counter()
        x, x_test = standardised(data, count)
        kernel = Kernel.mlp(depth, activation, weight, bias)
        noise = NOISE * float(kernel.diagonal(x).mean())
        targets = np.eye(10)[data.y[:count]] - 0.1
        mean = GPRegressor(kernel, noise).fit(x, targets).mean(x_test)
        seconds = time.perf_counter() - started
        accuracy = float((mean.argmax(axis=1) == data.y_test).mean())
        error = float(((mean - (np.eye(10)[data.y_test] - 0.1)) ** 2).mean())
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        net = f"{activation} {depth}-{weight}-{bias}"
        parts.row(
            f"{count:,}", net, f"{accuracy:.4f}", f"{error:.5f}", f"{seconds:.1f}", f"{memory:.1f}"
        )
        found.append(
            {
                "images": count,
                "net": net,
                "accuracy": accuracy,
                "squared_error": error,
                "seconds": seconds,
                "memory_gb": memory,
            }
        )
    return found


def standardised(data: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first training images and all test images, as vectors."""
    x = np.asarray(data.x[:count], np.float64).reshape(count, -1)
    x_test = np.asarray(data.x_test, np.float64).reshape(len(data.x_test), -1)
    mean, deviation = x.mean(), x.std()
    return (x - mean) / deviation, (x_test - mean) / deviation
